"""Locks Debian's packages of the volume server's image: `python -m release.debs` (on a Debian).

apt reads Debian's signed lists, of its own suite and not of this machine's. Which packages are
enough is tried by tests/functional/test_volume_image.py: the image has no dpkg's word on it.
"""

import re
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from clusterous_cli.images.assembly import debs
from release.locks import ROOT

LOCK: Final = ROOT / "images" / "volume" / "packages.lock"
SUITE: Final = "bookworm"
KEYS: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Beside the server and the tools the libraries that they load, but for those of every Debian. What
# else the packages ask for (dbus, rpcbind, nfs-common with its Python) is for NFS 3 and for rights
# of Kerberos.
WANTED: Final = (
    *("nfs-ganesha", "nfs-ganesha-vfs", "libntirpc4.3", "libnfsidmap1", "liburcu8"),
    *("libdbus-1-3", "libwbclient0", "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3"),
    *("libkrb5support0", "libcom-err2", "libkeyutils1", "libbsd0"),
    *("xfsprogs", "libinih1", "libedit2"),
    *("e2fsprogs", "libext2fs2", "libss2", "mount"),
)
_SOURCES: Final = (
    f"deb [signed-by={KEYS}] http://deb.debian.org/debian {SUITE} main\n"
    f"deb [signed-by={KEYS}] http://deb.debian.org/debian {SUITE}-updates main\n"
    f"deb [signed-by={KEYS}] http://deb.debian.org/debian-security {SUITE}-security main\n"
)
_URI: Final = re.compile(r"'http://deb\.debian\.org/(\S+)' \S+ \d+ SHA256:([0-9a-f]{64})")


def asked() -> str:
    """Ask Debian for the packages, and return what apt says of them."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)  # apt drops its rights to download
        (folder / "sources.list").write_text(_SOURCES)
        for name in ("lists/partial", "cache/archives/partial", "parts"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        places = {
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": folder / "parts",
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache",
        }
        apt = ["apt-get", "--quiet=2", *(f"-o{key}={place}" for key, place in places.items())]
        apt += ["-oAPT::Architecture=amd64"]
        subprocess.run([*apt, "update"], check=True)
        done = subprocess.run(
            [*apt, "download", "--print-uris", *WANTED], check=True, capture_output=True, text=True
        )
        return done.stdout


def lock(said: str, day: str) -> str:
    """Return the lock of what apt *said*."""
    found = sorted(f"{sha256}  {path}" for path, sha256 in _URI.findall(said))
    if len(found) != len(WANTED):
        raise ValueError(f"of {len(WANTED)} packages apt named {len(found)}:\n{said}")
    ordered = sorted(found, key=lambda line: line.rpartition("/")[2])
    return "\n".join(("# Written by `make debs`.", f"at {day}", *ordered, ""))


def main() -> None:
    """Write the lock anew, unless Debian has nothing new."""
    fresh = lock(asked(), f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    if not LOCK.exists() or debs.digest(LOCK.read_text()) != debs.digest(fresh):
        LOCK.write_text(fresh)


if __name__ == "__main__":
    main()

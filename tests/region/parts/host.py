"""What the region needs of the machine itself: programs, from Debian packages where missing."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.region.parts.cache import Tell

# Program → the Debian package that has it.
TOOLS: Final[Mapping[str, str]] = {
    "apt-get": "apt",
    "buildah": "buildah",
    "curl": "curl",
    "dnsmasq": "dnsmasq-base",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "nsenter": "util-linux",
    "rsync": "rsync",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
    "zstd": "zstd",
}
# What only the tests run. An SSH server that was not there before is installed, but not started.
FOR_TESTS: Final[Mapping[str, str]] = {
    "bash": "bash",
    "dash": "dash",
    "mkfs.xfs": "xfsprogs",
    "nc": "netcat-openbsd",
    "openssl": "openssl",
    "ss": "iproute2",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
}
POLICY: Final = Path("/usr/sbin/policy-rc.d")
NO_DAEMONS: Final = "#!/bin/sh\n# No service starts while packages are installed.\nexit 101\n"
# Services and tools live here, also for users whose PATH lacks it.
SEARCH: Final = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


class MissingToolsError(Exception):
    """Programs are missing and could not be installed; the message names them."""


def missing(tools: Mapping[str, str] = TOOLS) -> list[str]:
    """Return the packages that have to be installed."""
    return sorted(
        {package for tool, package in tools.items() if not shutil.which(tool, path=SEARCH)}
    )


def ensure(tell: Tell, tools: Mapping[str, str] = TOOLS) -> None:
    """Install what is missing, starting no service; with everything there, do nothing at all."""
    packages = missing(tools)
    if not packages:
        return
    words = ", ".join(packages)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise MissingToolsError(f"these Debian packages are missing: {words}; install them as root")
    tell(f"installing {words}")
    with _no_daemons(POLICY):
        try:
            _install(packages)
        except subprocess.CalledProcessError:
            # The package lists may be old, or absent, as in container images.
            subprocess.run([*_APT, "update"], check=False, capture_output=True)
            _install(packages)
    if left := missing(tools):
        raise MissingToolsError(f"installed, but still missing: {', '.join(left)}")


_APT: Final = ("apt-get", "--quiet=2", "-oDPkg::Lock::Timeout=600")


def _install(packages: Sequence[str]) -> None:
    # The user's answers, and configuration that exists, stay as they are.
    options = ("--yes", "--no-install-recommends", "-oDpkg::Options::=--force-confold")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(
        [*_APT, "install", *options, *packages], check=True, capture_output=True, env=environment
    )


@contextlib.contextmanager
def _no_daemons(policy: Path) -> Iterator[None]:
    """Let Debian's packages start no service; restore what was there before."""
    kept = policy.with_name(f"{policy.name}.before-region")
    if policy.exists():
        policy.rename(kept)
    try:
        policy.write_text(NO_DAEMONS)
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)
        if kept.exists():
            kept.rename(policy)

"""The laptop: what a person's environment is who sits in the region with AWS keys."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.region.places import Places

# What of the caller's own environment is about the terminal, not about the world outside.
_KEPT: Final = ("TERM", "LANG", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLUSTEROUS_CACHE")
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SYSTEM_BUNDLE: Final = Path("/etc/ssl/certs/ca-certificates.crt")
_TRUSTING: Final = (
    "AWS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
)


def prepare(places: Places, programs: Mapping[str, Path]) -> None:
    """Make the person's home, with *programs* on the PATH, and what they trust."""
    places.runtime.mkdir(mode=0o700, exist_ok=True)
    folder = places.laptop / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in programs.items():
        (folder / name).symlink_to(path)
    bundle(places).write_bytes(trusted((places.tls / "ca.pem").read_bytes()))


def trusted(authority: bytes) -> bytes:
    """Answer the world's authorities, as this machine knows them, and the region's."""
    known = _SYSTEM_BUNDLE.read_bytes() if _SYSTEM_BUNDLE.exists() else b""
    return b"\n".join((known, authority)).lstrip()


def bundle(places: Places) -> Path:
    """Answer the file of all authorities that the laptop trusts: the world's and the region's."""
    return places.tls / "bundle.pem"


def environment(
    places: Places, facts: Mapping[str, Any], caller: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Answer the environment of the person at the laptop, AWS keys included."""
    return {
        **stranger_environment(places, caller),
        "CLUSTEROUS_HOME": str(places.laptop / ".clusterous"),
        "AWS_ACCESS_KEY_ID": facts["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": facts["secret_access_key"],
        "AWS_REGION": facts["region"],
        "AWS_DEFAULT_REGION": facts["region"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
    }


def stranger_environment(places: Places, caller: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Answer the environment of somebody without keys."""
    own = f"{places.laptop / 'bin'}:{Path(sys.executable).parent}"
    return {
        **{name: caller[name] for name in _KEPT if name in caller},
        **dict.fromkeys(_TRUSTING, str(bundle(places))),
        "HOME": str(places.laptop),
        # pip asks the region's index, whatever this machine's own settings say.
        "PIP_CONFIG_FILE": os.devnull,
        # Sockets of SSH and the like: short paths, and none of them survives the region.
        "XDG_RUNTIME_DIR": str(places.runtime),
        "USER": "root",
        "PATH": f"{own}:{_SYSTEM_PATH}",
    }

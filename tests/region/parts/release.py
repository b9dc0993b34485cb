"""The official k3s release, for machines from which it can be reached."""

import hashlib
import shutil
import threading
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Final

from tests.region.parts import airgap
from tests.region.parts.cache import Tell

K3S_VERSION: Final = "v1.35.4+k3s1"
CHECKSUMS: Final = "sha256sum-amd64.txt"
PATIENCE_SECONDS: Final = 3.0


def url(name: str) -> str:
    version = urllib.parse.quote(K3S_VERSION)
    return f"https://github.com/k3s-io/k3s/releases/download/{version}/{name}"


def download(target: Path, tell: Tell) -> bool:
    """Fetch k3s and its images; without a way to them, say so within seconds and return False."""
    checksums = _checksums()
    if checksums is None:
        return False
    for name in ("k3s", airgap.ARCHIVE):
        tell(f"downloading {name} {K3S_VERSION}")
        _fetch(name, target / name, checksums[name])
    (target / "k3s").chmod(0o755)
    return True


def _checksums() -> dict[str, str] | None:
    """Return the published checksums by file name, or None if nobody answers soon."""
    answer: list[str] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url(CHECKSUMS), timeout=PATIENCE_SECONDS) as response:
                answer.append(response.read().decode())
        except (OSError, ValueError):
            return

    # A name server that does not answer has time limits of its own, longer than our patience.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    return parse_checksums(answer[0]) if answer else None


def parse_checksums(text: str) -> dict[str, str]:
    """Read `sha256  name` lines."""
    pairs = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return {name.strip().lstrip("*"): digest for digest, name in pairs}


def _fetch(name: str, target: Path, sha256: str) -> None:
    with urllib.request.urlopen(url(name), timeout=60) as response, target.open("wb") as file:
        shutil.copyfileobj(response, file, 1 << 20)
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise OSError(f"{name} has the checksum {digest}, but {sha256} is published for it")

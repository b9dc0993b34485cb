"""Debian's packages of the volume server's image, exactly as locked: what its image installs."""

import shutil
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from clusterous_cli.images import recipes
from clusterous_cli.images.assembly import debs
from clusterous_cli.system import download
from tests.region.parts import operator_image
from tests.region.parts.cache import Found, Tell
from tests.region.parts.volume_image import FOLDER

SOURCES: Final = (FOLDER / "packages.lock", Path(__file__))


def build(target: Path, found: Found, tell: Tell) -> None:
    """Fetch the packages, verified by the lock's hashes, to where the archives have them."""
    text = recipes.read(FOLDER).debs
    _, packages = debs.locked(text)
    tell(f"downloading {len(packages)} packages")
    fetched = debs.fetch(text, download.cache() / "debs", operator_image.quietly)
    for package, file in zip(packages, fetched, strict=True):
        place = target / unquote(package.path)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)

"""The image of the registry that a cluster runs: distribution's own source, below it Debian."""

import tempfile
from pathlib import Path
from typing import Final

from clusterous_cli.addons import registry
from tests.region.parts import addons, debian, images
from tests.region.parts.cache import Found, Tell
from tests.region.parts.images import Entry, Image

MODULE: Final = Path(__file__).with_name("go-registry")
PACKAGE: Final = "github.com/distribution/distribution/v3/cmd/registry"
REPOSITORY: Final = "library/registry"
TAG: Final = registry.IMAGE.rpartition(":")[2]


def build_program(target: Path, found: Found, tell: Tell) -> None:
    """Write TARGET/registry."""
    stamp = f"-X github.com/distribution/distribution/v3/version.version=v{TAG}"
    addons.compile_go(MODULE, PACKAGE, stamp, target / registry.PROGRAM)


def build(target: Path, found: Found, tell: Tell) -> None:
    """Write a registry's storage with the image."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        program = Entry(source=found["registry_program"] / registry.PROGRAM)
        entries = {f"usr/bin/{registry.PROGRAM}": program}
        below = images.layer_from_tree(found["trees"] / "debian", Path(scratch) / "debian.tar")
        layer = images.layer_from_entries(entries, Path(scratch) / "layer.tar")
        image = Image(
            name=registry.IMAGE,
            layers=(below, layer),
            entrypoint=(registry.PROGRAM,),
            environment=debian.ENVIRONMENT,
        )
        images.store(image, REPOSITORY, TAG, target)

"""Fetches the sums of what nodes run and the digests of base images: `python -m release.pins`.

Each comes from its publisher; none is written that was not fetched.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from clusterous_api.errors import ClusterousError
from clusterous_cli.addons import builder, registry
from clusterous_cli.boot import releases
from clusterous_cli.cluster.config import DEFAULT_K3S
from clusterous_cli.images import recipes
from clusterous_cli.images.assembly import pull, references
from clusterous_cli.system import assets, pins
from clusterous_cli.system.pins import Pins

# What is pinned, by its name, and who asks its publisher.
Wanted = Mapping[str, Callable[[], str]]


def files() -> Wanted:
    """Return the files of a cluster as it is made without asking for another k3s."""
    found = releases.artifacts(DEFAULT_K3S)
    return {one.url: partial(releases.published, one) for one in found}


def images(folder: Path) -> Wanted:
    """Return the base images of the recipes in *folder*, and what a cluster pulls by its name."""
    bases = {recipes.read(path.parent).base for path in folder.glob(f"*/{recipes.FILE}")}
    bases |= {builder.IMAGE, registry.IMAGE}
    return {base: pull.Registry(references.parse(base)).digest for base in sorted(bases)}


def fetched(
    wanted: Wanted, known: Mapping[str, str], tell: Callable[[str], None]
) -> dict[str, str]:
    """Ask for everything; what cannot be had keeps the pin that was fetched before, if any."""
    found = {}
    for name, ask in wanted.items():
        try:
            found[name] = ask()
        except ClusterousError as error:
            tell(f"not pinned anew: {name}: {error}")
            if name in known:
                found[name] = known[name]
        else:
            tell(f"{found[name]}  {name}")
    return found


def missing(wanted: Iterable[str], found: Mapping[str, str]) -> list[str]:
    """List what has no pin."""
    return [name for name in wanted if name not in found]


def spelled(pins: Pins) -> str:
    """Spell the file of pins."""
    content = {"files": dict(pins.files), "images": dict(pins.images)}
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def tell(line: str) -> None:
    """Tell it on stderr."""
    print(line, file=sys.stderr)


def main(folder: Path) -> int:
    """Write the pins of *folder*, and say by the exit code whether all of them are there."""
    known = pins.read()
    wanted_files, wanted_images = files(), images(folder)
    found = Pins(
        files=fetched(wanted_files, known.files, tell),
        images=fetched(wanted_images, known.images, tell),
    )
    (folder / pins.FILE).write_text(spelled(found))
    left = missing(wanted_files, found.files) + missing(wanted_images, found.images)
    if left:
        tell(f"{len(left)} without a pin: what their publishers say on the day counts")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(assets.images_folder()))

"""The operator's image for trying it: `python -m release.image FILE` writes it, tagged `dev`."""

import sys
from pathlib import Path

from clusterous_cli.images import maker
from clusterous_cli.system import assets
from release.pins import tell


def quiet(name: str, have: int, total: int) -> None:
    """Show no progress."""


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    what = maker.plan(assets.images_folder() / "operator")
    maker.make(what, f"{what.recipe.name}:dev", target, tell, quiet)

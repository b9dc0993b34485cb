"""The NFS client of the machines, in user space: the kernel below them may have none."""

from pathlib import Path
from typing import Final

from tests.region.parts import addons
from tests.region.parts.cache import Found, Tell

MODULE: Final = Path(__file__).with_name("go-nfs")
PROGRAM: Final = "nfs4"


def build(target: Path, found: Found, tell: Tell) -> None:
    """Write TARGET/nfs4."""
    addons.compile_go(MODULE, ".", "", target / PROGRAM)

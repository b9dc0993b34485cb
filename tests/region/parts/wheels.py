"""The operator's dependencies as wheels, exactly as locked: what its image installs."""

from pathlib import Path

from clusterous_cli.images import recipes
from clusterous_cli.images.assembly import wheels
from release import locks
from tests.region.parts.cache import Found, Tell


def build(target: Path, found: Found, tell: Tell) -> None:
    """Download the wheels of the operator's dependencies, verified by the lock's hashes."""
    tell(f"downloading {locks.OPERATOR.read_text().count('==')} wheels")
    wheels.fetch(locks.OPERATOR, recipes.read(locks.OPERATOR.parent).python, target)

"""Elastic's operator (ECK) and its CRDs, of its own module: for tests alone, and never shipped.

Built without the tag `release`, which asks for a key that is its publisher's.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.region.parts import addons
from tests.region.parts.cache import Found, Tell

MODULE: Final = Path(__file__).with_name("go-eck")
NAME: Final = "eck"
PROGRAM: Final = "eck-operator"
PACKAGE: Final = "github.com/elastic/cloud-on-k8s/v3"
CRDS: Final = "all-crds.yaml"


def build(target: Path, found: Found, tell: Tell) -> None:
    """Write TARGET/eck-operator and TARGET/all-crds.yaml."""
    tell(f"compiling {PROGRAM}")
    addons.compile_go(MODULE, f"{PACKAGE}/cmd", "", target / PROGRAM)
    argv = ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", PACKAGE]
    done = subprocess.run(argv, cwd=MODULE, capture_output=True, text=True, check=True)
    shutil.copyfile(Path(done.stdout.strip()) / "config/crds/v1" / CRDS, target / CRDS)

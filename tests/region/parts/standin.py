"""The stand-in for k3s as one file: its launcher and, behind it, the programs that it unpacks."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.region.parts import addons

BUNDLE: Final = Path(__file__).parent / "go" / "bundle.sh"


def assemble(go: Path, netpol: Path, debian: Path, kubectl: Path, target: Path) -> None:
    """Write TARGET/k3s out of parts that exist already."""
    with tempfile.TemporaryDirectory(dir=target) as folder:
        scratch = Path(folder)
        # Where the script finds everything, it downloads nothing.
        ours = (go / "kube", go / "k3s-launcher", netpol / addons.POLICY_PROGRAM)
        for source in (*ours, kubectl / "kubectl", kubectl / "helm"):
            os.link(source, scratch / source.name)
        (scratch / "bundle").mkdir()
        (scratch / "bundle" / "debian").symlink_to(debian)
        done = subprocess.run([BUNDLE, scratch], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"{BUNDLE.name} ended with {done.returncode}: {done.stderr[-2000:]}")
        (scratch / "k3s").rename(target / "k3s")

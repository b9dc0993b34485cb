"""Modules of the kernel that a machine on EC2 loads for itself.

The region's machines run on the host's kernel and have none, so their `modprobe` finds nothing.
What the kernel loads by itself (loop, vxlan, tables) needs no line here.
"""

import subprocess
from pathlib import Path
from typing import Final

# Its settings are there once it is loaded, for each network name space.
BRIDGE: Final = Path("/proc/sys/net/bridge")


def load() -> bool:
    """Load what the kernel has not; answer whether packets over bridges can be seen by rules."""
    if not BRIDGE.exists():
        subprocess.run(["modprobe", "br_netfilter"], check=False)
    return BRIDGE.exists()

"""What each machine on EC2 has of its own kernel, and ours have of the host's alone."""

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

# Its settings are there once it is loaded, for each network name space. A machine cannot load it:
# it has no modules. What the kernel loads by itself (loop, vxlan, tables) needs nothing here.
BRIDGE: Final = Path("/proc/sys/net/bridge")
# How many watches of files a user may have. The kernel's default of 128 is for each machine; here
# all machines' root is one user, and a kubelet without a watch ends: "too many open files".
WATCHERS: Final = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH: Final = 8192


def prepare() -> bool:
    """Load and allow what machines need; answer whether rules can see packets on bridges."""
    if not BRIDGE.exists():
        subprocess.run(["modprobe", "br_netfilter"], check=False)
    with suppress(OSError):  # as in a container that may not: fewer machines run there
        if int(WATCHERS.read_text()) < ENOUGH:
            WATCHERS.write_text(str(ENOUGH))
    return BRIDGE.exists()

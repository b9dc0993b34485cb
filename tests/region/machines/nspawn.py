"""The command that boots a machine: systemd-nspawn, in a network namespace that exists."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.region.machines import cgroups

LAUNCH: Final = Path(__file__).with_name("launch.sh")

# systemd-nspawn's own code for "the machine has asked to be started again".
REBOOT: Final = 133


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """A machine's files on the host."""

    base: Path

    @property
    def upper(self) -> Path:
        """What the machine has written; the rest is the root file system below it."""
        return self.base / "upper"

    @property
    def root(self) -> Path:
        return self.base / "root"

    @property
    def rancher(self) -> Path:
        return self.base / "rancher"

    @property
    def kubelet(self) -> Path:
        return self.base / "kubelet"

    def make(self) -> None:
        for folder in (self.upper, self.base / "work", self.root, self.rancher, self.kubelet):
            folder.mkdir(parents=True, exist_ok=True)


def command(
    *, name: str, namespace: str, group: str, rootfs: Path, folders: Folders, shared: Path
) -> list[str]:
    """Answer the whole command line; *shared* is the folder of all file systems of the region."""
    return [
        *(str(LAUNCH), str(rootfs), str(folders.base), group, namespace),
        *_nspawn(name, folders, shared),
    ]


def _nspawn(name: str, folders: Folders, shared: Path) -> Sequence[str]:
    return [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        f"--directory={folders.root}",
        f"--machine={name}",
        # The one that it is started in; told so that it mounts /sys and /proc/sys for it.
        "--network-namespace-path=/proc/self/ns/net",
        # Asked to end, it lets the machine power itself off.
        "--kill-signal=SIGRTMIN+4",
        # No systemd on the host is asked for anything: the groups are made, and nobody registers.
        "--register=no",
        "--keep-unit",
        "--settings=no",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--console=read-only",
        "--capability=all",
        # What containers in the machine need: session keyrings, rules of control groups, and files
        # by their handles, as an NFS server opens them.
        "--system-call-filter=@keyring bpf open_by_handle_at",
        "--bind=/dev/kmsg",
        # For the NFS client, and for what users' programs mount.
        "--bind=/dev/fuse",
        f"--bind={shared}:/srv/efs",
        # Layers of container images cannot lie on the overlay that the machine's root is.
        f"--bind={folders.rancher}:/var/lib/rancher",
        # Nor can those of a builder, which are on a volume of its pod.
        f"--bind={folders.kubelet}:/var/lib/kubelet",
        # As the host has it: one kernel has one kind of control groups.
        f"systemd.unified_cgroup_hierarchy={int(cgroups.is_unified())}",
    ]

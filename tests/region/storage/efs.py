"""Elastic File System: folders of this machine behind mount targets with a network of their own.

The kernel here has no NFS. So a mount target is only a door: a namespace with the target's
address and security groups, in which TCP 2049 answers. A machine's `mount.nfs` knocks there first
and then binds the folder, which it finds by the address that it knocked at.
"""

import selectors
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.region.aws.view import MountTarget, Snapshot
from tests.region.net import addresses, netns, ports

NFS_PORT: Final = 2049
BY_ADDRESS: Final = "by-ip"


@dataclass(slots=True, kw_only=True)
class Efs:
    """The file systems of one region, in *folder*: state/efs."""

    region: str
    folder: Path
    _doors: dict[str, socket.socket] = field(default_factory=dict)  # by mount target
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _thread: threading.Thread | None = None
    _wake: tuple[socket.socket, socket.socket] | None = None

    def reconcile(self, snapshot: Snapshot) -> None:
        """Open a door for each mount target that is ready; its namespace exists already."""
        wanted = {target.id: target for target in ports.mounted(snapshot)}
        for gone in set(self._doors) - set(wanted):
            self._close(gone)
        for new in set(wanted) - set(self._doors):
            self._open(wanted[new])
        self._link(links(snapshot))

    def close(self) -> None:
        for door in list(self._doors):
            self._close(door)
        if self._thread and self._wake:
            self._wake[1].close()
            self._thread.join()
            self._wake[0].close()
        self._selector.close()

    def _open(self, target: MountTarget) -> None:
        (self.folder / target.file_system_id).mkdir(parents=True, exist_ok=True, mode=0o755)
        namespace = addresses.mount_target_namespace(self.region, target.id)
        door = netns.listen(namespace, target.ip, NFS_PORT)
        door.setblocking(False)
        self._doors[target.id] = door
        self._selector.register(door, selectors.EVENT_READ)
        self._start()

    def _close(self, target_id: str) -> None:
        door = self._doors.pop(target_id)
        self._selector.unregister(door)
        door.close()

    def _start(self) -> None:
        if self._thread is None:
            self._wake = socket.socketpair()
            self._selector.register(self._wake[0], selectors.EVENT_READ)
            self._thread = threading.Thread(target=self._answer, name="efs", daemon=True)
            self._thread.start()

    def _answer(self) -> None:
        """Accept and hang up: that the door opens is all that a caller wants to know."""
        while True:
            for key, _ in self._selector.select():
                if self._wake and key.fileobj is self._wake[0]:
                    return
                with suppress(OSError):
                    caller, _ = key.fileobj.accept()  # type: ignore[union-attr]
                    caller.close()

    def _link(self, wanted: dict[str, str]) -> None:
        """Make the links by address what they should be; relative, for they are bound elsewhere."""
        root = self.folder / BY_ADDRESS
        root.mkdir(parents=True, exist_ok=True)
        found = {str(path.relative_to(root)): path for path in root.glob("*/*")}
        for name in set(found) - set(wanted):
            found[name].unlink()
        for name, target in wanted.items():
            path = root / name
            if not path.is_symlink() or str(path.readlink()) != target:
                path.parent.mkdir(exist_ok=True)
                path.unlink(missing_ok=True)
                path.symlink_to(target)


def links(snapshot: Snapshot) -> dict[str, str]:
    """Answer the link for each mount target: *VPC/address* to its file system's folder."""
    return {
        f"{target.vpc_id}/{target.ip}": f"../../{target.file_system_id}"
        for target in ports.mounted(snapshot)
    }

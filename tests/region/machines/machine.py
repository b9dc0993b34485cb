"""One machine: an instance that runs as a container, its disk, its metadata and its process.

`machines` lets one thread at a time start, stop or remove it. Asking for `pid`, taking over what
changed (`refresh`) and watching the process happen beside that.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.region.aws.view import Instance, Snapshot
from tests.region.machines import cgroups, disk, hardware, imds, link, metadata, nspawn

# How long an orderly stop may take before the power is cut; EC2 waits some minutes.
STOP_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What all machines of a region share."""

    region: str
    state_dir: Path
    rootfs: Path
    authority: str | None  # the certificate to trust beside the public ones, as PEM

    @property
    def machines(self) -> Path:
        return self.state_dir / "machines"

    @property
    def shared(self) -> Path:
        return self.state_dir / "efs"

    def folder(self, instance_id: str) -> Path:
        return self.machines / instance_id

    def console(self, instance_id: str) -> Path:
        """The console outlives the machine: people read it when the machine is gone."""
        return self.state_dir / "logs" / f"console-{instance_id}.log"


class Machine:
    def __init__(
        self,
        instance: Instance,
        *,
        place: Place,
        issuer: imds.Issuer,
        on_exit: Callable[[str], None],
    ) -> None:
        self.instance = instance
        self._place = place
        self._issuer = issuer
        self._on_exit = on_exit
        self._group = cgroups.machine(place.region, instance.id)
        self._folders = nspawn.Folders(base=place.folder(instance.id))
        self._space = link.name(place.region, instance.id)
        self._process: subprocess.Popen[bytes] | None = None
        self._imds: imds.Server | None = None
        self._ending = False
        self._lock = threading.RLock()

    @property
    def runs(self) -> bool:
        process = self._process
        return process is not None and process.poll() is None

    @property
    def pid(self) -> int | None:
        """The machine's first process, as the host numbers it, once it is its init.

        Before that, systemd-nspawn's children still stand in the host's root: what is done through
        them would be lost when the machine's own root takes its place.
        """
        process = self._process
        if process is None:
            return None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        try:
            numbers = children.read_text().split()
            is_init = bool(numbers) and Path(f"/proc/{numbers[0]}/comm").read_text() == "systemd\n"
        except (FileNotFoundError, ProcessLookupError):
            return None
        return int(numbers[0]) if is_init else None

    def start(self, namespace: str, snapshot: Snapshot) -> None:
        """Power on, in the network *namespace* that the fabric made."""
        cgroups.end(self._group)
        self._prepare_disk(snapshot)
        self._serve_metadata(namespace, snapshot)
        with self._lock:
            self._ending = False
            self._launch(namespace)

    def refresh(self, instance: Instance) -> None:
        """Take over what may change while the machine runs."""
        with self._lock:
            changed = instance.hop_limit != self.instance.hop_limit
            self.instance = instance
            if self._imds is not None:
                self._imds.service.instance = instance
                if changed:
                    link.set_hop_limit(self._space, instance.hop_limit)

    def stop(self) -> None:
        """Ask the machine to power itself off; cut the power if it takes too long."""
        with self._lock:
            self._ending = True
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Cut the power: nothing of the machine is left but its disk."""
        with self._lock:
            self._ending = True
            served, self._imds = self._imds, None
        cgroups.end(self._group)
        if self._process is not None:
            self._process.wait()
            self._process = None
        if served is not None:
            served.close()
        link.unplug(self._space)

    def crash(self) -> None:
        """Fail as its host does: at once; whoever watches the machine hears of it."""
        cgroups.kill(self._group)

    def remove(self) -> None:
        """Throw the disk away."""
        disk.remove_tree(self._folders.base)

    def _prepare_disk(self, snapshot: Snapshot) -> None:
        place, instance = self._place, self.instance
        self._folders.make()
        place.shared.mkdir(parents=True, exist_ok=True)
        place.console(instance.id).parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._folders.upper / disk.HARDWARE, ignore_errors=True)
        is_new = not (self._folders.upper / "etc/region").exists()
        files = {**self._seen_hardware(), **self._identity()}
        if is_new:
            files |= self._first(snapshot)
        disk.write(self._folders.upper, place.rootfs, files)

    def _seen_hardware(self) -> Mapping[str, str]:
        seen = hardware.files(
            vcpus=self.instance.vcpus,
            memory_mib=self.instance.memory_mib,
            cpuinfo=Path("/proc/cpuinfo").read_text(),
        )
        return {f"{disk.HARDWARE}/{name}": text for name, text in seen.items()}

    def _identity(self) -> Mapping[str, str]:
        return disk.identity(instance_id=self.instance.id, vpc_id=self.instance.vpc_id)

    def _first(self, snapshot: Snapshot) -> Mapping[str, str]:
        """What the machine may change itself later, so it is written once."""
        facts = _facts(self.instance, snapshot)
        files = disk.resolver(vpc_cidr=facts.vpc_cidr, region=facts.region)
        if self._place.authority is None:
            return files
        bundle = (self._place.rootfs / disk.BUNDLE).read_text()
        return {**files, **disk.trust(self._place.authority, bundle)}

    def _serve_metadata(self, namespace: str, snapshot: Snapshot) -> None:
        listener = link.plug(self._space, namespace, self.instance.hop_limit)
        service = imds.Service(self.instance, _facts(self.instance, snapshot), self._issuer)
        self._imds = imds.Server(listener, service)

    def _launch(self, namespace: str) -> None:
        instance = self.instance
        cgroups.make(
            self._group,
            vcpus=instance.vcpus,
            memory_mib=instance.memory_mib,
            host_cpus=os.cpu_count() or 1,
        )
        argv = nspawn.command(
            name=instance.id,
            namespace=namespace,
            group=self._group,
            rootfs=self._place.rootfs,
            folders=self._folders,
            shared=self._place.shared,
        )
        with self._place.console(instance.id).open("ab") as console:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )
        watcher = threading.Thread(
            target=self._watch,
            args=(self._process, namespace),
            daemon=True,
            name=f"watch {instance.id}",
        )
        watcher.start()

    def _watch(self, process: subprocess.Popen[bytes], namespace: str) -> None:
        """Tell when the machine ends by itself; start it again when it asked for that."""
        code = process.wait()
        with self._lock:
            if self._ending:
                return
            if code == nspawn.REBOOT:
                cgroups.end(self._group)
                self._launch(namespace)
                return
        self._on_exit(self.instance.id)


def _facts(instance: Instance, snapshot: Snapshot) -> metadata.Facts:
    vpc = next(vpc for vpc in snapshot.vpcs if vpc.id == instance.vpc_id)
    subnet = next(subnet for subnet in snapshot.subnets if subnet.id == instance.subnet_id)
    return metadata.Facts(
        account=snapshot.account,
        region=snapshot.region,
        vpc_cidr=vpc.cidr,
        subnet_cidr=subnet.cidr,
        launched=datetime.now(UTC),
    )

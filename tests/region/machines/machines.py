"""The machines of a region: what runs is made to follow what the AWS view says.

`decide` is the rule; `Machines` carries it out, one thread at a time for each instance, so that
a slow stop of one machine delays no other.
"""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from tests.region.aws.view import Instance, Snapshot
from tests.region.machines import cgroups, console, disk, imds, link
from tests.region.machines.machine import Machine, Place
from tests.region.net import netns

logger = logging.getLogger(__name__)

AUTHORITY: Final = "tls/ca.pem"
_AT_ONCE: Final = 8


class Fabric(Protocol):
    def namespace(self, instance_id: str) -> str: ...
    def forget(self, instance_id: str) -> None: ...


class Aws(imds.Issuer, Protocol):
    def machine_started(self, instance_id: str) -> None: ...
    def machine_stopped(self, instance_id: str) -> None: ...


class Step(StrEnum):
    NOTHING = "nothing"
    START = "start"
    STOP = "stop"
    REMOVE = "remove"
    TELL = "tell AWS about the end of"


def decide(state: str | None, *, runs: bool, ended: bool) -> Step:
    """Answer what to do with a machine that we have, or are to have.

    *state* is the instance's, None when AWS has forgotten it; *ended* says that the machine went
    off by itself, and AWS has not answered that yet.
    """
    match state:
        case "pending" | "running":
            return Step.NOTHING if runs or ended else Step.START
        case "stopping" | "stopped":
            return Step.STOP if runs else Step.NOTHING
        case _:
            return Step.REMOVE


@dataclass(slots=True)
class _Slot:
    machine: Machine
    busy: bool = False
    went_off: bool = False  # by itself, and nobody has been told
    ended: bool = False  # by itself, and AWS has not answered


@dataclass(slots=True)
class _Known:
    snapshot: Snapshot | None = None
    slots: dict[str, _Slot] = field(default_factory=dict)


class Machines:
    def __init__(self, state_dir: Path, rootfs: Path, fabric: Fabric, aws: Aws) -> None:
        authority = state_dir / AUTHORITY
        self._place = Place(
            region=state_dir.name,
            state_dir=state_dir,
            rootfs=rootfs,
            authority=authority.read_text() if authority.exists() else None,
        )
        self._fabric = fabric
        self._aws = aws
        self._known = _Known()
        self._lock = threading.RLock()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="machines")
        self._closed = False

    def reconcile(self, snapshot: Snapshot) -> None:
        """Begin whatever brings the machines to what *snapshot* says; answers at once.

        The fabric must have been reconciled with the same snapshot before.
        """
        with self._lock:
            self._known.snapshot = snapshot
            for instance in snapshot.instances:
                self._meet(instance)
            for instance_id in list(self._known.slots):
                self._continue(instance_id)

    def console(self, instance_id: str) -> str:
        return console.tail(self._place.console(instance_id))

    def pid(self, instance_id: str) -> int | None:
        """The machine's first process: `nsenter -t PID -a` is a shell inside."""
        slot = self._known.slots.get(instance_id)
        return slot.machine.pid if slot else None

    def crash(self, instance_id: str) -> None:
        """Let the host of a machine fail; AWS shows it stopped then."""
        self._known.slots[instance_id].machine.crash()

    def is_settled(self) -> bool:
        """Whether nothing is under way, and nothing is left to do for the last snapshot."""
        with self._lock:
            return not any(
                slot.busy or self._step(instance_id, slot) is not Step.NOTHING
                for instance_id, slot in self._known.slots.items()
            )

    def close(self) -> None:
        """Cut the power of all machines. Their disks stay for whoever removes the state."""
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda slot: slot.machine.kill(), self._known.slots.values()))
        cleanup(self._place.state_dir, self._place.region)

    def _meet(self, instance: Instance) -> None:
        slot = self._known.slots.get(instance.id)
        if slot is not None:
            slot.machine.refresh(instance)
        elif decide(instance.state, runs=False, ended=False) is not Step.REMOVE:
            machine = Machine(instance, place=self._place, issuer=self._aws, on_exit=self._went_off)
            self._known.slots[instance.id] = _Slot(machine)

    def _instance(self, instance_id: str) -> Instance | None:
        snapshot = self._known.snapshot
        found = (one for one in snapshot.instances if one.id == instance_id) if snapshot else ()
        return next(iter(found), None)

    def _step(self, instance_id: str, slot: _Slot) -> Step:
        if slot.went_off:
            return Step.TELL
        instance = self._instance(instance_id)
        state = instance.state if instance else None
        if state not in {"pending", "running"}:
            slot.ended = False
        step = decide(state, runs=slot.machine.runs, ended=slot.ended)
        # The network comes first; without it the next reconcile tries again.
        if step is Step.START and not netns.exists(self._fabric.namespace(instance_id)):
            return Step.NOTHING
        return step

    def _continue(self, instance_id: str) -> None:
        """Hand the next step of a machine to a thread, unless it is at one already."""
        slot = self._known.slots[instance_id]
        if slot.busy or self._closed or self._step(instance_id, slot) is Step.NOTHING:
            return
        slot.busy = True
        self._pool.submit(self._work, instance_id, slot)

    def _work(self, instance_id: str, slot: _Slot) -> None:
        """Take steps until none is left: the world may have moved on during each."""
        while (step := self._next(instance_id, slot)) is not Step.NOTHING:
            try:
                self._take(step, instance_id, slot)
            except Exception:
                logger.exception("Cannot %s machine %s", step, instance_id)
                if self._is_hopeless(step, slot):
                    return

    def _is_hopeless(self, step: Step, slot: _Slot) -> bool:
        """Decide about a step that failed: is it for the next reconcile to try again?

        A machine that cannot start or stop counts as one that went off: AWS tells its users.
        """
        with self._lock:
            slot.went_off = slot.ended = step in {Step.START, Step.STOP}
            slot.busy = slot.went_off
            return not slot.busy

    def _next(self, instance_id: str, slot: _Slot) -> Step:
        with self._lock:
            step = self._step(instance_id, slot)
            if self._closed or slot is not self._known.slots.get(instance_id):
                step = Step.NOTHING
            slot.busy = step is not Step.NOTHING
            return step

    def _take(self, step: Step, instance_id: str, slot: _Slot) -> None:
        match step:
            case Step.START:
                snapshot = self._known.snapshot
                assert snapshot is not None
                slot.machine.start(self._fabric.namespace(instance_id), snapshot)
                self._aws.machine_started(instance_id)
            case Step.STOP:
                slot.machine.stop()
                self._after_end(instance_id)
            case Step.TELL:
                slot.went_off = False
                slot.machine.kill()
                self._after_end(instance_id)
            case Step.REMOVE:
                slot.machine.kill()
                slot.machine.remove()
                with self._lock:
                    del self._known.slots[instance_id]
                self._after_end(instance_id)

    def _after_end(self, instance_id: str) -> None:
        """The network goes before AWS says so: from then on somebody may start it again."""
        self._fabric.forget(instance_id)
        self._aws.machine_stopped(instance_id)

    def _went_off(self, instance_id: str) -> None:
        """Hear from a machine that it powered itself off."""
        with self._lock:
            slot = self._known.slots.get(instance_id)
            if slot is not None:
                slot.went_off = slot.ended = True
                self._continue(instance_id)


def cleanup(state_dir: Path, region: str) -> None:
    """End what a region that was killed has left: processes, control groups, metadata services.

    Mounts need nothing: they are in mount namespaces of the machines and end with them.
    """
    for group in cgroups.of_region(region):
        cgroups.end(group)
    for space in netns.names(link.name(region, "")):
        link.unplug(space)
    disk.remove_tree(state_dir / "machines")

"""A cluster's old life ends, so that the next `create` begins with a snapshot of the datastore.

All machines but the gateway go: what ran on a worker would go on beside what is restored, and no
worker registers again with a Kubernetes that has never heard of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from clusterous_api import names
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster.config import ClusterConfig, VolumeType
from clusterous_cli.cluster.config import Volume as Asked
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import Blob
from clusterous_cli.plan import converge, inventory
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.files import BUCKET
from clusterous_cli.plan.kinds.kind import Found
from clusterous_cli.plan.kinds.machines import MACHINES
from clusterous_cli.plan.kinds.volume import keeping, state
from clusterous_cli.plan.snapshots import moving
from clusterous_cli.plan.snapshots.moving import Copy, Moving
from clusterous_cli.system import wait
from clusterous_cli.terminal.lines import Lines
from clusterous_cli.turns import lock

LINE: Final = "state"


def ending(found: Iterable[Found]) -> tuple[Found, ...]:
    """Return the machines that end. Pure."""
    return tuple(
        one for one in found if one.kind is MACHINES and one.ours and one.key != names.ROLE_GATEWAY
    )


def lives(found: Iterable[Found]) -> bool:
    """Whether there is a life to be ended: machines, or a datastore that has begun. Pure."""
    things = list(found)
    return bool(ending(things)) or has_state(things) or state.present(things, ()).begun


def has_state(found: Iterable[Found]) -> bool:
    """Whether the volume is there with what the controller knows. Pure."""
    return state.present(list(found), ()).own is not None


class Files(StrEnum):
    """What becomes of the shared volume."""

    STAYS = "stays"  # or there is none
    COPIED = "copied"
    EMPTY = "empty"
    NAMED = "named"  # the cluster file names one


def files(asked: Asked, found: Iterable[Found], *, is_copied: bool) -> Files:
    """Say what becomes of it: what is there stays, whatever it was made of. Pure.

    A new one *is_copied*, or is empty; one that is *asked* for by its id is that.
    """
    there = keeping.present(found, asked, None)
    if asked.type is VolumeType.NONE or there.type is not None:
        return Files.STAYS
    if asked.id is not None:
        return Files.NAMED
    return Files.COPIED if is_copied and asked.served else Files.EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What is wanted in another zone, and the copy of the shared volume that was made for that."""

    config: ClusterConfig
    copy: Copy | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoring:
    """Ends the life that there is, in the order that may be cut short anywhere."""

    cloud: Aws
    who: Identity
    lines: Lines
    pauses: wait.Pauses
    breaks: bool = False  # take the turn also from who is at work
    moving: Moving | None = None  # where the next life is in another zone

    def run(self, snapshot: Blob) -> Moved | None:
        """Do it; a cluster that is not there yet has none. Return what became of its volume."""
        if not any(one.kind is BUCKET for one in inventory.take(self.cloud, self.who)):
            return None
        taken = lock.Lock(
            cloud=self.cloud, who=self.who, doing="a restore", pauses=self.pauses,
            breaks=self.breaks,
        )  # fmt: skip
        with lock.held(taken, self.lines):
            found = inventory.take(self.cloud, self.who)
            if not lives(found) and self.moving is None:
                return None
            site = Site(cloud=self.cloud, who=self.who, pauses=self.pauses)
            site.s3("put_object", Key=snapshot.key, Body=snapshot.content)
            self.end(ending(found))
            copy = self.moving.copied(found) if self.moving else None
            state.put_aside(site, snapshot.sha256)
            self.lines.set(LINE, "the one before is put aside", done=True)
            if self.moving is None:
                return None
            # While the subnet is there, the controller is where that is.
            self.end(moving.bound(found, self.moving.zone))
            return Moved(copy=copy, config=self.moving.settle(found, copy))

    def end(self, things: Sequence[Found]) -> None:
        """Let things go that hold no data, and wait until they have."""
        ended = converge.Destroy(
            cloud=self.cloud, who=self.who, lines=self.lines, pauses=self.pauses
        ).execute(things, converge.SECONDS)
        if ended.failed:
            raise converge.first_of(ended)

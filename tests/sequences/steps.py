"""What people do to a cluster, and what befalls it, as values."""

from dataclasses import dataclass
from typing import Final

from tests.sequences.files import File

# What is lost beside machines; create makes each anew.
GROUND: Final = ("nat gateway", "rules", "endpoint", "role policy", "bucket policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """`create` beside *file* (None: by the cluster's name, as its record says it is).

    One that *dies* is killed at the call with this number that changes something, and then typed
    again.
    """

    file: File | None = None
    dies: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """There is a volume in a *zone* that a cluster of before left."""

    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """`add-nodes COUNT POOL`."""

    pool: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """`rm-nodes COUNT POOL`."""

    pool: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveNamed:
    """`rm-nodes NODE`: the oldest machine of a pool, or another *replaces* it."""

    pool: str
    replaces: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Somebody ends all machines of the pool *what*, or removes that of the ground."""

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchOff:
    """The controller is powered off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """`volume snapshot`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoseVolume:
    """The controller ends, and somebody deletes the shared volume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreVolume:
    """`volume restore` of the newest snapshot, where the cluster is or was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreState:
    """`snapshot restore newest`: all but the gateway begins again with what Kubernetes knew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroy:
    """`destroy`, with an *option* or none; one that *dies* is typed again, as create is."""

    option: str = ""
    dies: int | None = None


Step = (
    Earlier | Create | Add | Remove | RemoveNamed | Kill | SwitchOff | Snapshot | LoseVolume
    | RestoreVolume | RestoreState | Destroy
)  # fmt: skip
EARLIER_GIB: Final = 25
KEEPS: Final = "--leave-shared-volume"
FORCES: Final = "--force-delete-shared-volume"

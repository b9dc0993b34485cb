"""Stories: what stands before, what is typed, and what is to be there at the end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from clusterous_api import names
from clusterous_cli.cluster import record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import tags_of
from tests.functional import cloud

NAME: Final = "reef"
DESTROY: Final = ("destroy", NAME, "--yes")


def _nothing(world: cloud.World) -> None:
    """Let the cluster be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """*before* is the cluster file that the cluster was made by, if there is one at the beginning;
    *upset* is what happens to it then; *file* is the file that *argv* is typed beside. *refusals*
    are the settings with which AWS has too little of something.
    """

    name: str
    file: str
    argv: tuple[str, ...]
    before: str | None = None
    upset: Callable[[cloud.World], None] = _nothing
    workers: int | None = None  # None: nothing is to be there
    by_number: bool = False  # once it has ended, the same again is another change
    refusals: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def _lost(world: cloud.World) -> None:
    who = Identity(name=NAME, account=world.cloud.account, region=world.cloud.region)
    world.end(
        *(
            one["InstanceId"]
            for one in record.machines(world.cloud, who)
            if tags_of(one)[names.TAG_ROLE] == names.ROLE_CONTROLLER
        )
    )


def _file(workers: int) -> str:
    return f"name: {NAME}\nworkers: {workers}\n"


MACHINES: Final[dict[str, dict[str, Any]]] = {
    "no capacity": {"capacity": {"t3.large": 0, "t3.medium": 0}},
    "no processors left": {"vcpu_limit": 1},
}
STORIES: Final = (
    Story(
        name="create", file=_file(2), argv=("create", "--yes", "--quiet"), workers=2,
        refusals={
            **MACHINES,
            "no network left": {"vpc_limit": 0},
            "no address left": {"eip_limit": 0},
            "no volume left": {"gp3_tib_limit": 0},
        },
    ),
    Story(name="destroy", before=_file(2), file=_file(2), argv=DESTROY),
    Story(
        name="add-nodes", before=_file(1), file=_file(3), workers=3, refusals=MACHINES,
        by_number=True,
        argv=("add-nodes", "2", "worker", "--yes"),
    ),
    Story(
        name="rm-nodes", before=_file(3), file=_file(1), workers=1, by_number=True,
        argv=("rm-nodes", "2", "worker", "--yes"),
    ),
    Story(
        name="replacement", before=_file(1), file=_file(1), upset=_lost, workers=1,
        argv=("create", "--yes", "--quiet"), refusals=MACHINES,
    ),
)  # fmt: skip

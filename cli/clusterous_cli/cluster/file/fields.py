"""Each key of the cluster file: what it is, and what a change of it does to a cluster that runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Effect(StrEnum):
    """What `create` does with a changed key while the cluster lives."""

    NOTHING = "nothing"
    OTHER = "another cluster"
    DONE = "done"
    NEW = "new machines only"
    FURTHER = "new things only"
    LATER = "not yet"
    REFUSED = "refused"


SAYS: Final[Mapping[Effect, str]] = {
    Effect.NOTHING: "nothing is to be done",
    Effect.OTHER: "the file is of another cluster then: `create` makes that, and this one stays",
    Effect.DONE: "`create` does it, while programs go on",
    Effect.NEW: "machines that are started from now on have it; those that run stay as they are,"
    " `plan` says so and ends with 4",
    Effect.FURTHER: "what is made from now on has it, and what exists stays as it is",
    Effect.LATER: "nothing yet: all machines keep it, and new ones get what the controller has;"
    " `plan` says so and ends with 4",
    Effect.REFUSED: "refused, and nothing is changed: it would mean to make a living thing anew",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One key: *what* it is; what a change of it has as its *effect*, and how else to get there."""

    what: str
    effect: Effect
    way: str = ""


_ONE_BY_ONE: Final = (
    "to get there: `clusterous rm-nodes NODE --replace` puts a new machine in the place of a"
    " worker, one after the other"
)
_STAYS: Final = "this machine keeps it until it is lost and made anew"
_ANEW: Final = (
    "to get there: `destroy` with `--leave-shared-volume`, then `create`, with `volume: {id: …}`"
)
_OTHER_POOL: Final = (
    "to get there: add a pool of the new type, then take the old one's `count` to 0: its machines"
    " are drained"
)
_FIGURES: Final = (
    "AWS takes the next change of a volume when the one before is completed, and four in 24 hours:"
    " `create` then ends with 75, and says so"
)

FIELDS: Final[Mapping[str, Field]] = {
    "version": Field(
        what="the form of this file; a newer one than a clusterous knows is refused by it",
        effect=Effect.NOTHING,
    ),
    "name": Field(
        what="what the cluster is called, as is everything of it in AWS",
        effect=Effect.OTHER,
        way="a cluster cannot be renamed",
    ),
    "region": Field(
        what="the AWS region; where it is not said, that of the AWS tools",
        effect=Effect.OTHER,
        way="a cluster cannot be moved",
    ),
    "image": Field(
        what="what machines boot: a name, whose newest image is taken, or an id",
        effect=Effect.NEW,
        way=f"{_ONE_BY_ONE}; gateway and controller keep it until they are lost and made anew",
    ),
    "k3s": Field(what="the release of k3s", effect=Effect.LATER, way=_ANEW),
    "network.cidr": Field(
        what="the private IPv4 network of the machines", effect=Effect.REFUSED, way=_ANEW
    ),
    "network.zone": Field(
        what="the zone; where it is not said, the first that has all machine types",
        effect=Effect.REFUSED,
        way="a volume cannot leave its zone: make one there from a snapshot, and a new cluster",
    ),
    "gateway.type": Field(
        what="the type of the one machine with a public address, which only forwards SSH",
        effect=Effect.REFUSED,
        way="to get there: end the gateway's machine (programs go on), then `create` with the new"
        " type",
    ),
    "gateway.disk": Field(what="GiB of its disk", effect=Effect.NEW, way=_STAYS),
    "gateway.allow": Field(
        what="who may reach SSH on the gateway; where it is not said, your address of today",
        effect=Effect.DONE,
        way="`plan` names who is let in and who is locked out",
    ),
    "controller.type": Field(
        what="the type of the machine that runs Kubernetes", effect=Effect.REFUSED, way=_ANEW
    ),
    "controller.disk": Field(what="GiB of its disk", effect=Effect.NEW, way=_STAYS),
    "master.type": Field(
        what="the type of the machine for masters; `master: none`: they are on workers",
        effect=Effect.REFUSED,
        way="to get there: `master: none`, which drains and ends it, then the new type",
    ),
    "master.disk": Field(
        what="GiB of its disk",
        effect=Effect.NEW,
        way="to get there: `clusterous rm-nodes master --replace`",
    ),
    "workers.type": Field(
        what="the type of the machines that run programs",
        effect=Effect.REFUSED,
        way=_OTHER_POOL,
    ),
    "workers.count": Field(
        what="how many there are",
        effect=Effect.DONE,
        way="of fewer, `create` asks for the cluster's name, then drains machines and ends them",
    ),
    "workers.disk": Field(what="GiB of each one's disk", effect=Effect.NEW, way=_ONE_BY_ONE),
    "workers.labels": Field(
        what="labels of its nodes in Kubernetes", effect=Effect.NEW, way=_ONE_BY_ONE
    ),
    "workers.taints": Field(
        what="taints of its nodes: only what tolerates them runs there",
        effect=Effect.NEW,
        way=_ONE_BY_ONE,
    ),
    "pools": Field(
        what="more workers, in pools by name, each with the keys of `workers` or its number alone",
        effect=Effect.DONE,
        way="a pool that the file has no more is drained and ended; its keys are as those of"
        " `workers`",
    ),
    "volume.type": Field(
        what="what the shared volume at /home/data is made of",
        effect=Effect.REFUSED,
        way="no change of the file ever replaces or removes a volume: `get` the data, and `put` it"
        " into a new cluster",
    ),
    "volume.size": Field(
        what="GiB of it, of type ebs only",
        effect=Effect.DONE,
        way=f"a smaller one is refused. {_FIGURES}",
    ),
    "volume.iops": Field(
        what="its operations a second, of type ebs only", effect=Effect.DONE, way=_FIGURES
    ),
    "volume.throughput": Field(
        what="its MiB a second, of type ebs only", effect=Effect.DONE, way=_FIGURES
    ),
    "volume.id": Field(
        what="an existing volume, which is never formatted, tagged or removed",
        effect=Effect.REFUSED,
        way="a cluster keeps its volume; a new cluster can have another one",
    ),
    "registry.type": Field(
        what="where images are kept: `ecr`, or `s3`: by a registry on the cluster, in a bucket that"
        " clusters share",
        effect=Effect.REFUSED,
        way="machines learn where their images are when they are started; a new cluster can have"
        " the other",
    ),
    "registry.bucket": Field(
        what="the bucket, of type s3 only; where it is not said, one for all of the account's"
        " clusters in the region",
        effect=Effect.REFUSED,
        way="apps name images that only this bucket has; a new cluster can have another",
    ),
    "logging.level": Field(
        what="1: what programs say is collected; 2: also what the system says; `logging: none`:"
        " nothing",
        effect=Effect.DONE,
        way="without `logging`, central logging goes; what was collected stays on the cluster's"
        " disk, and `clusterous logging off` removes that, too",
    ),
    "logging.store": Field(
        what="where to: `efk` (Elasticsearch and Kibana), `light` (VictoriaLogs), or `yours` and"
        " `opensearch`, which there are already",
        effect=Effect.DONE,
        way="what was collected stays where it was, and the new store begins empty",
    ),
    "logging.days": Field(what="for how many days it is kept at least", effect=Effect.DONE),
    "logging.size": Field(
        what="GiB of the disk on which `efk` or `light` keep it, of a machine of the cluster",
        effect=Effect.DONE,
        way="a disk that is there stays as it is, and how much is kept on it follows",
    ),
    "logging.url": Field(
        what="where `yours` or `opensearch` is; how to log in there is in a Secret",
        effect=Effect.DONE,
    ),
    "tags": Field(
        what="tags on everything that is made, in the very call that makes it",
        effect=Effect.FURTHER,
        way="AWS's own tools give them to what exists",
    ),
    "environment_file": Field(
        what="a program that `create` runs when the cluster is there, by its file's path from here",
        effect=Effect.NOTHING,
        way="`create` runs what it names; what ran before goes on",
    ),
}


def row(key: str) -> str:
    """Say what a change of *key* does, as a row of the page."""
    one = FIELDS[key]
    more = f". {one.way[0].upper()}{one.way[1:]}" if one.way else ""
    return f"| `{key}` | {one.effect} | {one.what} | {SAYS[one.effect]}{more} |"


def of_pool(key: str) -> Field:
    """Return what a *key* of any pool is: that of `workers`."""
    return FIELDS[f"workers.{key}"]

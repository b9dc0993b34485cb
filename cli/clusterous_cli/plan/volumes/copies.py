"""Copies of a shared volume on EBS: a snapshot is taken of it, and a volume is made of a snapshot.

A snapshot holds what had reached the volume when it began, as after a power cut: the file system's
journal makes that whole. AWS knows no token for the call that takes one, so that what became of a
call whose answer was lost is told by a name that nothing else has.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import FailedError, NotBeforeError, TransientError, UserError
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import record
from clusterous_cli.cluster.config import ClusterConfig, VolumeType, without_volume
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import as_items
from clusterous_cli.plan import design
from clusterous_cli.plan.executor import Act, Executor
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.kind import Action, Found, Kind, Scope, Step
from clusterous_cli.plan.kinds.volume import ebs, keeping, snapshot, state
from clusterous_cli.plan.snapshots import stored
from clusterous_cli.plan.volumes import stock
from clusterous_cli.plan.volumes.stock import Thing, Type
from clusterous_cli.system import wait
from clusterous_cli.terminal import spell

# https://docs.aws.amazon.com/ebs/latest/userguide/ebs-resource-quotas.html
AT_ONCE: Final = "ConcurrentSnapshotLimitExceeded"
TOO_OFTEN: Final = "SnapshotCreationPerVolumeRateExceeded"
MOST_AT_ONCE: Final = 5
COMPLETE_SECONDS: Final = 24 * 3600.0
AVAILABLE_SECONDS: Final = 600.0
# From when on it can be told how long the rest takes.
ESTIMATE_SECONDS: Final = 10.0
ON_EFS: Final = (
    "The shared volume is a file system on EFS, of which AWS takes no snapshots. AWS Backup makes"
    " copies of it (aws backup start-backup-job), or copy with `clusterous get`."
)


def source(cloud: Aws, who: Identity, kept: Mapping[str, Any]) -> Found:
    """Find the volume of the cluster with the record *kept*; refuse what has no snapshots."""
    asked = ClusterConfig.from_record(kept["config"]).volume
    if asked.type is VolumeType.NONE:
        raise without_volume(who.name)
    if not asked.served:
        raise UserError(ON_EFS)
    there = keeping.present(ebs.look(Scope(cloud=cloud, who=who)), asked, kept["config"]["volume"])
    if id := keeping.lost(there):
        raise keeping.loss(id, str(kept["zone"]), ebs.newest_snapshot(cloud, id))
    if there.volume is None:
        raise UserError(f"{who.name} has no volume yet: run `clusterous create` to its end.")
    if not keeping.is_formatted(there):
        raise UserError(
            f"There is nothing on {there.volume.id} yet, not even a file system: run `clusterous"
            " create` until the cluster is ready."
        )
    return there.volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """A snapshot that is to be taken of a cluster's volume; *now* gives it its name."""

    cloud: Aws
    who: Identity
    volume: Found
    now: datetime
    description: str = ""
    more: tuple[tuple[str, str], ...] = ()  # tags that the person wants
    pauses: wait.Pauses

    @property
    def name(self) -> str:
        """Return a name that no other snapshot has."""
        return f"{self.who.name}-volume-{self.now:%Y%m%dT%H%M%S.%fZ}"

    @property
    def tags(self) -> dict[str, str]:
        """Return its tags: it is kept from the beginning, and nobody's."""
        system = {names.TAG_FORMATTED: "xfs"} if self.volume.kind is ebs.VOLUME else {}
        return {**dict(self.more), names.TAG_KEPT: self.who.name, "Name": self.name, **system}

    def begin(self) -> str:
        """Let AWS begin, and return the id; from then on nothing that is written is in it."""
        asked: list[str] = []

        def act(step: Step, ids: Mapping[str, str]) -> str:
            if asked and (there := self.there(step)):
                return there
            asked.append(step.key)
            return self.call()

        return carried_out(snapshot.SNAPSHOT, act, self.pauses, self.there)

    def call(self) -> str:
        """Ask AWS once."""
        answer = self.cloud.attempt(
            "ec2", "create_snapshot", AT_ONCE, TOO_OFTEN, VolumeId=self.volume.id,
            Description=self.description or f"Shared volume of {self.who.name}",
            TagSpecifications=[{"ResourceType": "snapshot", "Tags": as_items(self.tags)}],
        )  # fmt: skip
        if answer is None:
            self.refuse()
            raise TransientError("AWS begins a snapshot of a volume every 15 s only.")
        return str(answer["SnapshotId"])

    def refuse(self) -> None:
        """Say which snapshots have to be complete before AWS takes another."""
        pending = [
            one["SnapshotId"] for one in snapshot.listed(self.cloud, "volume-id", self.volume.id)
            if one["State"] == "pending"
        ]  # fmt: skip
        if len(pending) >= MOST_AT_ONCE:
            raise NotBeforeError(
                f"AWS takes no more than {MOST_AT_ONCE} snapshots of a volume at a time, and"
                f" {', '.join(pending)} are not complete yet. Run this again when one is;"
                " `clusterous ls-volumes` shows how far they are."
            )

    def there(self, step: Step) -> str | None:
        """Return the id of what a call made whose answer was lost."""
        named = snapshot.listed(self.cloud, "tag:Name", self.name)
        return next((str(one["SnapshotId"]) for one in named), None)


def carried_out(
    kind: Kind,
    act: Act,
    pauses: wait.Pauses,
    lookup: Callable[[Step], str | None] = lambda step: None,
) -> str:
    """Make one thing, with the patience of `create`; return its id."""
    step = Step(action=Action.CREATE, key=kind.name, kind=kind)
    outcome = Executor(act=act, pauses=pauses, lookup=lookup, seconds=120.0).run([step], {})
    if outcome.failed:
        raise outcome.failed[0][1]
    return outcome.ids[step.key]


def await_complete(cloud: Aws, id: str, pauses: wait.Pauses, tell: Callable[[str], None]) -> None:
    """Wait until a snapshot is complete; *tell* hears how far it is."""
    began, delay = pauses.clock(), 1.0
    while (passed := pauses.clock() - began) < COMPLETE_SECONDS:
        listed = snapshot.listed(cloud, "snapshot-id", id)
        state = listed[0]["State"] if listed else "pending"
        if state == "completed":
            return
        if state == "error":
            why = listed[0].get("StateMessage") or "AWS does not say why"
            raise FailedError(f"The snapshot {id} failed, and nothing can be made of it: {why}.")
        tell(progress(listed[0].get("Progress", "") if listed else "", passed))
        pauses.sleep(delay)
        delay = min(delay * 1.3, 15.0)
    raise NotBeforeError(f"{id} is not complete yet; `clusterous ls-volumes` shows how far it is.")


def shown(cloud: Aws, id: str, pauses: wait.Pauses) -> Thing:
    """Return what AWS shows of a thing that was just made, which may take it a moment."""
    return wait.until(
        lambda: stock.look(cloud, id, stock.Users()), f"Seeing {id}", pauses, timeout=60
    )


def progress(said: str, passed: float) -> str:
    """Say how far a snapshot is, by AWS's percentage, and how long the rest may take."""
    done = int(said.rstrip("%")) if said.rstrip("%").isdecimal() else 0
    if not 0 < done < 100 or passed < ESTIMATE_SECONDS:
        return f"{done}%"
    return f"{done}%, about {spell.duration(passed / done * (100 - done))} more"


def check(copy: Thing) -> None:
    """Refuse what is no snapshot."""
    if copy.type is not Type.SNAPSHOT:
        raise UserError(
            f"{copy.id} is a volume already: a new cluster takes it by volume: {{id: {copy.id}}}."
        )


def check_complete(copy: Found) -> None:
    """Refuse a snapshot of which AWS makes no volume yet."""
    value: snapshot.Snapshot = copy.value
    if value.state != "completed":
        raise NotBeforeError(
            f"{copy.id} is not complete yet ({value.state} {value.progress}): run this again when"
            " it is; `clusterous ls-volumes` shows that."
        )


def beside(cloud: Aws, owner: Identity, one: stored.Snapshot) -> Found:
    """Find the snapshot of the shared volume that was taken with *one* of the datastore.

    Which it is comes from the controller, which could name any of the account: it counts if it is
    of its own cluster.
    """
    listed = snapshot.listed(cloud, "snapshot-id", one.volume)
    found = [read for each in listed if (read := snapshot.read(each)).value.kept == owner.name]
    if not found:
        raise UserError(
            f"The shared volume's snapshot {one.volume}, which was taken with {one.name}, is gone."
            " --without-volume begins with an empty volume."
        )
    check_complete(found[0])
    return found[0]


def belong(cloud: Aws, id: str, name: str) -> None:
    """Tag a snapshot of the shared volume as of the datastore's of this *name*."""
    tag = {"Key": names.TAG_BESIDE, "Value": name}
    cloud.call("ec2", "create_tags", Resources=[id], Tags=[tag])


def fitting(config: ClusterConfig, copy: Found, *, may_grow: bool) -> ClusterConfig:
    """Return the configuration with a volume that holds what is in *copy*, or refuse it."""
    value: snapshot.Snapshot = copy.value
    if (config.volume.size or 0) >= value.size:
        return config
    if not may_grow:
        raise UserError(
            f"volume.size is {config.volume.size} GiB, and the shared volume had {value.size} when"
            f" {copy.id} was taken: say size: {value.size}, or --without-volume."
        )
    return replace(config, volume=replace(config.volume, size=value.size))


def zone(
    cloud: Aws,
    who: Identity,
    copy: Found,
    asked: str | None,
    following: Callable[[], ClusterConfig],
) -> str:
    """Return where a volume is to be: as *asked*, where its cluster is, or where the first was.

    Where nothing tells of those any more, it is where the *following* cluster would be made.
    """
    if asked:
        return f"{cloud.region}{asked}" if len(asked) == 1 else asked
    kept = record.read(cloud, who) or {}
    if kept.get("zone"):
        return state.zone(cloud, who) or str(kept["zone"])
    before = ebs.given(cloud, copy.value.volume)
    if before:
        return str(before[0].value.zone)
    return design.zone_for(cloud, following(), (), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoring:
    """A volume that is to be made of a snapshot; *token* tells this from another wish for one."""

    cloud: Aws
    who: Identity  # whose it was, and whose user it is called by
    copy: Found
    zone: str
    token: str
    figures: Mapping[str, int] = field(default_factory=dict)  # as AWS calls them
    pauses: wait.Pauses

    def run(self) -> str:
        """Make it, wait until it can be attached, and return its id."""
        check_complete(self.copy)
        site = Site(cloud=self.cloud, who=self.who, pauses=self.pauses)
        id = site.alive(self.made, lambda id: ebs.state_of(self.cloud, id))
        return wait.until(
            lambda: self.state(id), f"Making {id}", self.pauses, timeout=AVAILABLE_SECONDS
        )

    def made(self, more: str) -> str:
        """Ask AWS for it, with *more* of a token."""
        return carried_out(ebs.VOLUME, lambda step, ids: self.call(more), self.pauses)

    def call(self, more: str) -> str:
        """Ask AWS once; a call that is repeated makes no second one."""
        value: snapshot.Snapshot = self.copy.value
        tags = {
            names.TAG_KEPT: self.who.name,
            names.TAG_FORMATTED: value.system or ebs.COPIED,
            "Name": f"{self.who.name}-volume-of-{self.copy.id}",
        }
        answer = self.cloud.attempt(
            "ec2", "create_volume", "InvalidZone.NotFound", SnapshotId=self.copy.id,
            AvailabilityZone=self.zone, VolumeType="gp3", Encrypted=True,
            ClientToken=f"{self.token}{more}", **self.figures,
            TagSpecifications=[{"ResourceType": "volume", "Tags": as_items(tags)}],
        )  # fmt: skip
        if answer is None:
            raise UserError(f"There is no zone {self.zone} in {self.cloud.region}.")
        return str(answer["VolumeId"])

    def state(self, id: str) -> str | None:
        """Return the id once the volume can be attached."""
        found = [one for one in ebs.given(self.cloud, id) if one.kind is ebs.GIVEN]
        state = found[0].value.state if found else "creating"
        if state == "error":
            raise FailedError(
                f"AWS could not make {id} of {self.copy.id}. Remove it (rm-volume {id}),"
                " and run this again."
            )
        return id if state == "available" else None

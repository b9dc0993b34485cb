"""A cluster's controller begins anew in another zone, with its shared volume.

A volume stays in its zone, so what was on it is copied. Nothing that holds data is removed: the
volume of before is kept, and is nobody's. Wherever this is cut short, a `create` has that volume or
the copy, never an empty one; the same command goes on.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import record
from clusterous_cli.cluster.config import ClusterConfig, VolumeType
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.kind import Found, Scope, facts
from clusterous_cli.plan.kinds.machines import SHARED
from clusterous_cli.plan.kinds.network import CONTROL, SUBNET
from clusterous_cli.plan.kinds.volume import ebs, efs, keeping, note, snapshot
from clusterous_cli.plan.kinds.volume.keeping import Present
from clusterous_cli.plan.volumes import copies
from clusterous_cli.system import wait
from clusterous_cli.terminal.lines import Lines

LINE: Final = "shared volume"
# How a snapshot is described that was taken while no machine had the volume.
DESCRIPTION: Final = "Shared volume of {}, before it went to another zone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A volume in the other zone, and the one that it is made of, unless AWS lost that."""

    id: str
    of: Found | None


def there(config: ClusterConfig, found: Iterable[Found]) -> Present:
    """Say what the shared volume is now. Pure."""
    return keeping.present(found, config.volume, None)


def going(config: ClusterConfig, found: Sequence[Found], zone: str) -> str | None:
    """Return the id of the volume that has to be copied to get to *zone*; refuse what cannot.

    Pure.
    """
    now = there(config, found)
    lost = keeping.lost(now)
    if lost is None and (now.volume is None or keeping.zone_of(now) in (None, zone)):
        return None
    if lost and now.type is VolumeType.EFS:
        raise keeping.loss(lost, zone, None)
    if now.type is VolumeType.EFS:
        raise UserError(
            f"The shared volume is a file system on EFS that is in {keeping.zone_of(now)} alone:"
            " no machine elsewhere can have it."
        )
    if lost is None and now.id is None and not keeping.is_formatted(now):
        assert now.volume is not None
        raise UserError(
            f"There is nothing on {now.volume.id} yet, so that there is nothing to be taken along:"
            " destroy the cluster, and create it elsewhere (network.zone)."
        )
    return lost or str(now.volume.id if now.volume else "")


def as_of_now(listed: Iterable[Found], cluster: str, heard: datetime | None) -> tuple[Found, ...]:
    """Return the snapshots that have all that is on the volume. Pure.

    They were taken while no machine of the *cluster* had it, and since a controller was *heard* of
    last none has had it again. Of any other snapshot nobody knows what was written after it.
    """
    return tuple(
        one for one in listed
        if one.value.description == DESCRIPTION.format(cluster) and one.value.kept == cluster
        and one.value.state != "error" and heard is not None and one.value.began > heard
    )  # fmt: skip


def is_lost(config: ClusterConfig, found: Iterable[Found]) -> bool:
    """Whether AWS has the shared volume no more. Pure."""
    return keeping.lost(there(config, found)) is not None


def is_new(found: Iterable[Found]) -> bool:
    """Whether nothing of the cluster is in any zone yet. Pure."""
    return not any(one.kind is SUBNET for one in found)


def bound(found: Iterable[Found], zone: str) -> tuple[Found, ...]:
    """Return what has to go from the controller's subnet, with it, for one in *zone*. Pure."""
    things = list(found)
    subnets = [one for one in things if one.kind is SUBNET and one.key == CONTROL]
    away = {one.id for one in subnets if one.ours and one.value.zone != zone}
    return tuple(
        one for one in things
        if one.id in away or (one.kind is efs.MOUNT_TARGET and one.value.subnet in away)
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving:
    """Gets the shared volume of a cluster, none of whose machines has it, to another *zone*."""

    cloud: Aws
    who: Identity
    config: ClusterConfig
    zone: str
    lines: Lines
    pauses: wait.Pauses
    now: Callable[[], datetime]

    @property
    def site(self) -> Site:
        """Return where things are made."""
        return Site(cloud=self.cloud, who=self.who, pauses=self.pauses, more=dict(self.config.tags))

    def copied(self, found: Sequence[Found]) -> Copy | None:
        """Make the copy, which is nobody's yet; None where there is nothing to be copied."""
        id = going(self.config, found, self.zone)
        if id is None:
            return None
        volume = there(self.config, found).volume
        before = volume if volume and volume.id == id else None
        taken = self.snapshot(before) if before else self.newest(id)
        self.lines.set(LINE, f"being made of {taken.id} in {self.zone}")
        figures = facts(before.value) if before else facts(self.config.volume)
        asked = {ebs.FIGURES[name]: figures[name] for name in ebs.FIGURES if name in figures}
        made = copies.Restoring(
            cloud=self.cloud, who=self.who, copy=taken, zone=self.zone, pauses=self.pauses,
            token=self.site.token("elsewhere", taken.id, self.zone), figures=asked,
        ).run()  # fmt: skip
        return Copy(id=made, of=before)

    def snapshot(self, volume: Found) -> Found:
        """Take a snapshot of what no machine has, or go on with the one that is that new."""
        listed = map(snapshot.read, snapshot.listed(self.cloud, "volume-id", volume.id))
        words = DESCRIPTION.format(self.who.name)
        new = as_of_now(listed, self.who.name, self.heard())
        id = new[0].id if new else self.taking(volume, words).begin()
        copies.await_complete(
            self.cloud, id, self.pauses, lambda text: self.lines.set(LINE, f"{id}, {text}")
        )
        return snapshot.read(snapshot.listed(self.cloud, "snapshot-id", id)[0])

    def taking(self, volume: Found, words: str) -> copies.Taking:
        """Return the snapshot that is to be taken."""
        return copies.Taking(
            cloud=self.cloud, who=self.who, volume=volume, now=self.now(), description=words,
            more=self.config.tags, pauses=self.pauses,
        )  # fmt: skip

    def heard(self) -> datetime | None:
        """Return when a controller last told of itself: since then none has had the volume."""
        reports = record.Reports(self.cloud, self.who).read().values()
        times = [
            datetime.fromisoformat(said["time"]) for said in reports
            if said.get("role") == names.ROLE_CONTROLLER and said.get("time")
        ]  # fmt: skip
        return max(times, default=None)

    def newest(self, id: str) -> Found:
        """Return the newest snapshot of a volume that AWS lost."""
        found = ebs.newest_snapshot(self.cloud, id)
        if found is None:
            raise keeping.loss(id, self.zone, None)
        return snapshot.read(found)

    def settle(self, found: Sequence[Found], copy: Copy | None) -> ClusterConfig:
        """Let the cluster have the copy, and the volume of before be kept; return what is wanted.

        One that was taken by its id is left alone, and its copy is taken so, too.
        """
        told = there(self.config, found).note
        is_given = bool(told and told.given)
        if copy is not None:
            if copy.of is not None and not is_given:
                assert ebs.VOLUME.keep is not None
                ebs.VOLUME.keep(self.site, copy.of)
            # Not before: while both could be meant, what is planned might be with either.
            note.put(self.site, note.Note(volume=copy.id, given=is_given, formatted=True))
        now = copy.id if copy else str(told.volume) if told else ""
        if is_given:
            return replace(self.config, volume=replace(self.config.volume, id=now))
        if now.startswith("vol-"):
            self.own(now)
            # By tags of a moment ago, the volume of before would be planned with.
            self.site.gone(lambda: self.other(now), "Taking the volume in the other zone")
        return self.config

    def other(self, id: str) -> str | None:
        """Return what AWS shows as the cluster's own in the stead of the volume of this *id*."""
        found = ebs.look(Scope(cloud=self.cloud, who=self.who))
        own = {one.id for one in found if one.kind is ebs.VOLUME}
        return None if own == {id} else ", ".join(own) or "none"

    def own(self, id: str) -> None:
        """Let a copy be the cluster's own."""
        if any(one.value.owner for one in ebs.given(self.cloud, id) if one.kind is ebs.GIVEN):
            return
        tags: Any = self.site.tags(SHARED)
        self.cloud.call("ec2", "create_tags", Resources=[id], Tags=tags)
        kept = [{"Key": names.TAG_KEPT}]
        self.cloud.call("ec2", "delete_tags", Resources=[id], Tags=kept)
        self.lines.set(LINE, f"{id} in {self.zone}", done=True)

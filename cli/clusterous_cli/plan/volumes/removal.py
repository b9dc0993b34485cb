"""Removing one volume or snapshot that was kept: what is refused, and how AWS is asked."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from clusterous_api.errors import ClusterousError, FailedError, UserError
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.plan.executor import Executor
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.kind import Action, Found, Kind, Step
from clusterous_cli.plan.kinds.volume import ebs, efs, snapshot
from clusterous_cli.plan.volumes.stock import State, Thing, Type, Users
from clusterous_cli.system import wait

SECONDS: Final = 60.0
BY_HAND: Final = {
    Type.EBS: "aws ec2 delete-volume --volume-id {}",
    Type.EFS: "aws efs delete-file-system --file-system-id {}",
    Type.SNAPSHOT: "aws ec2 delete-snapshot --snapshot-id {}",
}
REMOVES: Final[Mapping[Type, tuple[Kind, Callable[[Site, Found], None]]]] = {
    Type.EBS: (ebs.VOLUME, ebs.remove),
    Type.EFS: (efs.FILE_SYSTEM, efs.remove),
    Type.SNAPSHOT: (snapshot.SNAPSHOT, snapshot.remove),
}


def refuse(thing: Thing, used: Users) -> None:
    """Refuse to remove what is not ours, what a cluster has, and what one may have unseen."""
    by_hand = BY_HAND[thing.type].format(thing.id)
    if not thing.cluster:
        raise UserError(
            f"{thing.id} was not made by clusterous, and nothing of others is removed. If you mean"
            f" it: {by_hand}"
        )
    is_own = thing.state is State.OWNED or thing.user == thing.cluster
    if is_own and not thing.is_kept:
        raise UserError(
            f"{thing.id} is {thing.cluster}'s own, and goes with it: `clusterous destroy"
            f" {thing.cluster}`, also where nothing else is left of that cluster."
        )
    if thing.state is State.IN_USE:
        raise UserError(f"{thing.id} is in use by {thing.user}. Take it away from there first.")
    if used.unseen and thing.type is not Type.SNAPSHOT:
        raise UserError(
            f"Whether {' or '.join(used.unseen)} uses {thing.id} could not be seen: you may not"
            f" read there (s3:GetObject). It was not removed. If nobody uses it: {by_hand}"
        )


def remove(cloud: Aws, thing: Thing, pauses: wait.Pauses) -> None:
    """Delete it; what time mends is tried again."""
    who = Identity(name=thing.cluster, account=cloud.account, region=cloud.region)
    kind, act = REMOVES[thing.type]
    found = replace(thing.found, kind=kind)
    site = Site(cloud=cloud, who=who, pauses=pauses)

    def acted(step: Step, ids: Mapping[str, str]) -> str:
        with suppress(errors.NotFound):  # what is gone already counts as deleted
            act(site, found)
        return found.id

    step = Step(action=Action.DELETE, key=found.id, kind=kind, found=found)
    outcome = Executor(act=acted, pauses=pauses, seconds=SECONDS).run([step], {})
    if outcome.failed:
        raise in_words(thing, outcome.failed[0][1])


def in_words(thing: Thing, error: ClusterousError) -> ClusterousError:
    """Say why AWS keeps it."""
    code = error.code if isinstance(error, errors.ANSWERED) else ""
    if code == "InvalidSnapshot.InUse":
        return FailedError(
            f"{thing.id} is what a machine image boots, so AWS keeps it. Deregister that image"
            f" first, if nobody needs it. ({error})"
        )
    if code in ("VolumeInUse", "FileSystemInUse"):
        return FailedError(f"{thing.id} was not removed: it came into use just now. ({error})")
    return error

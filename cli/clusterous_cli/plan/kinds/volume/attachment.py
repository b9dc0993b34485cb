"""Which machine has a volume. Only the command line attaches them: no machine's role may."""

from dataclasses import dataclass
from typing import Final

from clusterous_api import names
from clusterous_api.errors import FailedError, NotBeforeError
from clusterous_cli.cluster.tags import ENDED
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.kind import Found, Id, Item, Kind, Ref, Resource, Step, Value, Wish
from clusterous_cli.plan.kinds.machines import SHARED, STATE

PART: Final = "volume"
# By the volume's key. What a machine calls them is another matter: there the volume's id counts.
DEVICES: Final = {SHARED: "/dev/sdf", STATE: "/dev/sdg"}
ATTACH_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment(Value):
    """The machine that has it."""

    volume: Id
    instance: Id
    attached: bool = True


def _want(wish: Wish) -> list[Resource]:
    keys = [STATE] * wish.keeps_state + [SHARED] * wish.config.volume.served
    return [
        Resource(
            kind=ATTACHMENT,
            key=key_of(key),
            value=Attachment(volume=Ref(key), instance=Ref(names.ROLE_CONTROLLER)),
        )
        for key in keys
    ]


def key_of(volume: str) -> str:
    """Return the key of the attachment of the volume with this key."""
    return f"{volume}-attachment"


def found(one: Item, volume: str = SHARED) -> list[Found]:
    """Read who has a volume that AWS lists; *volume* is its key."""
    return [
        Found(
            kind=ATTACHMENT,
            key=key_of(volume),
            id=one["VolumeId"],
            value=Attachment(
                volume=one["VolumeId"],
                instance=held["InstanceId"],
                attached=held.get("State") == "attached",
            ),
        )
        for held in one.get("Attachments", ())
        if held.get("State") != "detached"
    ]


def _make(to: Site, step: Step, wanted: Attachment) -> str:
    volume, instance = str(wanted.volume), str(wanted.instance)
    deadline = to.pauses.clock() + ATTACH_SECONDS
    while True:
        waits = _next(to, volume, instance, DEVICES[step.key.removesuffix("-attachment")])
        if not waits:
            return volume
        to.say(PART, waits)
        if to.pauses.clock() > deadline:
            raise NotBeforeError(
                f"The volume could not be attached yet: {waits}. It is never taken from a machine"
                " by force, which would lose data. Run create again when that has ended."
            )
        to.pauses.sleep(1.0)


def _next(to: Site, volume: str, instance: str, device: str) -> str:
    """Take the next step that can be taken; return what is waited for, nothing when it is done."""
    listed = to.ec2("describe_volumes", VolumeIds=[volume])["Volumes"]
    for held in found(listed[0]):
        if held.value.instance != instance:
            state = _machine(to, str(held.value.instance))["State"]["Name"]
            return f"{volume} is still held by {held.value.instance} ({state})"
        return "" if held.value.attached else f"{volume} is being attached"
    state = listed[0]["State"]
    if state == "error":
        raise FailedError(
            f"AWS could not make {volume}. Nothing was on it yet: remove it (aws ec2 delete-volume"
            f" --volume-id {volume}) and run create again."
        )
    if state != "available":
        return f"{volume} is {state}"
    machine = _machine(to, instance)
    if machine["State"]["Name"] in ENDED:
        why = (machine.get("StateReason") or {}).get("Message", "AWS does not say why")
        raise FailedError(f"{instance} ended before it could have {volume}: {why}.")
    if machine["State"]["Name"] != "running":
        return f"{instance} does not run yet"
    to.ec2("attach_volume", VolumeId=volume, InstanceId=instance, Device=device)
    return f"{volume} is being attached"


def _machine(to: Site, instance: str) -> Item:
    answer = to.cloud.find("ec2", "describe_instances", InstanceIds=[instance]) or {}
    groups = answer.get("Reservations", ())
    unknown = {"State": {"Name": "not seen yet"}}
    return next((one for group in groups for one in group["Instances"]), unknown)


ATTACHMENT: Final = Kind(
    name="volume-attachment", part=PART, wants=_want, make=_make, changeable=True
)

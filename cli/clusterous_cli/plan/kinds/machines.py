"""The machines, a pool at a time, with their disks."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import FailedError, NotBeforeError
from clusterous_cli.cluster import prices
from clusterous_cli.cluster.config import FIXED, ClusterConfig, Pool, pool_key
from clusterous_cli.cluster.payload import RECORD, SECRETS_KEY
from clusterous_cli.cluster.prices import Prices
from clusterous_cli.cluster.tags import LIVE, is_ours, key_of, tagged, tags_of
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.kind import (
    Action,
    Found,
    Id,
    Item,
    Kind,
    Price,
    Ref,
    Resource,
    Scope,
    Step,
    Value,
    Walk,
    Wish,
)
from clusterous_cli.plan.kinds.network import gone_in
from clusterous_cli.terminal import spell

PART: Final = "machines"
# The keys of the volumes that are no machine's own disk: the shared one, and the one that the
# controller's state lies on.
SHARED: Final = "volume"
STATE: Final = "state"
VOLUMES: Final = (SHARED, STATE)
ARCHITECTURE: Final = "x86_64"  # of all machines that a cluster file can name
STATE_NOTE: Final = f"{STATE}-note"
# So long a new machine waits for the end of the one whose address it gets.
ENDING_SECONDS: Final = 600.0
STOPPING_SECONDS: Final = 300.0
SIDES: Final = {
    names.ROLE_GATEWAY: "public",
    names.ROLE_CONTROLLER: "control",
    names.ROLE_WORKER: "private",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines(Value):
    """The machines of one pool; *states* are EC2's words for those that there are, by id, and
    *launched* when each was.

    Of those that there are, *type*, *image*, *disk*, *k3s* and *marks*, a digest of labels and
    taints, list all that they have.
    """

    count: int
    type: str
    pool: str | None = None
    role: str | None = None
    disk: int | str | None = None
    image: str | None = None
    k3s: str | None = None
    address: str | None = None
    public: bool | None = None
    subnet: Id | None = None
    group: Id | None = None
    profile: str | None = None
    user_data: str | None = field(default=None, repr=False)
    marks: str | None = None
    instead: str | None = None  # the type that is wanted, of which there is none just now
    states: Mapping[str, str] | None = None
    launched: Mapping[str, str] | None = None


def _want(wish: Wish) -> list[Resource]:
    texts = {machine.pool: machine.user_data for machine in wish.machines}
    return [_pool(wish, pool, texts[pool.name]) for pool in wish.config.pools]


def _pool(wish: Wish, pool: Pool, user_data: str) -> Resource:
    role, side = pool.role, SIDES[pool.role]
    return Resource(
        kind=MACHINES,
        key=pool.key,
        # Not NAT: machines boot from S3 by the endpoint, and NAT takes minutes.
        needs=(f"{role}-rules", f"{role}-policy", f"{role}-profile-role", f"s3:{SECRETS_KEY}")
        # So that who goes on from the record never takes machines for too many.
        + (f"s3:{RECORD}",)
        + (f"{side}-link", "s3-endpoint", "vpc-dns")
        + (("public-route",) if side == "public" else ())
        # A node without it is known to be of a release that knew of no such volume.
        + ((STATE_NOTE,) if wish.keeps_state and role != names.ROLE_GATEWAY else ()),
        value=Machines(
            count=pool.count,
            type=pool.type,
            pool=pool.name,
            role=role,
            disk=pool.disk,
            image=wish.image,
            k3s=wish.k3s,
            address=wish.addresses.controller if role == names.ROLE_CONTROLLER else "",
            public=side == "public",
            subnet=Ref(side),
            group=Ref(f"{role}-group"),
            profile=wish.who.role(role),
            user_data=user_data,
            marks=marks(pool),
        ),
    )


def marks(pool: Pool) -> str:
    """Return a digest of what nodes of a pool register with; nothing where that is nothing."""
    said = json.dumps([pool.labels, pool.taints])
    return hashlib.sha256(said.encode()).hexdigest()[:12] if pool.labels or pool.taints else ""


def _look(at: Scope) -> list[Found]:
    # The dead are asked for too: their names keep a new launch from being taken for theirs.
    listed = at.cloud.pages("ec2", "describe_instances", "Reservations", Filters=tagged(at.who))
    by_pool: dict[str, list[Item]] = {}
    for machine in (each for group in listed for each in group["Instances"]):
        if at.owns(machine, machine.get("VpcId", "")):
            pool = pool_of(machine)
            by_pool.setdefault(pool, []).append(machine)
    return [found for pool, machines in by_pool.items() for found in _there(pool, machines)]


def pool_of(machine: Item) -> str:
    """Return the name of a machine's pool, by its tags."""
    tags = tags_of(machine)
    return tags.get(names.TAG_POOL) or tags.get(names.TAG_ROLE, "")


def _there(pool: str, machines: list[Item]) -> list[Found]:
    key = pool_key(pool)
    states = {one["InstanceId"]: one["State"]["Name"] for one in machines}
    # Those that are ending count, too: AWS answers with them to the token that they were made by.
    dead = sorted(id for id, state in states.items() if state not in LIVE)
    ids = sorted(id for id, state in states.items() if state != "terminated")
    living = [one for one in machines if one["InstanceId"] in ids]
    value = Machines(
        count=len(ids),
        type=_all(tags_of(one).get(names.TAG_INSTEAD) or one["InstanceType"] for one in living),
        disk=_all(tags_of(one).get(names.TAG_DISK, "") for one in living) or None,
        image=_all(one.get("ImageId", "") for one in living) or None,
        k3s=_all(tags_of(one).get(names.TAG_K3S, "") for one in living) or None,
        pool=pool,
        marks=", ".join(sorted({tags_of(one).get(names.TAG_MARKS, "") for one in living})),
        states=states,
        launched={one["InstanceId"]: _launched(one) for one in living},
    )
    found = [Found(kind=MACHINES, key=key, id=" ".join(ids), value=value)] if ids else []
    grave = [Found(kind=GRAVE, key=grave_of(key), id=" ".join(dead))] if dead else []
    return [*found, *grave]


def _launched(machine: Item) -> str:
    # Machines of one launch began at once, and have numbers.
    return f"{machine.get('LaunchTime', '')} {machine.get('AmiLaunchIndex', 0):06}"


def _all(words: Iterable[str]) -> str:
    return ", ".join(sorted(set(words) - {""}))


def grave_of(key: str) -> str:
    """Return the key under which the dead machines of a pool are found."""
    return f"dead {key}"


def _look_strangers(at: Scope) -> list[Found]:
    """Find machines in our network that are not ours."""
    listed = at.placed("describe_instances", "Reservations")
    machines = [each for group in listed for each in group["Instances"]]
    return [
        Found(kind=MACHINES, key="", id=one["InstanceId"], ours=False, vpc=one.get("VpcId", ""))
        for one in machines
        if not is_ours(one, at.who) and one["State"]["Name"] != "terminated"
    ]


def split(one: Found, failed: frozenset[str]) -> tuple[Found | None, Found | None]:
    """Part the machines of a pool into those that live and those that *failed*."""
    ids = one.id.split()
    good = [id for id in ids if id not in failed and one.value.states[id] in LIVE]
    bad = [id for id in ids if id in failed]
    return (_only(one, good) if good else None, _only(one, bad) if bad else None)


def _only(one: Found, ids: list[str]) -> Found:
    states = {id: one.value.states[id] for id in ids}
    return replace(one, id=" ".join(ids), value=replace(one.value, count=len(ids), states=states))


# Of machines that somebody, or a failed host, has switched off.
OFF: Final = "stopped"
# What create can mend while the cluster lives.
MENDED: Final = frozenset({"count", OFF})


def drift(wanted: Machines, there: Machines) -> tuple[str, ...]:
    """Name what is not as wanted; the rest only those have that are started from now on."""
    fewer = ["count"] if there.count < wanted.count else []
    off = [OFF] if set((there.states or {}).values()) & {"stopping", "stopped"} else []
    other = ["type"] if there.type != wanted.type else []
    return (*fewer, *off, *other)


def off(there: Machines) -> tuple[str, ...]:
    """Name the machines that are switched off."""
    return tuple(id for id, state in (there.states or {}).items() if state in ("stopping", OFF))


def lasting(wanted: Machines, there: Machines) -> tuple[str, ...]:
    """Say in what machines that run differ from those that are started from now on."""
    pairs = (("disk", "a disk of {} GiB"), ("image", "image {}"))
    other = (there.marks or "") != (wanted.marks or "")
    return (
        *(
            f"runs with {how.format(has)}, not {asked}"
            for name, how in pairs
            if (has := getattr(there, name)) is not None
            and str(has) != str(asked := getattr(wanted, name))
        ),
        *(["runs with other labels and taints"] if other else []),
    )


def _make(to: Site, step: Step, wanted: Machines) -> str:
    there = step.found.id.split() if step.found else []
    if OFF in step.drift and step.found:
        _start(to, [id for id in there if step.found.value.states[id] in ("stopping", "stopped")])
    missing = wanted.count - len(there)
    if missing <= 0:
        return " ".join(there)
    if wanted.address:
        _await_end(to, wanted.address)
    # A launch that replaces machines must not be taken for the launch of those: AWS shows the
    # dead for about an hour, and after that the hour is another.
    # The hour of the first try: a second one may be in the next.
    hour = to.once(step.key, _hour)
    other = (wanted.type,) if wanted.instead else ()
    token = to.token("run", step.key, wanted.subnet, *there, missing, step.replaces, hour, *other)
    facts = {names.TAG_K3S: wanted.k3s or "", names.TAG_DISK: str(wanted.disk)}
    facts |= {names.TAG_MARKS: wanted.marks} if wanted.marks else {}
    facts |= {names.TAG_INSTEAD: wanted.instead} if wanted.instead else {}
    answer = to.ec2(
        "run_instances",
        MinCount=missing,
        MaxCount=missing,
        ClientToken=token,
        **launch(wanted),
        **_root_disk(to, wanted),
        TagSpecifications=[
            {"ResourceType": kind, "Tags": _tags(to, wanted, **more)}
            for kind, more in {"instance": facts, "volume": {}, "network-interface": {}}.items()
        ],
    )
    return " ".join([*there, *(machine["InstanceId"] for machine in answer["Instances"])])


def _start(to: Site, ids: Sequence[str]) -> None:
    """Start machines that are off; EC2 starts none that is still going off."""
    deadline = to.pauses.clock() + STOPPING_SECONDS
    while (
        to.cloud.attempt("ec2", "start_instances", "IncorrectInstanceState", InstanceIds=list(ids))
        is None
    ):
        if to.pauses.clock() > deadline:
            raise NotBeforeError(
                f"{', '.join(ids)} cannot be started yet: EC2 still stops it. Run create again when"
                " that has ended."
            )
        to.say(PART, f"{', '.join(ids)} is being stopped")
        to.pauses.sleep(2.0)


def _await_end(to: Site, address: str) -> None:
    """Wait until no machine of ours that ends has the *address* any more."""
    deadline = to.pauses.clock() + ENDING_SECONDS
    which = [
        *tagged(to.who),
        {"Name": "instance-state-name", "Values": ["shutting-down"]},
        {"Name": "private-ip-address", "Values": [address]},
    ]
    while True:
        listed = to.cloud.pages("ec2", "describe_instances", "Reservations", Filters=which)
        ids = [one["InstanceId"] for group in listed for one in group["Instances"]]
        if not ids:
            return
        words = f"{ids[0]}, which has the address {address}, is being ended"
        to.say(PART, words)
        if to.pauses.clock() > deadline:
            raise NotBeforeError(
                f"There can be no new machine yet: {words}. Its volumes are not taken from it by"
                " force, which would lose data. Run create again when it has ended."
            )
        to.pauses.sleep(1.0)


def _hour() -> int:
    return int(time.time() // 3600)


def _tags(to: Site, wanted: Machines, **more: str) -> list[dict[str, str]]:
    pool = wanted.pool or ""
    own = {names.TAG_ROLE: wanted.role or pool, names.TAG_POOL: pool, **more}
    return to.tags(pool, **own)


def launch(wanted: Machines) -> dict[str, Any]:
    """Return the launch parameters that follow from what is wanted."""
    # Kubernetes, and with it all that knows of programs, is on one machine: that goes only when it
    # is meant, and a power-off leaves it to be started again.
    lasts = wanted.role == names.ROLE_CONTROLLER
    return {
        **({"DisableApiTermination": True} if lasts else {}),
        "ImageId": wanted.image,
        "InstanceType": wanted.type,
        "IamInstanceProfile": {"Name": wanted.profile},
        "UserData": wanted.user_data,
        "InstanceInitiatedShutdownBehavior": "stop" if lasts else "terminate",
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "HttpEndpoint": "enabled",
        },
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "SubnetId": wanted.subnet,
                "Groups": [wanted.group],
                "AssociatePublicIpAddress": wanted.public,
                "DeleteOnTermination": True,
                **({"PrivateIpAddress": wanted.address} if wanted.address else {}),
            }
        ],
    }


def _root_disk(to: Site, wanted: Machines) -> dict[str, Any]:
    answer = to.cloud.find("ec2", "describe_images", ImageIds=[wanted.image]) or {}
    images = answer.get("Images")
    if not images:
        raise FailedError(
            f"There is no image {wanted.image} in {to.cloud.region} any more: whoever made it has"
            " withdrawn it. Name another one in the cluster file (image: ami-…, with an NFS client)"
            " and run create again: machines that are started from then on boot it."
        )
    disk = {
        "VolumeSize": wanted.disk,
        "VolumeType": "gp3",
        "Encrypted": True,
        "DeleteOnTermination": True,
    }
    name = images[0].get("RootDeviceName", "/dev/xvda")
    return {"BlockDeviceMappings": [{"DeviceName": name, "Ebs": disk}]}


def _remove(to: Site, found: Found) -> None:
    ids = found.id.split()
    if found.key == names.ROLE_CONTROLLER:
        for id in ids:
            off = {"Value": False}
            to.cloud.attempt(
                "ec2", "modify_instance_attribute", "IncorrectInstanceState", InstanceId=id,
                DisableApiTermination=off,
            )  # fmt: skip
    # The order matters little to a machine that is thrown away, and a shutdown takes its time.
    to.ec2("terminate_instances", InstanceIds=ids)
    ended(to, ids)


def ended(to: Site, ids: Sequence[str]) -> None:
    """Wait until machines are gone."""
    to.gone(lambda: _alive(to, ids), "Ending the machines")


def _alive(to: Site, ids: Sequence[str]) -> str | None:
    # By filter, since a list of ids is cut at a hundred.
    states = {"Name": "instance-state-name", "Values": [*LIVE, "shutting-down"]}
    listed = to.cloud.pages(
        "ec2", "describe_instances", "Reservations", Filters=[*tagged(to.who), states]
    )
    present = {machine["InstanceId"] for group in listed for machine in group["Instances"]}
    return "alive" if present & set(ids) else None


def _words(steps: Sequence[Step]) -> str:
    return ", ".join(_step_words(step) for step in steps)


def _step_words(step: Step) -> str:
    if step.drains and step.found:
        ids = step.found.id.split()
        return f"{len(ids)} of {step.found.value.pool} drained and removed ({', '.join(ids)})"
    if step.action is Action.DELETE and step.found:
        return f"remove failed {step.found.key}"
    assert step.resource is not None
    wanted: Machines = step.resource.value
    there = len(step.found.id.split()) if step.found else 0
    if there >= wanted.count:
        return f"start {wanted.pool} again"
    return f"{_counted(wanted.count - there, wanted)} ({wanted.type})"


def _counted(count: int, wanted: Machines) -> str:
    """Count machines: 2 workers; of a pool that its user named: 2 of cpu."""
    pool = wanted.pool or ""
    return spell.plural(count, pool) if pool in FIXED else f"{count} of {pool}"


def _billed(config: ClusterConfig) -> list[Machines]:
    return [
        Machines(count=one.count, type=one.type, pool=one.name, disk=one.disk)
        for one in config.pools
    ]


def bill(value: Machines, known: Prices) -> Price:
    """Return what machines cost; those that are off have their disks only."""
    running = value.count - len(off(value))
    machine = known.machines.get(value.type)
    public = known.address if value.pool == names.ROLE_GATEWAY else 0.0
    disks = value.count * _gib(value.disk) * known.gib / prices.HOURS_PER_MONTH
    unknown = {value.type: running} if machine is None and running else None
    return Price(hourly=((machine or 0.0) + public) * running + disks, unknown=unknown)


def _gib(disk: int | str | None) -> int:
    # Machines of one pool may have disks of several sizes: then of the smallest.
    return min((int(word) for word in str(disk or 0).split(", ") if word.isdigit()), default=0)


def _hourly(item: Item) -> float | None:
    if item["State"]["Name"] == "stopped":
        return 0.0
    return prices.MACHINES.get(item.get("InstanceType", ""))


MACHINES: Final = Kind(
    name="machines",
    part=PART,
    noun="machine",
    words=_words,
    wants=_want,
    look=_look,
    deep=_look_strangers,
    make=_make,
    remove=_remove,
    differ=drift,
    billed=_billed,
    bill=bill,
    walk=Walk(
        action="describe_instances",
        key="Reservations",
        id="InstanceId",
        placed=True,
        hourly=_hourly,
        gone=lambda item: bool(item["State"]["Name"] == "terminated"),
    ),
)
GRAVE: Final = Kind(name="other", part=PART)  # machines that are dead, which AWS shows for an hour


# -- disks --------------------------------------------------------------------------------


def _look_disks(at: Scope) -> list[Found]:
    return [
        at.found(
            DISK,
            one,
            id=one["VolumeId"],
            busy=bool(one["Attachments"]),
        )
        for one in at.cloud.pages("ec2", "describe_volumes", "Volumes", Filters=tagged(at.who))
        if at.owns(one) and key_of(one, at.who) not in VOLUMES
    ]


def _remove_disk(to: Site, found: Found) -> None:
    to.ec2("delete_volume", VolumeId=found.id)


def disk_hourly(item: Item) -> float:
    """Return what a disk costs, in dollars per hour."""
    monthly = prices.TABLE.gp3(item["Size"], item.get("Iops"), item.get("Throughput"))
    return monthly / prices.HOURS_PER_MONTH


DISK: Final = Kind(
    name="volume",
    part="volume",
    noun="disk",
    deep=_look_disks,
    remove=_remove_disk,
    after=("machines",),
    walk=Walk(
        action="describe_volumes",
        key="Volumes",
        id="VolumeId",
        hourly=disk_hourly,
        gone=gone_in("deleting", "deleted"),
        kept="volume",
    ),
)
KEY_PAIR: Final = Kind(  # we make none; AWS's own tools give them tags that look like ours
    name="key-pair",
    part=PART,
    noun="key pair",
    walk=Walk(action="describe_key_pairs", key="KeyPairs", id="KeyPairId"),
)

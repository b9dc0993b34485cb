"""How many machines of a type a zone has: settings say it, by patterns of `type@zone`.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/troubleshooting-launch.html: a machine that was
stopped has given its place away, and needs one again to start.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Final

from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

from tests.region.aws.errors import Refusal
from tests.region.aws.world import World

HOLDING: Final = ("pending", "running", "stopping", "shutting-down")


def zones_offering(region: str, name: str) -> list[str]:
    """Name the zones of a region that have machines of this type at all."""
    offerings: Any = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(region, [])
    return sorted(o["Location"] for o in offerings if o["InstanceType"] == name)


def room(world: World, backend: Any, name: str, zone: str) -> int:
    """Return how many more of *name* the zone holds; settings map `type@zone` patterns to that."""
    rooms = [
        limit - _held(backend, *_pattern(pattern))
        for pattern, limit in world.settings.capacity.items()
        if fnmatchcase(name, _pattern(pattern)[0]) and fnmatchcase(zone, _pattern(pattern)[1])
    ]
    return max(0, min(rooms, default=1 << 20))


def _pattern(text: str) -> tuple[str, str]:
    kind, _, zone = text.partition("@")
    return kind, zone or "*"


def _held(backend: Any, kind: str, zone: str) -> int:
    return sum(
        1
        for i in backend.all_instances()
        if i._state.name in HOLDING
        and fnmatchcase(i.instance_type, kind)
        and fnmatchcase(i.placement.zone, zone)
    )


def refusal(world: World, name: str, subnet: Any) -> Refusal:
    """Say that a zone has no more, and which have."""
    zone = subnet.availability_zone
    backend = subnet.ec2_backend
    others = [
        z
        for z in zones_offering(zone[:-1], name)
        if z != zone and room(world, backend, name, z) > 0
    ]
    elsewhere = (
        f" You can currently get {name} capacity by not specifying an Availability Zone in your "
        f"request or choosing {', '.join(others)}."
        if others
        else ""
    )
    return Refusal(
        "InsufficientInstanceCapacity",
        f"We currently do not have sufficient {name} capacity in the Availability Zone you "
        f"requested ({zone}). Our system will be working on provisioning additional capacity."
        + elsewhere,
        500,
    )


def check_start(world: World, backend: Any, ids: list[str]) -> None:
    """Refuse to start what is off where its zone has no place for it; AWS names no other zone."""
    off = [one for id in ids if (one := backend.get_instance(id))._state.name == "stopped"]
    for one in off:
        if room(world, backend, one.instance_type, one.placement.zone) < 1:
            raise Refusal("InsufficientInstanceCapacity", "Insufficient capacity.", 500)

"""Where machines are asked for when a zone has none."""

import ipaddress
from typing import Any

import pytest

from clusterous_api import names
from clusterous_cli.aws import client
from clusterous_cli.cluster.addresses import addresses, spare
from clusterous_cli.plan.kinds.kind import Action, Found, Kind, Ref, Resource, Step
from clusterous_cli.plan.kinds.machines import MACHINES, Machines
from clusterous_cli.plan.kinds.network import SUBNET, Subnet
from clusterous_cli.plan.kinds.volume import ebs, state
from clusterous_cli.plan.machines import zones

HOME = Found(
    kind=SUBNET,
    key="private",
    id="subnet-1",
    value=Subnet(vpc="v", cidr="10.40.128.0/17", zone="a"),
)


def step(role: str = names.ROLE_WORKER, key: str = "worker") -> Step:
    value = Machines(count=2, type="t3.large", pool=key, role=role, subnet=Ref("private"))
    resource = Resource(kind=MACHINES, key=key, value=value)
    return Step(action=Action.CREATE, key=key, kind=MACHINES, resource=resource)


def search(*found: Found) -> zones.Search:
    return zones.begin("a", "10.40.0.0/16", {one.key: one for one in (HOME, *found)})


def full(*elsewhere: str, of: Step | None = None) -> list[zones.Full]:
    return [zones.Full(step=of or step(), elsewhere=elsewhere)]


def turn(one: zones.Search, of: list[zones.Full], *made: str) -> zones.Turn | None:
    """The next turn, when *made* is there already."""
    return zones.turn(one, of, (), (), {key: f"id of {key}" for key in made})


def test_machines_follow_a_subnet_in_the_zone_that_is_named() -> None:
    found = turn(search(), full("b", "c"), "private")

    assert found is not None
    subnet, link, machines = found.steps
    assert (subnet.key, link.key) == ("private-b", "private-b-link")
    assert subnet.resource is not None
    assert subnet.resource.value == Subnet(vpc=Ref("vpc"), cidr="10.40.32.0/20", zone="b")
    assert machines.resource is not None
    assert machines.resource.value.subnet == Ref("private-b")
    assert {"private-b", "private-b-link"} <= set(machines.needs)


def test_no_zone_is_asked_twice() -> None:
    one, made = search(), ["private"]
    for zone in ("b", "c"):
        found = turn(one, full("b", "c"), *made)
        assert found is not None
        one = found.search
        assert one.zones("worker")[-1] == zone

    assert turn(one, full("b", "c", "a"), *made) is None


def test_what_was_named_before_is_not_forgotten() -> None:
    first = turn(search(), full("b", "c"))
    assert first is not None

    second = turn(first.search, full())

    assert second is not None
    assert second.search.zones("worker") == ("a", "b", "c")


def test_a_subnet_that_is_there_is_used() -> None:
    value = Subnet(vpc="v", cidr="10.40.96.0/20", zone="b")
    there = Found(kind=SUBNET, key="private-b", id="subnet-2", value=value)

    before = turn(search(there), full("b"))
    just_made = turn(search(), full("b"), "private-b", "private-b-link")

    assert before is not None
    assert [one.action for one in before.steps] == [Action.KEEP, Action.CREATE, Action.CREATE]
    assert just_made is not None
    assert [one.key for one in just_made.steps] == ["worker"]


@pytest.mark.parametrize(
    ("of", "elsewhere"),
    [(step(names.ROLE_CONTROLLER, "controller"), ("b",)), (step(), ()), (step(), ("a",))],
)
def test_what_cannot_be_elsewhere_is_not(of: Step, elsewhere: tuple[str, ...]) -> None:
    assert turn(search(), full(*elsewhere, of=of)) is None


def test_one_that_cannot_move_keeps_the_others_from_it() -> None:
    controller = step(names.ROLE_CONTROLLER, "controller")

    assert turn(search(), [*full("b"), *full("b", of=controller)]) is None


def test_there_is_room_for_six_subnets_more() -> None:
    one = search()
    for zone in "bcdefg":
        found = turn(one, full(zone))
        assert found is not None
        one = found.search

    assert turn(one, full("h")) is None
    assert len(set(one.cidrs.values())) == 7


@pytest.mark.parametrize("cidr", ["10.40.0.0/16", "10.50.0.0/20", "10.0.0.0/24"])
def test_parts_for_other_zones_are_nobody_elses(cidr: str) -> None:

    ours = addresses(cidr)
    nets = [
        ipaddress.IPv4Network(one)
        for one in (ours.public, ours.control, ours.private, *spare(cidr))
    ]

    assert len(spare(cidr)) == 6
    assert not any(one.overlaps(other) for one in nets for other in nets if one is not other)
    assert all(one.subnet_of(ipaddress.IPv4Network(cidr)) for one in nets)


def test_the_zones_are_those_of_awss_words() -> None:
    words = (
        "We currently do not have sufficient t3.micro capacity in the Availability Zone you"
        " requested (us-east-1e). Our system will be working on provisioning additional capacity."
        " You can currently get t3.micro capacity by not specifying an Availability Zone in your"
        " request or choosing us-east-1a, us-east-1b, us-east-1f."
    )

    assert client.zones_named(words) == ("us-east-1a", "us-east-1b", "us-east-1f")
    assert client.zones_named(words.partition(" You can")[0]) == ()


def wanted(kind: Kind, key: str, value: Any) -> Step:
    resource = Resource(kind=kind, key=key, value=value)
    return Step(action=Action.CREATE, key=key, kind=kind, resource=resource)


VOLUME = wanted(state.VOLUME, "state", ebs.Volume(size=8, zone="a"))
TOLD = wanted(state.NOTE, "state-note", state.Note(volume=Ref("state"), formatted=False))
CONTROLLER = step(names.ROLE_CONTROLLER, "controller")
MADE = {"control": "subnet-0", "control-link": "link-0", "state": "vol-0", "state-note": "it"}


def test_a_controller_goes_with_its_subnet_and_its_blank_volumes_follow() -> None:
    free = zones.begin("a", "10.40.0.0/16", {}, is_bound=False)
    steps = [VOLUME, TOLD, CONTROLLER]

    found = zones.turn(free, full("b", of=CONTROLLER), steps, [], MADE)

    assert found is not None
    by_key = {step.key: step for step in found.steps}
    assert [*by_key] == [
        "surplus subnet-0", "surplus vol-0", "control", "control-link", "state", "state-note",
        "controller",
    ]  # fmt: skip
    assert by_key["surplus vol-0"].action is Action.DELETE
    for key, gone in (("control", "surplus subnet-0"), ("state", "surplus vol-0")):
        one = by_key[key].resource
        assert one is not None
        assert one.value.zone == "b"
        assert gone in by_key[key].needs
    subnet = by_key["control"].resource
    assert subnet is not None
    assert subnet.value.cidr == addresses("10.40.0.0/16").control
    assert found.anew >= {*MADE, "controller"}
    again = zones.turn(found.search, full("b", of=CONTROLLER), steps, [], MADE)
    assert again is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (state.VOLUME, ebs.Volume(formatted=True)),
        (ebs.VOLUME, ebs.Volume(formatted=True)),
        (ebs.GIVEN, ebs.Volume()),
    ],
)
def test_a_controller_that_has_data_stays_in_its_zone(kind: Kind, value: Any) -> None:
    there = {"it": Found(kind=kind, key="it", id="vol-1", value=value)}
    bound = zones.begin("a", "10.40.0.0/16", there, is_bound=False)

    assert zones.turn(bound, full("b", of=CONTROLLER), [], [], MADE) is None
    assert zones.stays(bound, full("b", of=CONTROLLER)) is CONTROLLER


def test_a_controller_stays_in_the_zone_that_was_asked_for() -> None:
    assert zones.turn(search(), full("b", of=CONTROLLER), [], [], MADE) is None
    assert zones.stays(search(), full("b", of=CONTROLLER)) is None


def test_another_type_of_machine_is_still_known_by_the_one_that_is_wanted() -> None:
    turn = zones.of_type(search(), CONTROLLER, "t3a.medium", [VOLUME])
    again = zones.of_type(turn.search, turn.steps[-1], "t2.medium", [])

    value = again.steps[-1].resource
    assert value is not None
    assert (value.value.type, value.value.instead) == ("t2.medium", "t3.large")
    assert again.search.types == ("t3.large", "t3a.medium", "t2.medium")

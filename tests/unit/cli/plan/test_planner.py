"""The planner: pure, so that orders and differences are tested without AWS."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterous_api.errors import UserError
from clusterous_cli.cluster import config
from clusterous_cli.cluster.config import VolumeType
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import RECORD, ROLES, SECRETS_KEY, Blob, Machine
from clusterous_cli.plan import planner
from clusterous_cli.plan.kinds import access, kind, table
from clusterous_cli.plan.kinds.homes import Homes
from clusterous_cli.plan.kinds.kind import Action, Found, Kind, Resource, Wish
from clusterous_cli.plan.kinds.machines import MACHINES, SHARED, STATE_NOTE, Machines
from clusterous_cli.plan.kinds.network import SUBNET
from clusterous_cli.plan.planner import Observed

WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def wanted(text: str = "name: reef\n", copied: str = "") -> tuple[Resource, ...]:
    read = config.parse(text)
    return table.wanted(
        Wish(
            config=read,
            who=WHO,
            zone="eu-west-1a",
            image="ami-1",
            k3s="v1.35.4+k3s1",
            allow=("203.0.113.10/32",),
            machines=tuple(
                Machine(pool=one.name, role=one.role, user_data="#cloud-config")
                for one in read.pools
            ),
            blobs=tuple(
                Blob(key=key, sha256="0" * 64, content=b"{}") for key in (SECRETS_KEY, RECORD)
            ),
            addons=None,
            formatted=False,
            keeps_state=True,
            state_formatted=False,
            restore="",
            copied=copied,
            control_zone="",
        )
    )


def there(resource: Resource, ids: dict[str, str]) -> Found:
    value = kind.settled(resource.value, ids)
    return Found(kind=resource.kind, key=resource.key, id=ids[resource.key], value=value)


def all_there(things: tuple[Resource, ...]) -> dict[str, Found]:
    ids = {thing.key: f"id-{thing.key}" for thing in things}
    return {thing.key: there(thing, ids) for thing in things}


def test_nothing_exists_so_everything_is_created_in_an_order_that_works() -> None:
    steps = planner.plan(wanted(), Observed()).steps

    done: set[str] = set()
    for step in steps:
        assert step.action is Action.CREATE
        assert set(step.needs) <= done, step.key
        done.add(step.key)


def test_nothing_begins_with_what_was_known_while_the_files_of_then_are_not_there() -> None:
    needs = {
        copied: next(one.needs for one in wanted(copied=copied) if one.key == STATE_NOTE)
        for copied in ("snap-1", "")
    }

    assert {SHARED} == {*needs["snap-1"]} - {*needs[""]}


def test_everything_exists_so_nothing_is_done() -> None:
    assert planner.plan(wanted(), Observed(found=all_there(wanted()))).pending == ()


def test_groups_that_let_nothing_out_any_more_are_mended() -> None:
    found = {
        key: replace(one, value=replace(one.value, out=False)) if one.kind is access.RULES else one
        for key, one in all_there(wanted()).items()
    }

    pending = planner.plan(wanted(), Observed(found=found)).pending

    assert {step.kind for step in pending} == {access.RULES}
    assert {step.drift for step in pending} == {("out",)}


def many(found: Found) -> Machines | None:
    return Machines(count=99, type=found.value.type) if found.kind is MACHINES else None


@given(st.data())
def test_what_is_missing_is_made_and_nothing_else(data: st.DataObject) -> None:
    found = all_there(wanted())
    kept = data.draw(st.sets(st.sampled_from(sorted(found))))

    # Whatever holds a missing thing by its id would differ too; here ids stay what they were.
    observed = Observed(found={key: Found(kind=f.kind, key=key, id=f.id, value=many(f))
                               for key, f in found.items() if key in kept})  # fmt: skip

    pending = {step.key for step in planner.plan(wanted(), observed).pending}
    assert pending == set(found) - kept


def test_machines_do_not_wait_for_nat() -> None:
    by_key = {thing.key: thing for thing in wanted()}

    def closure(key: str) -> set[str]:
        needs = set(by_key[key].dependencies)
        return needs.union(*(closure(need) for need in needs)) if needs else set()

    for role in ROLES:
        assert not {"nat", "nat-address", "private-route"} & closure(role)


def test_nobody_but_the_caller_comes_in_from_outside() -> None:
    rules = access.group_rules(("203.0.113.10/32",), volume=VolumeType.EFS)

    outside = [
        (name, rule) for name, found in rules.items() for rule in found if "/" in rule.source
    ]
    assert [(name, rule.low, rule.source) for name, rule in outside] == [
        ("gateway", 22, "203.0.113.10/32")
    ]


def test_who_is_let_in_twice_is_one_rule_as_for_ec2() -> None:
    rules = access.group_rules(("203.0.113.10/32", "203.0.113.10/32"), volume=VolumeType.EFS)

    assert [rule.source for rule in rules["gateway"]] == ["203.0.113.10/32"]


@pytest.mark.parametrize("volume", list(VolumeType))
def test_programs_reach_what_listens_on_other_machines_of_programs(volume: VolumeType) -> None:
    rules = access.group_rules((), volume=volume)

    def let_in(owner: str, port: int) -> set[str]:
        covers = [r for r in rules[owner] if r.protocol == "tcp" and r.low <= port <= r.high]
        return {rule.source for rule in covers}

    for port in (1024, 2000, 8080, 10249, 10251, 31000, 65535):
        assert let_in("worker", port) == {"worker-group"}
        # Nothing of programs listens on the controller; its own ports stay as they were.
        served = {"worker-group"} if (port, volume) == (2049, VolumeType.EBS) else set()
        assert let_in("controller", port) == served
    assert [rule for rule in rules["worker"] if rule.low <= 10250 <= rule.high] == [
        rule for rule in rules["worker"] if rule.low == rule.high == 10250
    ]
    assert let_in("worker", 22) == {"gateway-group"}
    assert not let_in("worker", 443)


@pytest.mark.parametrize("role", ["gateway", "worker"])
def test_only_the_controller_reads_what_gives_the_cluster_away(role: str) -> None:
    statements = json.loads(access.policy(WHO, role))["Statement"]

    readable = [r for s in statements if "s3:GetObject" in s["Action"] for r in s["Resource"]]
    assert readable
    assert not any(
        "/server/" in one or "/private/" in one or one.endswith(":*") for one in readable
    )
    assert all("*" not in action for s in statements for action in s["Action"])


@pytest.mark.parametrize(
    "text",
    ["name: reef\n", "name: reef\nregistry: s3\nlogging: 1\n"],
    ids=["usual", "all add-ons"],
)
def test_no_machine_changes_anything_in_ec2(text: str) -> None:
    """Two controllers that attach one datastore's volume are how it is lost."""
    policies = [one.value.document for one in wanted(text) if one.kind is access.POLICY]
    statements = [one for text in policies for one in json.loads(text)["Statement"]]
    listed = [
        [one["Action"]] if isinstance(one["Action"], str) else one["Action"] for one in statements
    ]

    assert len(policies) == len(access.roles(config.parse(text)))
    assert {one for some in listed for one in some if not one.startswith(("s3:", "ecr:"))} <= {
        "ec2:DescribeInstances", "sts:AssumeRole",
    }  # fmt: skip


def test_a_living_network_is_not_made_anew() -> None:
    found = all_there(wanted())

    with pytest.raises(UserError, match=r"vpc: cidr is 10\.40\.0\.0/16, not 10\.50\.0\.0/16"):
        planner.plan(wanted("name: reef\nnetwork: {cidr: 10.50.0.0/16}\n"), Observed(found=found))


def test_a_refusal_tells_a_line_each_and_the_way_on_in_its_own() -> None:
    found = all_there(wanted())

    with pytest.raises(UserError) as told:
        planner.plan(wanted("name: reef\nnetwork: {cidr: 10.50.0.0/16}\n"), Observed(found=found))

    *lines, last = str(told.value).split("\n")
    assert last == planner.LIVING
    assert len(lines) > 1
    assert all(re.fullmatch(r"[a-z-]+: \w+ is \S+, not \S+", line) for line in lines), lines


def test_machines_that_leave_are_no_step_of_the_graph_but_pending() -> None:
    observed = grown(cpu="i-1", big="i-3")
    going = replace(observed.found["pool cpu"], id="i-2")

    planned = planner.plan(wanted(POOLS), replace(observed, leaving=(going,)))

    assert [(step.action, step.found) for step in planned.leaving] == [(Action.DELETE, going)]
    assert set(planned.leaving) <= set(planned.pending)
    assert not set(planned.leaving) & set(planned.steps)
    (comes,) = (step for step in planned.steps if step.key == "pool cpu")
    assert comes.replaces == "i-2"  # by which its launch is not taken for that of the one that goes


POOLS = "name: reef\nmaster: none\npools:\n  cpu: 2\n  big: 1\n"


def grown(**pools: str) -> Observed:
    """The cluster with these machines of its pools, of all of which the controller was told."""
    found = all_there(wanted(POOLS))
    for pool, ids in pools.items():
        value = replace(found[f"pool {pool}"].value, count=len(ids.split()))
        found[f"pool {pool}"] = replace(found[f"pool {pool}"], id=ids, value=value)
    told = Homes(pools=tuple(pools.values()))
    return Observed(found={**found, "homes": replace(found["homes"], value=told)})


@pytest.mark.parametrize(
    ("there", "pending"),
    [
        pytest.param({"cpu": "i-1 i-2", "big": "i-3"}, [], id="as wanted"),
        pytest.param({"cpu": "i-1", "big": "i-3"}, ["homes", "pool cpu"], id="one more comes"),
    ],
)
def test_the_controller_is_told_when_machines_come(
    there: dict[str, str], pending: list[str]
) -> None:
    planned = planner.plan(wanted(POOLS), grown(**there)).pending

    assert sorted(step.key for step in planned) == pending
    if pending:
        assert [step.key for step in planned] == ["pool cpu", "homes"]


def test_the_controller_may_know_machines_that_are_gone() -> None:
    observed = grown(cpu="i-1 i-2", big="i-3")
    told = Homes(pools=("i-0 i-1 i-2", "i-3"))
    found = {**observed.found, "homes": replace(observed.found["homes"], value=told)}

    assert planner.plan(wanted(POOLS), Observed(found=found)).pending == ()


def test_no_workers_wanted_and_none_there_is_as_wanted() -> None:
    none = wanted("name: reef\nworkers: 0\n")
    found = {key: one for key, one in all_there(none).items() if key != "worker"}

    assert planner.plan(none, Observed(found=found)).pending == ()


def test_a_failed_machine_goes_before_its_successor_comes() -> None:
    found = all_there(wanted())
    broken = Found(kind=MACHINES, key="controller", id="i-1")
    observed = Observed(
        found={key: one for key, one in found.items() if key != "controller"}, surplus=(broken,)
    )

    steps = planner.plan(wanted(), observed).pending

    assert [(step.action, step.key) for step in steps] == [
        (Action.DELETE, "surplus i-1"),
        (Action.CREATE, "controller"),
        (Action.CHANGE, "state-attachment"),
        (Action.CHANGE, "volume-attachment"),
    ]
    assert steps[1].replaces == "i-1"


def test_removal_never_takes_what_is_not_ours() -> None:
    foreign = Found(kind=SUBNET, key="", id="subnet-1", ours=False)

    assert planner.removal([foreign]) == ()


REMOVABLE = [kind for kind in table.ALL if kind.remove]


@given(st.sets(st.sampled_from(REMOVABLE), min_size=1))
def test_removal_has_an_order_that_aws_accepts(kinds: set[Kind]) -> None:
    found = [Found(kind=kind, key=kind.name, id=f"{kind}-1") for kind in kinds]
    there = {kind.name for kind in kinds}

    gone: list[str] = []
    for step in planner.removal(found):
        assert all(before in gone for before in step.kind.after if before in there)
        gone.append(step.kind.name)
    assert set(gone) == there

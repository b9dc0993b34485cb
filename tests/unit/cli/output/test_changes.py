"""What a plan says of each thing: what becomes of it, why, and by how much an hour."""

from dataclasses import replace

import pytest

from clusterous_cli.cluster import config, prices
from clusterous_cli.cluster.file import differences
from clusterous_cli.output import changes
from clusterous_cli.output.changes import Change, Effect
from clusterous_cli.plan import cost, planner
from clusterous_cli.plan.kinds.kind import Found
from clusterous_cli.plan.kinds.machines import MACHINES
from clusterous_cli.plan.planner import Observed
from tests.unit.cli.plan import test_planner as plans

KNOWN = prices.listed("eu-west-1")
FILE = """\
name: reef
workers: 2
pools: {cpu: {type: c7i.xlarge, count: 1}}
volume: {size: 20}
"""


def there(text: str = FILE) -> dict[str, Found]:
    """All that a file wants, as it is when it is there; machines have ids, and run."""
    found = plans.all_there(plans.wanted(text))
    for key, one in found.items():
        if one.kind is MACHINES:
            ids = [f"i-{key.split()[-1]}{number}" for number in range(one.value.count)]
            ids = (
                [one.id] if key in ("gateway", "controller") else ids
            )  # volumes are attached to it
            states = dict.fromkeys(ids, "running")
            found[key] = replace(one, id=" ".join(ids), value=replace(one.value, states=states))
    ids = tuple(found[key].id for key in ("master", "pool cpu", "worker") if key in found)
    found["homes"] = replace(found["homes"], value=replace(found["homes"].value, pools=ids))
    return found


def changed(
    text: str, observed: Observed | None = None, before: str | None = FILE
) -> dict[str, Change]:
    observed = observed or Observed(found=there())
    plan = planner.plan(plans.wanted(text), observed)
    known = config.parse(before) if before else None
    all_of = changes.of(plan, known, config.parse(text), KNOWN)
    return {one.step.key: one for one in all_of}


def test_of_a_new_cluster_all_is_created_and_costs_what_the_cluster_costs() -> None:
    found = changed(FILE, Observed(), before=None)

    assert {one.effect for one in found.values()} == {Effect.CREATED}
    assert {one.reasons for one in found.values()} == {("the cluster is new",)}
    whole = cost.of(config.parse(FILE), "eu-west-1", KNOWN)
    assert sum(one.hourly for one in found.values()) == pytest.approx(whole.hourly)
    assert whole.hourly > 0.5


def test_of_what_is_as_wanted_nothing_changes() -> None:
    found = changed(FILE)

    assert {one.effect for one in found.values()} == {Effect.KEPT}
    assert {(one.hourly, one.reasons) for one in found.values()} == {(0.0, ())}


MACHINE = KNOWN.machines["t3.large"] + 20 * KNOWN.gib / prices.HOURS_PER_MONTH


@pytest.mark.parametrize(
    ("text", "key", "effect", "reason", "hourly"),
    [
        pytest.param(FILE.replace("workers: 2", "workers: 4"), "worker", Effect.CHANGED,
                     "workers.count: 2 → 4", 2 * MACHINE, id="more"),
        pytest.param(FILE.replace("count: 1}", "count: 1}, big: {type: t3.large, count: 1}"),
                     "pool big", Effect.CREATED, "pools.big is new in the file", MACHINE,
                     id="pool"),
        pytest.param(FILE.replace("size: 20", "size: 100"), "volume", Effect.CHANGED,
                     "volume.size: 20 → 100", 80 * KNOWN.gib / prices.HOURS_PER_MONTH, id="grown"),
    ],
)  # fmt: skip
def test_a_change_of_the_file_is_the_reason(
    text: str, key: str, effect: Effect, reason: str, hourly: float
) -> None:
    one = changed(text)[key]

    assert (one.effect, one.reasons) == (effect, (reason,))
    assert one.hourly == pytest.approx(hourly)


def test_machines_that_leave_are_deleted_and_cost_no_more() -> None:
    stays, goes = parted(there()["worker"], 1)
    found = {**there(), "worker": stays}
    fewer = FILE.replace("workers: 2", "workers: 1")

    one = changed(fewer, Observed(found=found, leaving=(goes,)))[f"leaving {goes.id}"]

    assert (one.effect, one.reasons) == (Effect.DELETED, ("workers.count: 2 → 1",))
    assert one.hourly == pytest.approx(-MACHINE)


def parted(pool: Found, count: int) -> tuple[Found, Found]:
    ids = pool.id.split()
    return tuple(  # type: ignore[return-value]
        replace(pool, id=" ".join(some), value=replace(pool.value, count=len(some)))
        for some in (ids[:count], ids[count:])
    )


def test_a_pool_that_the_file_has_no_more_is_the_reason_of_its_end() -> None:
    found = there()
    goes = found.pop("pool cpu")
    less = "name: reef\nworkers: 2\nvolume: {size: 20}\n"

    one = changed(less, Observed(found=found, leaving=(goes,)))[f"leaving {goes.id}"]

    assert one.reasons == ("pools.cpu is no more in the file",)


def test_machines_that_are_gone_failed_or_off_are_told_from_each_other() -> None:
    stays, failed = parted(there()["worker"], 1)
    off = there()["pool cpu"]
    off = replace(off, value=replace(off.value, states=dict.fromkeys(off.id.split(), "stopped")))
    lost = Observed(found={**there(), "worker": stays})
    broken = Observed(found={**there(), "worker": stays}, surplus=(failed,))

    assert changed(FILE, lost)["worker"].reasons == ("1 of 2 are gone",)
    replaced = changed(FILE, broken)
    assert replaced["worker"].effect is Effect.REPLACED
    assert f"in the place of {failed.id}" in replaced["worker"].reasons
    assert replaced[f"surplus {failed.id}"].reasons == ("it failed as it started",)
    assert sum(one.hourly for one in replaced.values()) == pytest.approx(0.0)
    asleep = changed(FILE, Observed(found={**there(), "pool cpu": off}))["pool cpu"]
    assert asleep.reasons == (f"{off.id} is switched off",)
    assert asleep.hourly == pytest.approx(KNOWN.machines["c7i.xlarge"])


def test_what_is_missing_or_otherwise_is_told() -> None:
    found = there()
    del found["s3-endpoint"]
    rules = found["gateway-rules"]
    found["gateway-rules"] = replace(rules, value=replace(rules.value, rules=()))
    told = changed(FILE, Observed(found=found))

    assert told["s3-endpoint"].reasons == ("it is not there",)
    assert told["gateway-rules"].reasons == ("rules differs",)


def test_a_machine_without_a_price_is_told() -> None:
    one = changed(FILE.replace("count: 1}", "count: 1}, x: {type: x9.large}"))["pool x"]

    assert one.unknown == ("x9.large",)


def test_the_record_tells_all_keys_that_changed() -> None:
    before, after = config.parse(FILE), config.parse("name: reef\nk3s: v1.36.0+k3s1\nvolume: efs\n")

    assert [str(one) for one in differences.between(before, after)] == [
        "k3s: v1.35.4+k3s1 → v1.36.0+k3s1",
        "pools.cpu is no more in the file",
        "volume.type: ebs → efs",
        "volume.size: 20 → not said",
        "volume.iops: 3000 → not said",
        "volume.throughput: 125 → not said",
    ]
    assert differences.between(before, before) == ()

"""Where prices come from: AWS's own list, kept for a day, and never waited for; else the table."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clusterous_cli import main
from clusterous_cli.cluster import config, prices
from clusterous_cli.plan import cost, pricelist
from clusterous_cli.system import private
from tests.functional import cloud
from tests.region.aws import settings

REEF = config.parse("name: reef\nworkers: {type: c7i.xlarge, count: 1}\n")
TYPES = sorted({one.type for one in REEF.pools})
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture
def world(world: cloud.World, monkeypatch: pytest.MonkeyPatch) -> cloud.World:
    monkeypatch.setattr(pricelist, "SECONDS", 60.0)  # the pace of a machine decides nothing
    kept(world).unlink(missing_ok=True)
    return world


def kept(world: cloud.World) -> Path:
    return private.home() / "prices" / "eu-west-1.json"


def asked(world: cloud.World) -> int:
    return sum(call.service == "pricing" for call in world.server.log())


def test_prices_are_those_of_the_list_and_of_the_region(world: cloud.World) -> None:
    known = pricelist.known(world.cloud, TYPES, NOW)

    assert (known.machines["c7i.xlarge"], known.machines["t3.medium"]) == (0.2026, 0.0456)
    assert (known.nat, known.address) == (0.048, 0.005)
    assert (known.gib, known.iops, known.mib) == pytest.approx((0.088, 0.0055, 0.044))
    assert known.spelled == "AWS's price list of 2026-11-29; what AWS bills may differ"
    assert cost.of(REEF, "eu-west-1", known).unknown == ()


def test_they_are_kept_for_a_day_and_asked_for_what_is_new_only(world: cloud.World) -> None:
    first = pricelist.known(world.cloud, TYPES, NOW)
    after = asked(world)
    assert after == len(TYPES) + len(pricelist.FIXED)

    assert pricelist.known(world.cloud, TYPES, NOW + timedelta(hours=23)) == first
    assert asked(world) == after
    more = pricelist.known(world.cloud, [*TYPES, "t3.large"], NOW + timedelta(hours=23))
    assert (more.machines["t3.large"], asked(world)) == (0.0912, after + 1)
    pricelist.known(world.cloud, TYPES, NOW + timedelta(hours=25))
    assert asked(world) == 2 * after + 1


def test_what_the_list_lacks_is_the_tables_and_told(world: cloud.World) -> None:
    known = pricelist.known(world.cloud, ["m6i.large", "x9.huge"], NOW)

    table = prices.listed("eu-west-1")
    assert known.machines["m6i.large"] == table.machines["m6i.large"]
    assert "x9.huge" not in known.machines
    assert f"(which lacks m6i.large: as in {table.of})" in known.spelled


def test_who_may_not_ask_gets_the_table_and_the_reason_and_is_not_asked_again(
    world: cloud.World,
) -> None:
    deny = {"Effect": "Deny", "Action": "pricing:*", "Resource": "*"}
    policy = dict(settings.ADMINISTRATOR)
    world.configure(user_policy={**policy, "Statement": [*policy["Statement"], deny]})

    known = pricelist.known(world.cloud, TYPES, NOW)

    why = "AWS's price list may not be asked: pricing:GetProducts is denied"
    assert known == prices.listed("eu-west-1", why)
    assert f"list prices of {prices.DATE}, from a table ({why})" in known.spelled
    count = asked(world)
    assert pricelist.known(world.cloud, TYPES, NOW + timedelta(minutes=59)).why == why
    assert asked(world) == count
    world.configure(user_policy=policy)
    assert pricelist.known(world.cloud, TYPES, NOW + timedelta(minutes=61)).why == ""


def test_a_list_that_does_not_answer_is_not_waited_for(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLUSTEROUS_HOME", str(tmp_path))  # it may answer after all, and be kept
    monkeypatch.setattr(pricelist, "SECONDS", 0.2)
    world.fault(service="pricing", action="GetProducts", kind="hang", seconds=2, times=20)

    answer = pricelist.beside(world.cloud, TYPES, NOW)()

    assert answer == prices.listed("eu-west-1", pricelist.SLOW)


def test_while_other_things_are_done_it_is_asked_and_then_known(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    better = replace(prices.listed("eu-west-1"), of="AWS's price list")
    monkeypatch.setattr(pricelist, "known", lambda *_: better)

    assert pricelist.beside(world.cloud, TYPES, NOW)() == better


def test_plan_says_what_becomes_of_each_part_why_and_for_how_much(
    world: cloud.World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.laid(REEF)
    with pytest.MonkeyPatch.context() as patch:
        cloud.typing(patch, world)
        patch.chdir(tmp_path)
        Path("clusterous.yaml").write_text(
            "name: reef\nworkers: {type: c7i.xlarge, count: 3}\nvolume: {size: 40}\n"
        )
        assert main.run(["plan"]) == 4
        shown = capsys.readouterr().out
        assert main.run(["plan", "-o", "json"]) == 4
    data = json.loads(capsys.readouterr().out)

    (machines,) = (line for line in shown.splitlines() if " machines " in line)
    assert machines.startswith("  ~ changed ")
    assert machines.endswith("workers.count: 1 → 3")
    assert "+0.40 $/h, +290 $ a month" in machines
    assert "volume.size: 20 → 40" in shown
    assert f"list prices of {prices.DATE}, from a table; what AWS bills may differ" in shown
    steps = {one["name"]: one for one in data["steps"]}
    assert steps["worker"]["reasons"] == ["workers.count: 1 → 3"]
    assert (steps["worker"]["effect"], steps["vpc"]["effect"]) == ("changed", "kept")
    grown = sum(one["hourly"] for one in data["steps"])
    told = data["cost"]
    more = told["after"]["hourly"] - told["before"]["hourly"]
    assert more == pytest.approx(grown, abs=0.001)
    assert told["after"]["hourly"] == pytest.approx(told["hourly"], abs=0.001)
    assert steps["worker"]["monthly"] == pytest.approx(290, abs=5)


@pytest.mark.parametrize("text", ["", "[]", '{"prices": {"nat": {}}, "silent": null}', "{"])
def test_what_was_kept_and_cannot_be_read_is_as_if_it_were_not_there(
    text: str, tmp_path: Path
) -> None:
    (tmp_path / "kept.json").write_text(text)

    assert pricelist._read(tmp_path / "kept.json") == {"prices": {}, "silent": None}


@pytest.mark.parametrize(
    "listed", [[], ["{}"], ["no JSON"], ['{"product": {"attributes": {}}, "terms": {}}']]
)
def test_an_answer_without_a_price_has_none(listed: list[str]) -> None:
    assert pricelist.price_of(pricelist.of_machine("t3.large"), listed) is None

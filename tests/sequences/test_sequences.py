"""A few short sequences, and what tells that a sequence failed; `make sequences` tries hundreds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import get_args

import pytest

from tests.sequences import account, compare, drawing, model, shrink, steps, trial
from tests.sequences.account import Stage
from tests.sequences.files import File, Pool, Volume
from tests.sequences.model import Account, Machines
from tests.sequences.seen import Machine, Seen
from tests.sequences.steps import Create, Destroy, Kill, LoseVolume, Remove, RestoreVolume, Snapshot

REEF = File(pools={"cpu": Pool(type="t3.large", count=2)}, master=None)
MORE = replace(REEF, volume=Volume(figures={"size": 30}))
SHORT: dict[str, Sequence[steps.Step]] = {
    "changed": (
        Create(file=REEF, dies=40),
        Kill(what="cpu"),
        Remove(pool="cpu", count=1),
        Create(file=MORE),
        Create(file=REEF),  # which would shrink its volume
        Destroy(option=steps.KEEPS, dies=20),
    ),
    "restored": (
        Create(file=REEF),
        Snapshot(),
        LoseVolume(),
        Create(),  # which would begin on an empty one
        RestoreVolume(),
        Create(file=replace(REEF, volume=Volume(id="kept"))),
    ),
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with account.opened(tmp_path_factory.mktemp("sequences")) as opened:
        yield opened


@pytest.mark.parametrize("name", SHORT)
def test_what_is_there_is_as_the_model_says(stage: Stage, name: str) -> None:
    result = trial.Trials(stage).run(SHORT[name])

    assert result.good, result


def test_what_is_otherwise_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(cluster: model.Cluster, what: str) -> model.Cluster:
        return replace(cluster, hurt=True)

    monkeypatch.setattr(model, "killed", forgetful)

    result = trial.Trials(stage).run((Create(file=REEF), Kill(what="cpu")))

    assert (result.steps, result.step) == (2, "Kill(what='cpu')")
    assert any("cpu has [], not 2" in one for one in result.other)


# -- without an account ---------------------------------------------------------------------------


def test_a_sequence_is_the_same_each_time_and_long_enough() -> None:
    drawn = [drawing.drawn(seed) for seed in range(100)]

    assert drawn == [drawing.drawn(seed) for seed in range(100)]
    assert min(map(len, drawn)) >= 8
    assert {type(one) for each in drawn for one in each} == set(get_args(steps.Step))


def test_the_smallest_that_fails_is_found() -> None:
    assert shrink.smallest("abcdefgh", lambda some: {"c", "g"} <= set(some)) == ("c", "g")


def test_a_machine_too_few_or_elsewhere_is_told() -> None:
    outcome = model.after(Account(), Create(file=replace(REEF, volume=Volume(type="none"))))
    there = {
        "gateway": {"i-1": Machine(type="t3.nano", zone="eu-west-1a", is_on=True)},
        "controller": {"i-2": Machine(type="t3.medium", zone="eu-west-1b", is_on=False)},
        "cpu": {"i-3": Machine(type="m7i.large", zone="eu-west-1a", is_on=True)},
    }
    seen = Seen(machines=there, disks={}, copies=frozenset({"snap-1"}), ground=())

    assert compare.compare(outcome.account, seen).other == (
        "i-2 of controller is t3.medium in eu-west-1b, not t3.medium",
        "i-2 of controller is off",
        "cpu has ['i-3'], not 2",
        "i-3 of cpu is m7i.large in eu-west-1a, not t3.large",
        "the volumes are [], not ['new']",
        "the snapshots are ['snap-1'], not []",
    )


def test_machines_that_were_to_stay_and_went_are_told() -> None:
    cpu = Machines(type="t3.large", ids=frozenset({"i-1", "i-2"}), fewer=1, more=0)
    cluster = model.Cluster(file=REEF, zone="eu-west-1a", machines={"cpu": cpu}, state="vol-1")
    new = Machine(type="t3.large", zone="eu-west-1a", is_on=True)
    seen = Seen(machines={"cpu": {"i-3": new}}, disks={}, copies=frozenset(), ground=())

    told = compare.compare(Account(cluster=cluster), seen).other

    assert "['i-1', 'i-2'] of cpu went, and 1 were to go" in told


RULES = {
    "smaller": Volume(figures={"size": 10}),
    "another type": Volume(type="efs"),
    "none": Volume(type="none"),
    "another's": Volume(id="vol-0123456789abcdef0"),
}


@pytest.mark.parametrize("name", RULES)
def test_no_change_of_the_file_replaces_a_volume(name: str) -> None:
    made = model.after(Account(), Create(file=REEF)).account

    outcome = model.after(made, Create(file=replace(REEF, volume=RULES[name])))

    assert (outcome.code, outcome.silent, outcome.account) == (model.REFUSED, True, made)

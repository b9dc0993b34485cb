"""How far add-ons are: only what bears the newest mark, all of it, is ready."""

from typing import Any

import pytest

from clusterous_cli.addons import rollout, table


def view(*lines: str, **more: Any) -> dict[str, Any]:
    return {"addons": {"one": "new"}, "rollouts": "".join(f"{line}\n" for line in lines), **more}


@pytest.mark.parametrize(
    ("lines", "ready", "words"),
    [
        pytest.param(["one@new web 3 3 2 2 2 2"], True, "ready", id="all there"),
        pytest.param(["one@new web 3 3 2 2 1 2"], False, "web: 1 of 2 ready", id="one missing"),
        pytest.param(
            ["one@new web 3 3 1 1 1 2"],
            False,
            "web: 1 of 1 ready, what was before is still there",
            id="an old one left",
        ),
        pytest.param(
            ["one@new web 3 2 1 1 1 1"],
            False,
            "web: 1 of 1 ready, what was before is still there",
            id="not looked at",
        ),
        pytest.param(["one@new web 3 3 0 0 0 0"], False, "web: 0 of 0 ready", id="none wanted"),
        pytest.param(["one@old web 3 3 1 1 1 1"], False, "starting", id="the old one only"),
        pytest.param(
            ["one@new web 1 1 1 1 1 1", "one@old db 1 1 1 1 1 1"], False, "starting", id="in part"
        ),
        pytest.param(["two@new web 1 1 1 1 1 1"], False, "starting", id="another's"),
        pytest.param([], False, "starting", id="nothing yet"),
        pytest.param(["one@new web 1 1 x 1 1 1", "one"], False, "starting", id="no such line"),
    ],
)
def test_an_addon_is_ready_when_all_its_workloads_are_out(
    lines: list[str], ready: bool, words: str
) -> None:
    assert rollout.state(view(*lines), "one", "new") == rollout.State(ready=ready, words=words)


def test_what_the_controller_has_not_taken_yet_is_not_there() -> None:
    lines = ["one@newer web 1 1 1 1 1 1"]

    waits = rollout.state(view(*lines), "one", "newer")
    stuck = rollout.state(view(*lines, stuck="no space left\n"), "one", "newer")

    assert (waits.ready, waits.words) == (False, "waits for the controller to take it")
    assert (stuck.ready, stuck.words) == (False, "no space left")


def test_what_has_no_pods_is_ready_when_it_is_taken() -> None:
    assert rollout.state(view(), "one", "new", pods=False) == rollout.State(
        ready=True, words="ready"
    )
    assert not rollout.state(view(), "one", "newer", pods=False).ready
    assert [one.name for one in table.ALL if not table.has_pods(one.name)] == ["app-names"]

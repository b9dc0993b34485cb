"""What is changed of an app so that there are more or fewer of a component."""

from typing import Any

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.program.running import parts, scaling

BODY: dict[str, Any] = {
    "metadata": {"name": "sim", "namespace": "lab"},
    "spec": {
        "master": {"aliases": ["head"]},
        "workers": {"replicas": 4, "aliases": ["engine"]},
        "components": [
            {"name": "db", "replicas": 1},
            {"name": "tile", "fill": True, "min": 2, "max": 9},
            {"name": "view"},
        ],
    },
}


def part(title: str, body: dict[str, Any] = BODY) -> parts.Part:
    return next(one for one in parts.parts([body]) if one.title == title)


def filling() -> dict[str, Any]:
    return {**BODY, "spec": {**BODY["spec"], "workers": {"min": 1}}}


@pytest.mark.parametrize(
    ("title", "count", "expected"),
    [
        ("workers", 8, [("add", "/spec/workers/replicas", 8)]),
        ("workers", 0, [("add", "/spec/workers/replicas", 0)]),
        ("workers", None, [("remove", "/spec/workers/replicas", None)]),
        ("workers", 4, []),
        (
            "db",
            3,
            [("test", "/spec/components/0/name", "db"), ("add", "/spec/components/0/replicas", 3)],
        ),
        (
            "tile",
            3,
            [
                ("test", "/spec/components/1/name", "tile"),
                ("remove", "/spec/components/1/fill", None),
                ("remove", "/spec/components/1/min", None),
                ("remove", "/spec/components/1/max", None),
                ("add", "/spec/components/1/replicas", 3),
            ],
        ),
        ("tile", None, []),
        (
            "db",
            None,
            [
                ("test", "/spec/components/0/name", "db"),
                ("remove", "/spec/components/0/replicas", None),
                ("add", "/spec/components/0/fill", True),
            ],
        ),
        ("view", 1, []),
    ],
)
def test_what_is_changed(title: str, count: int | None, expected: list[Any]) -> None:
    found = scaling.operations(BODY, part(title), count)

    assert [(one["op"], one["path"], one.get("value")) for one in found] == expected


def test_workers_that_fill_the_cluster_are_given_a_number() -> None:
    (one,) = scaling.operations(filling(), part("workers", filling()), 5)

    assert (one["op"], one["value"]) == ("add", 5)
    assert scaling.operations(filling(), part("workers", filling()), None) == []


@pytest.mark.parametrize(
    ("title", "said"), [("workers", "4"), ("db", "1"), ("tile", "fill"), ("view", "1")]
)
def test_how_many_are_wanted_is_told(title: str, said: str) -> None:
    assert scaling.wanted(part(title)) == said


def test_reads_a_number_or_fill() -> None:
    assert (scaling.number("12"), scaling.number("fill")) == (12, None)
    for text in ("-1", "many", "1.5", "10001", "", "٣٤٥٦٧", "9" * 5000):
        with pytest.raises(UserError, match="is no number of pods"):
            scaling.number(text)


def test_what_has_no_number_of_its_own_is_told() -> None:
    with pytest.raises(UserError, match="has one head, and never more"):
        scaling.check(part("master"))
    by = {**BODY, "spec": {**BODY["spec"], "workers": {"scaledBy": "Autoscaler"}}}
    with pytest.raises(UserError, match="An autoscaler says how many workers"):
        scaling.check(part("workers", by))
    scaling.check(part("db"))


def test_workers_are_meant_where_no_component_is_named() -> None:
    there = parts.parts([BODY])
    alone = [one for one in there if one.title in ("master", "db")]

    assert scaling.one_of(there).title == "workers"
    assert scaling.one_of(alone).title == "db"
    assert scaling.one_of(alone[:1]).title == "master"
    with pytest.raises(UserError, match="several components: db, tile, view"):
        scaling.one_of([one for one in there if one.title != "workers"])

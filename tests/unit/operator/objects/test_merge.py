"""The overlay is merged as Kubernetes merges a strategic merge patch."""

from typing import Any

import pytest

from clusterous_operator.objects import merge

BASE: dict[str, Any] = {
    "containers": [
        {"name": "main", "image": "a", "env": [{"name": "X", "value": "1"}], "args": ["a", "b"]}
    ],
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}],
    "nodeSelector": {"a": "1"},
    "tolerations": [{"key": "a"}],
}


@pytest.mark.parametrize(
    ("overlay", "path", "expected"),
    [
        pytest.param(
            {"containers": [{"name": "main", "workingDir": "/x"}]},
            ("containers", 0, "image"),
            "a",
            id="a container is found by its name and keeps its other fields",
        ),
        pytest.param(
            {"containers": [{"name": "side", "image": "b"}]},
            ("containers",),
            [*BASE["containers"], {"name": "side", "image": "b"}],
            id="an unknown container is added after ours",
        ),
        pytest.param(
            {"containers": [{"name": "main", "env": [{"name": "Y", "value": "2"}]}]},
            ("containers", 0, "env"),
            [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}],
            id="env is merged by name",
        ),
        pytest.param(
            {"containers": [{"name": "main", "env": [{"name": "X", "valueFrom": {"f": 1}}]}]},
            ("containers", 0, "env"),
            [{"name": "X", "valueFrom": {"f": 1}}],
            id="a variable has one source",
        ),
        pytest.param(
            {"volumes": [{"name": "data", "emptyDir": {}}]},
            ("volumes",),
            [{"name": "data", "emptyDir": {}}],
            id="a volume has one source",
        ),
        pytest.param(
            {"volumes": [{"name": "data", "persistentVolumeClaim": {"readOnly": True}}]},
            ("volumes", 0, "persistentVolumeClaim"),
            {"claimName": "c", "readOnly": True},
            id="a volume keeps its source where that is the one named",
        ),
        pytest.param(
            {"containers": [{"name": "main", "args": ["c"]}]},
            ("containers", 0, "args"),
            ["c"],
            id="a list without a key is replaced",
        ),
        pytest.param(
            {"tolerations": [{"key": "b"}]},
            ("tolerations",),
            [{"key": "b"}],
            id="tolerations are replaced, as Kubernetes does",
        ),
        pytest.param(
            {"nodeSelector": {"b": "2"}}, ("nodeSelector",), {"a": "1", "b": "2"}, id="map"
        ),
        pytest.param({"nodeSelector": {"a": None}}, ("nodeSelector",), {}, id="null removes"),
        pytest.param(
            {"volumes": [{"name": "data", "$patch": "delete"}]}, ("volumes",), [], id="delete"
        ),
        pytest.param(
            {"containers": [{"name": "new", "image": "n"}, {"$patch": "replace"}]},
            ("containers",),
            [{"name": "new", "image": "n"}],
            id="replace the list",
        ),
        pytest.param(
            {"nodeSelector": {"$patch": "replace", "z": "9"}},
            ("nodeSelector",),
            {"z": "9"},
            id="replace the map",
        ),
        pytest.param(
            {"nodeSelector": {"$patch": "delete"}, "affinity": {"$patch": "delete"}},
            (),
            {key: value for key, value in BASE.items() if key != "nodeSelector"},
            id="delete the map",
        ),
    ],
)
def test_merges(overlay: dict[str, Any], path: tuple[Any, ...], expected: Any) -> None:
    found: Any = merge.strategic(BASE, overlay)

    for step in path:
        found = found[step]
    assert found == expected


def test_changes_neither_side() -> None:
    before = repr(BASE)

    merge.strategic(BASE, {"containers": [{"name": "main", "env": [{"name": "X", "value": "9"}]}]})

    assert repr(BASE) == before


def test_ports_of_one_number_and_two_protocols_stay_two() -> None:
    base = {"ports": [{"containerPort": 53, "protocol": "UDP"}]}

    merged = merge.strategic(base, {"ports": [{"containerPort": 53}]})

    assert len(merged["ports"]) == 2


@pytest.mark.parametrize("key", sorted(merge.KEYS))
@pytest.mark.parametrize("junk", [[1], {"a": 1}, 1.5])
def test_a_list_that_is_but_called_like_one_of_ours_is_replaced_as_a_whole(
    key: str, junk: Any
) -> None:
    called = [dict.fromkeys(merge.KEYS[key], junk)]

    found = merge.strategic({"more": {key: [{"x": 1}]}}, {"more": {key: called}})

    assert found == {"more": {key: called}}

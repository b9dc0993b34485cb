"""An older CRD or an older Kubernetes is told in words; a newer one is welcome."""

import copy
from typing import Any

import pytest

from clusterous_operator.client import preflight, skew

OURS = preflight.ours()


def changed() -> dict[str, Any]:
    """Return a copy of our CRD, and in it the properties of spec, for a test to change."""
    return copy.deepcopy(OURS)


def spec_of(crd: dict[str, Any]) -> dict[str, Any]:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found: dict[str, Any] = schema["properties"]["spec"]["properties"]
    return found


def test_our_own_crd_is_new_enough() -> None:
    assert skew.of_crd(OURS, OURS) is None


def test_a_field_that_is_missing_is_named() -> None:
    crd = changed()
    del spec_of(crd)["workers"]["properties"]["drain"]

    unfit = skew.of_crd(OURS, crd)

    assert unfit is not None
    assert unfit.reason == "CRDTooOld"
    assert "it lacks spec.workers.drain." in unfit.words


def test_of_several_one_is_named() -> None:
    crd = changed()
    del spec_of(crd)["idle"]
    del spec_of(crd)["components"]["items"]["properties"]["env"]

    unfit = skew.of_crd(OURS, crd)

    assert unfit is not None
    assert "spec.components[].env and 1 more" in unfit.words


def test_a_newer_crd_is_welcome() -> None:
    crd = changed()
    spec_of(crd)["later"] = {"type": "object", "properties": {"more": {"type": "string"}}}

    assert skew.of_crd(OURS, crd) is None


def test_where_anything_may_stand_nothing_is_missing() -> None:
    crd = changed()
    spec_of(crd)["workers"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

    assert skew.of_crd(OURS, crd) is None


def test_a_version_that_is_not_served_is_missing() -> None:
    crd = changed()
    crd["spec"]["versions"][0]["served"] = False

    unfit = skew.of_crd(OURS, crd)

    assert unfit is not None
    assert "version v1" in unfit.words


@pytest.mark.parametrize(
    ("major", "minor", "is_fit"),
    [
        pytest.param("1", "31", True, id="the oldest"),
        pytest.param("1", "36", True, id="the newest"),
        pytest.param("1", "34+", True, id="a vendor's"),
        pytest.param("2", "0", True, id="the next major"),
        pytest.param("1", "30", False, id="too old"),
    ],
)
def test_kubernetes(major: str, minor: str, is_fit: bool) -> None:
    unfit = skew.of_kubernetes({"major": major, "minor": minor})

    assert (unfit is None) is is_fit
    if unfit is not None:
        assert "needs Kubernetes 1.31 or newer, and this is 1.30" in unfit.words

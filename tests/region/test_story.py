"""The demonstration is a test: it ends well, and its report says what an issue may rely on."""

import json

import pytest

from tests.region import demo

pytestmark = pytest.mark.region


def test_from_an_empty_account_to_a_result_and_back() -> None:
    code = demo.main("crstory")

    report = json.loads(demo.REPORT.read_text())
    assert report["error"] == ""
    assert (code, report["ok"], report["left"]) == (0, True, 0)
    assert list(report["phases"]) == ["region", "create", "run", "compute", "get", "destroy"]
    # How long it takes that a machine is missed is told, and judged on a machine with nothing else.
    assert set(report["lost_machine"]) == {"Node", "Pod"}
    assert report["aws_calls"]["RunInstances"] == 3
    assert report["create"]["ratio"] <= 2  # beside other clusters; `make demo` tells it alone

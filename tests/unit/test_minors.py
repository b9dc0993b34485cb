"""How runs on other minors of Kubernetes are counted, chosen and told."""

import pytest

from tests import minors as runs
from tests.region.parts import minors

REPORT = '<testsuites><testsuite tests="5" failures="{}" errors="{}" skipped="{}"/></testsuites>'


@pytest.mark.parametrize(
    ("report", "code", "counted"),
    [
        pytest.param(REPORT.format(0, 0, 0), 0, (5, 0, 0), id="all-passed"),
        pytest.param(REPORT.format(1, 1, 1), 1, (2, 2, 1), id="failures-and-errors"),
        pytest.param(REPORT.format(0, 0, 0), 2, (5, 1, 0), id="interrupted"),
        pytest.param(None, 4, (0, 1, 0), id="never-began"),
    ],
)
def test_counts_what_pytest_says(
    report: str | None, code: int, counted: tuple[int, int, int]
) -> None:
    result = runs.counted(report, code)

    assert (result["passed"], result["failed"], result["skipped"]) == counted


@pytest.mark.parametrize(
    ("passed", "failed", "good"),
    [
        pytest.param(3, 0, True, id="passed"),
        pytest.param(3, 1, False, id="one-failed"),
        pytest.param(0, 0, False, id="none-ran"),
    ],
)
def test_a_run_is_good_when_tests_ran_and_passed(passed: int, failed: int, good: bool) -> None:
    assert runs.is_good({"passed": passed, "failed": failed, "skipped": 0}) is good


def test_says_how_a_minor_went() -> None:
    result = {"passed": 3, "failed": 1, "skipped": 0, "seconds": 61.4}

    line = runs.in_words("1.34.4", result)

    assert line == "Kubernetes 1.34.4: FAILED (3 passed, 1 failed, 0 skipped, 61 s)"


def test_a_minor_that_nobody_builds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(minors.VARIABLE, "1.2")

    with pytest.raises(ValueError, match=r"1\.2; known are 1\.34"):
        minors.chosen()

"""What is judged of which facts, without AWS; and that no check can hold a command up."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clusterous_api.errors import ClusterousError, UserError
from clusterous_cli.aws import errors
from clusterous_cli.checks import approach, examination, ranges
from clusterous_cli.checks.account import (
    clock,
    connection,
    credentials,
    permissions,
    quotas,
    region,
)
from clusterous_cli.checks.check import Approach, Check, Finding, Mark, Place
from clusterous_cli.checks.examination import Examination
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.output import findings

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
REEF = ClusterConfig(name="reef")


def reached(**more: Any) -> Approach:
    return Approach(now=NOW, region="eu-west-1", account="1", arn="arn:you", **more)


# -- the way to AWS -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "minutes", "mark"),
    [
        pytest.param("env", 120, Mark.OK, id="long enough"),
        pytest.param("env", 29, Mark.WARNING, id="shorter than a create may take"),
        pytest.param("env", -1, Mark.WARNING, id="over, and AWS does not say so yet"),
        pytest.param("sso", 10, Mark.OK, id="renewed by the login"),
        pytest.param("assume-role", 10, Mark.OK, id="renewed by other keys"),
    ],
)
def test_how_long_credentials_last(method: str, minutes: int, mark: Mark) -> None:
    ends = NOW + timedelta(minutes=minutes)

    assert credentials.judge(reached(method=method, temporary=True, ends=ends)).mark is mark


@pytest.mark.parametrize(
    ("error", "about"),
    [
        (errors.BadCredentials("x"), "credentials"),
        (errors.Expired("x"), "credentials"),
        (UserError("x"), "credentials"),
        (errors.WrongClock("x"), "clock"),
        (errors.NoRegion("x"), "region"),
        (errors.Unreachable("x"), "connection"),
        (errors.Unclear("x"), "connection"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else "",
)
def test_a_way_that_fails_is_the_failure_of_one_check_alone(
    error: ClusterousError, about: str
) -> None:
    tried = approach.refused(error, "eu-west-1")
    place = Place(approach=tried, cloud=None, config=REEF)
    checks = (connection.CHECK, credentials.CHECK, clock.CHECK, region.CHECK, permissions.CHECK)

    found = {one.name: examination.answer(one, place) for one in checks}

    failed = [name for name, one in found.items() if one.mark is Mark.FAILURE]
    assert failed == [about]
    assert found["permissions"].mark is Mark.UNKNOWN
    assert f"see {about}" in found["permissions"].why


# -- quotas -------------------------------------------------------------------------------


def row(allowed: int, used: int, wanted: int, unsure: str = "") -> quotas.Row:
    return quotas.Row(
        quota=quotas.STANDARD, region="eu-west-1", allowed=allowed, used=used, wanted=wanted,
        unsure=unsure,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "mark"),
    [
        pytest.param([row(16, 4, 12)], Mark.OK, id="just enough"),
        pytest.param([row(16, 4, 13)], Mark.FAILURE, id="one too many"),
        pytest.param([row(4, 8, 0)], Mark.OK, id="nothing more is wanted"),
        pytest.param([row(16, 0, 8), row(0, 0, 4)], Mark.FAILURE, id="of one kind too many"),
        pytest.param([row(5, 0, 4, "denied")], Mark.OK, id="enough by what is usual"),
        pytest.param([row(5, 0, 6, "denied")], Mark.WARNING, id="too many by what is usual"),
    ],
)
def test_room_in_a_quota(rows: list[quotas.Row], mark: Mark) -> None:
    assert quotas.judge(rows).mark is mark


def test_a_quota_that_is_too_small_says_by_how_much_and_where_to_ask_for_more() -> None:
    found = quotas.judge([row(16, 4, 24)])

    assert found.says == "24 more vCPUs of standard machines wanted, 4 of 16 in use"
    assert "eu-west-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-1216C47A" in (
        found.do
    )


@pytest.mark.parametrize(
    ("type", "code"),
    [
        ("t3.large", "L-1216C47A"),
        ("im4gn.large", "L-1216C47A"),
        ("g5.xlarge", "L-DB2E81BA"),
        ("vt1.3xlarge", "L-DB2E81BA"),
        ("p4d.24xlarge", "L-417A185B"),
        ("inf2.xlarge", "L-1945791B"),
        ("u-6tb1.metal", "L-43DA4232"),
    ],
)
def test_each_family_of_machines_has_its_quota(type: str, code: str) -> None:
    assert quotas.family(type).code == code


class Busy:
    """AWS, which never answers about quotas."""

    region = "eu-west-1"

    def find(self, service: str, action: str, **params: Any) -> Any:
        raise errors.Throttled("Rate exceeded")


def test_where_the_quotas_are_too_busy_to_be_asked_aws_usual_one_counts() -> None:
    place = Place(approach=reached(), cloud=Busy(), config=REEF)  # type: ignore[arg-type]

    found = quotas.row(place, quotas.NETWORKS, 5, 1)

    assert (found.allowed, found.unsure) == (5, "Rate exceeded")
    assert quotas.judge([found]).mark is Mark.WARNING


# -- the range ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cidr", "too_many", "mark", "says"),
    [
        ("10.40.0.0/16", "", Mark.OK, "10.40.0.0/16, also in vpc-1: fine, but"),
        ("10.50.0.0/16", "", Mark.OK, "10.50.0.0/16"),
        ("10.42.8.0/24", "", Mark.FAILURE, "10.42.8.0/24 overlaps 10.42.0.0/16, which the pods"),
        ("10.50.0.0/24", "300 are too many", Mark.FAILURE, "300 are too many"),
    ],
    ids=["like another network's", "of its own", "of the pods", "too small"],
)
def test_a_range_of_addresses(cidr: str, too_many: str, mark: Mark, says: str) -> None:
    others = (("vpc-1", "10.40.0.0/20"),)

    found = ranges.judge(ranges.Facts(cidr=cidr, too_many=too_many, others=others))

    assert (found.mark, found.says.startswith(says)) == (mark, True)


# -- the examination ----------------------------------------------------------------------


def check(name: str, look: Any) -> Check:
    return Check(name=name, look=look, judge=lambda facts: facts, remote=False)


def place() -> Place:
    return Place(approach=reached(), cloud=None, config=REEF)


def test_a_check_that_does_not_answer_in_time_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(examination, "SECONDS", 0.0)
    never = threading.Event()

    found = Examination(place(), [check("slow", lambda at: never.wait())]).findings()

    never.set()
    assert found["slow"].mark is Mark.UNKNOWN
    assert "no answer" in found["slow"].why


@pytest.mark.parametrize(
    ("error", "mark"),
    [
        (errors.Denied("You may not do x.", call="x"), Mark.UNKNOWN),
        (errors.Throttled("Rate exceeded"), Mark.UNKNOWN),
        (errors.AwsFailed("x: no"), Mark.UNKNOWN),
        (UserError("There is no such image."), Mark.FAILURE),
    ],
    ids=["not permitted", "busy", "refused", "wrong"],
)
def test_what_a_look_ends_with(error: Exception, mark: Mark) -> None:
    def look(at: Place) -> Any:
        raise error

    found = Examination(place(), [check("x", look)]).findings()["x"]

    assert found.mark is mark
    assert str(error) in f"{found.says} {found.why}"


def test_a_mistake_of_ours_is_no_answer() -> None:
    def look(at: Place) -> Any:
        return {}["x"]

    with pytest.raises(KeyError):
        Examination(place(), [check("x", look)]).findings()


def test_findings_are_lines_with_what_to_do_below() -> None:
    found: Mapping[str, Finding] = {
        "clock": Finding(mark=Mark.OK, says="as AWS's"),
        "permissions": Finding(mark=Mark.FAILURE, says="you may not", why="so", do="ask\nor not"),
    }

    assert findings.table(found).splitlines() == [
        "✓ clock         as AWS's",
        "✗ permissions   you may not",
        "                so",
        "                → ask",
        "                → or not",
    ]
    assert findings.failed(found).startswith("1 check failed, nothing was created.\n✗ permissions")
    assert findings.data(found)["counts"] == {
        "ok": 1, "warning": 0, "failure": 1, "not known": 0,
    }  # fmt: skip
    assert findings.sentence("permissions", found["permissions"]) == (
        "permissions: you may not; so; ask or not"
    )

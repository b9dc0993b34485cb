"""Faults on demand, the call log, and both over HTTP from another process."""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from tests.region.aws import faults, loopback


@pytest.fixture
def aws() -> Iterator[loopback.Account]:
    with loopback.account() as account:
        yield account


def inject(aws: loopback.Account, **fault: Any) -> None:
    aws.server.world.faults.add(faults.parse(fault))


def retrying(aws: loopback.Account, service: str = "ec2", attempts: int = 4) -> Any:
    return aws.client(
        service, retries={"mode": "standard", "total_max_attempts": attempts}, read_timeout=2
    )


def actions(aws: loopback.Account) -> list[tuple[str, int, str | None]]:
    return [(call.action, call.status, call.error) for call in aws.server.log()]


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("ec2", "describe_vpcs", "RequestLimitExceeded"),
        ("iam", "list_roles", "Throttling"),
        ("s3", "list_buckets", "SlowDown"),
        ("ecr", "describe_repositories", "ThrottlingException"),
        ("efs", "describe_file_systems", "ThrottlingException"),
    ],
)
def test_throttling_is_worded_by_service(
    aws: loopback.Account, service: str, operation: str, code: str
) -> None:
    inject(aws, kind="throttle", service=service)

    with pytest.raises(ClientError) as error:
        getattr(aws.client(service), operation)()

    assert error.value.response["Error"]["Code"] == code
    getattr(aws.client(service), operation)()


def test_a_client_that_retries_recovers(aws: loopback.Account) -> None:
    inject(aws, kind="throttle", action="DescribeVpcs", times=2)

    assert retrying(aws).describe_vpcs()["Vpcs"]
    assert [status for _, status, _ in actions(aws)] == [503, 503, 200]


def test_the_nth_call_of_one_action_fails(aws: loopback.Account) -> None:
    inject(aws, kind="error", action="DescribeSubnets", skip=1, code="Boom", status=400)
    ec2 = aws.client("ec2")

    ec2.describe_subnets()
    ec2.describe_vpcs()
    with pytest.raises(ClientError, match="Boom"):
        ec2.describe_subnets()
    ec2.describe_subnets()


def test_a_lost_answer_has_been_carried_out(aws: loopback.Account) -> None:
    inject(aws, kind="lost", action="AllocateAddress")
    inject(aws, kind="lost", action="RunInstances")
    ec2 = retrying(aws)
    ec2.allocate_address()
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    image = aws.client("ssm").get_parameter(Name="/aws/service/debian/release/12/latest/amd64")
    ec2.run_instances(
        ImageId=image["Parameter"]["Value"],
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
    )

    left = aws.server.leftovers()

    # An address has no ClientToken, so the client's own retry made a second one.
    assert sum(line.startswith("address") for line in left) == 2
    assert sum(line.startswith("instance i-") for line in left) == 1
    assert [call.replay for call in aws.server.log() if call.action == "RunInstances"] == [
        False,
        True,
    ]


@pytest.mark.parametrize("kind", ["reset", "http", "truncate"])
def test_broken_answers_break_the_client(aws: loopback.Account, kind: str) -> None:
    inject(aws, kind=kind, status=502)

    with pytest.raises((BotoCoreError, ClientError, ResponseParserError)):
        aws.client("ec2").describe_vpcs()

    assert aws.client("ec2").describe_vpcs()["Vpcs"]


def test_a_fault_can_be_for_one_caller_only(aws: loopback.Account) -> None:
    inject(aws, kind="error", caller="node/*", times=0, code="Boom", status=400)

    assert aws.client("sts").get_caller_identity()
    assert faults.parse({"kind": "delay", "seconds": 1}).seconds == 1


def control(aws: loopback.Account, method: str, path: str, value: Any = None) -> Any:
    """Drive the region by HTTP, as a test in another process does."""
    context = ssl.create_default_context(cafile=str(aws.ca))
    context.check_hostname = False
    data = json.dumps(value).encode() if value is not None else None
    url = f"https://127.0.0.1:{aws.port}/_region/{path}"
    request = urllib.request.Request(url, method=method, data=data)
    with urllib.request.urlopen(request, context=context) as answer:
        return json.load(answer)


def test_another_process_can_drive_the_region(aws: loopback.Account) -> None:
    control(aws, "POST", "faults", {"kind": "throttle", "action": "DescribeVpcs"})
    control(aws, "POST", "config", {"pending": 7.5})
    with pytest.raises(ClientError, match="RequestLimitExceeded"):
        aws.client("ec2").describe_vpcs()

    logged = control(aws, "GET", "log")

    assert aws.server.world.settings.pending == 7.5
    assert [(c["action"], c["error"], c["fault"]) for c in logged] == [
        ("DescribeVpcs", "RequestLimitExceeded", "throttle")
    ]
    control(aws, "POST", "reset")
    assert control(aws, "GET", "leftovers") == []
    assert aws.client("ec2").describe_vpcs()["Vpcs"]


def test_the_log_says_who_did_what(aws: loopback.Account) -> None:
    ec2 = aws.client("ec2")
    ec2.create_vpc(CidrBlock="10.0.0.0/16")
    ec2.describe_vpcs()
    with pytest.raises(ClientError):
        ec2.delete_vpc(VpcId="vpc-0123456789abcdef0")

    calls = aws.server.log()

    assert [(c.action, c.status, c.error, c.mutating, c.caller) for c in calls] == [
        ("CreateVpc", 200, None, True, "you"),
        ("DescribeVpcs", 200, None, False, "you"),
        ("DeleteVpc", 400, "InvalidVpcID.NotFound", True, "you"),
    ]
    lines = (Path(aws.ca).parent / "state/logs/aws.jsonl").read_text().splitlines()
    assert [json.loads(line)["action"] for line in lines] == [c.action for c in calls]
    assert "Boto3" in calls[0].agent


def test_a_host_that_is_not_served_fails_loudly(aws: loopback.Account) -> None:
    with pytest.raises(ClientError, match="RegionNotImplemented"):
        aws.client("logs").describe_log_groups()

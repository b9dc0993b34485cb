"""What a call is remembered by, and what is in no line."""

import json

from clusterous_cli.turns import calls

MACHINES = {
    "ImageId": "ami-0123456789abcdef0",
    "InstanceType": "t3.large",
    "MinCount": 2,
    "UserData": "IyEvYmluL3NoCmVjaG8gc2VjcmV0",
    "ClientToken": "a-token-of-ours",
    "NetworkInterfaces": [{"SubnetId": "subnet-0a1b2c3d", "Groups": ["sg-0a1b2c3d"]}],
    "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "k", "Value": "v"}]}],
}
ANSWER = {
    "Instances": [{"InstanceId": "i-0a1b2c3d4e5f60718", "ClientToken": "sub-0a1b2c3d4e5f60718"}],
    "OwnerId": "o-0a1b2c3d",
    "ResponseMetadata": {"RequestId": "4f8c", "HostId": "h-0a1b2c3d"},
}


def turn(*lines: str) -> tuple[calls.Call, ...]:
    return calls.read(calls.heading("ann on atoll", "clusterous create") + "".join(lines))


def test_a_call_tells_what_it_was_about_and_what_it_made() -> None:
    (call,) = turn(
        calls.asked(1, "ec2:RunInstances", "2026-11-30T00:00:00.000+00:00", MACHINES),
        calls.answered(1, "2026-11-30T00:00:01.000+00:00", ANSWER, ""),
    )

    assert (call.by, call.doing) == ("ann on atoll", "clusterous create")
    assert call.about == (
        "ami-0123456789abcdef0",
        "t3.large",
        "2",
        "subnet-0a1b2c3d",
        "sg-0a1b2c3d",
    )
    assert call.made == ("i-0a1b2c3d4e5f60718",)
    assert (call.request, call.error) == ("4f8c", "")


def test_nothing_that_is_secret_or_long_is_in_a_line() -> None:
    put = {
        "Bucket": "b",
        "Key": "private/secrets.json",
        "Body": b"secret",
        "SSEKMSKeyId": "x" * 999,
    }
    policy = {"RoleName": "r", "PolicyDocument": '{"Statement": [{"Resource": "secret"}]}'}

    for parameters in (MACHINES, put, policy):
        line = calls.asked(1, "s3:PutObject", "", parameters)
        assert "IyEv" not in line
        assert "secret" not in line.replace("private/secrets.json", "")
        assert "a-token-of-ours" not in line
        assert all(len(one) <= calls.LONGEST for one in json.loads(line)["about"])


def test_a_call_without_an_answer_is_told_as_such_and_a_line_cut_short_is_left_out() -> None:
    begun = calls.asked(1, "ec2:CreateVpc", "2026-11-30T00:00:00.000+00:00", {})
    ended = calls.answered(1, "2026-11-30T00:00:01.000+00:00", {}, "")

    for text in (begun, begun + ended[:17], begun + "[]\n7\n", begun + '{"n": [], "call": "x"}\n'):
        (call,) = turn(text)
        assert (call.call, call.ended, call.data["ended"]) == ("ec2:CreateVpc", "", None)


def test_an_error_is_told_by_its_code() -> None:
    (call,) = turn(
        calls.asked(3, "ec2:CreateVpc", "", {}), calls.answered(3, "now", None, "VpcLimitExceeded")
    )

    assert (call.error, call.made) == ("VpcLimitExceeded", ())

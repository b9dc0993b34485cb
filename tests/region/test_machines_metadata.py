"""The metadata service without a network: what it answers, and to whom."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.region.aws.keys import Credentials
from tests.region.aws.view import Instance
from tests.region.machines import imds, metadata
from tests.region.net import samples

NOW = 1_800_000_000.0
FACTS = metadata.Facts(
    account="123456789012",
    region="eu-west-1",
    vpc_cidr="10.40.0.0/16",
    subnet_cidr="10.40.1.0/24",
    launched=datetime.fromtimestamp(NOW, UTC),
)
ASK_TOKEN = {"x-aws-ec2-metadata-token-ttl-seconds": "60"}


class Issuer:
    """Keys that last an hour; the number of each says how many there were."""

    def __init__(self, clock: "Clock") -> None:
        self.clock = clock
        self.issued = 0

    def credentials(self, role_name: str, instance_id: str) -> Credentials:
        self.issued += 1
        return Credentials(
            access_key_id=f"ASIA{self.issued}",
            secret_access_key="secret",
            token=f"{role_name}/{instance_id}",
            expiration=datetime.fromtimestamp(self.clock.now + 3600, UTC),
        )


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def make_instance(**changes: object) -> Instance:
    base = samples.instance(4, groups=("sg-1",))
    return replace(base, role_name="node", profile_arn="arn:aws:iam::1:p", **changes)  # type: ignore[arg-type]  # a table of fields


def make_service(clock: Clock | None = None, **changes: object) -> imds.Service:
    clock = clock or Clock()
    return imds.Service(make_instance(**changes), FACTS, Issuer(clock), clock)


def token(service: imds.Service, seconds: str = "60") -> dict[str, str]:
    headers = {"x-aws-ec2-metadata-token-ttl-seconds": seconds}
    answer = service.answer("PUT", "/latest/api/token", headers)
    assert answer.status == 200
    return {"x-aws-ec2-metadata-token": answer.body.decode()}


def read(service: imds.Service, path: str) -> str:
    answer = service.answer("GET", path, token(service))
    assert answer.status == 200, path
    return answer.body.decode()


def test_refuses_whoever_has_no_token() -> None:
    service = make_service(http_tokens="required")

    assert service.answer("GET", "/latest/meta-data/", {}).status == 401


def test_lets_old_programs_in_where_tokens_are_optional() -> None:
    service = make_service(http_tokens="optional")

    assert service.answer("GET", "/latest/meta-data/instance-id", {}).status == 200


def test_refuses_a_wrong_token_even_where_tokens_are_optional() -> None:
    service = make_service(http_tokens="optional")
    headers = {"x-aws-ec2-metadata-token": "guessed"}

    assert service.answer("GET", "/latest/meta-data/", headers).status == 401


def test_forgets_a_token_when_its_time_is_over() -> None:
    clock = Clock()
    service = make_service(clock)
    mine = token(service, "60")

    clock.now += 59
    assert service.answer("GET", "/latest/meta-data/", mine).status == 200
    clock.now += 2
    assert service.answer("GET", "/latest/meta-data/", mine).status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 400, id="no-lifetime"),
        pytest.param({"x-aws-ec2-metadata-token-ttl-seconds": "0"}, 400, id="no-time"),
        pytest.param({"x-aws-ec2-metadata-token-ttl-seconds": "21601"}, 400, id="too-long"),
        pytest.param({"x-aws-ec2-metadata-token-ttl-seconds": "soon"}, 400, id="no-number"),
        pytest.param({**ASK_TOKEN, "x-forwarded-for": "10.0.0.1"}, 403, id="from-a-proxy"),
    ],
)
def test_gives_no_token(headers: dict[str, str], status: int) -> None:
    assert make_service().answer("PUT", "/latest/api/token", headers).status == status


@pytest.mark.parametrize(
    ("path", "content"),
    [
        pytest.param("/latest/meta-data/instance-id", "i-00000000000000004", id="id"),
        pytest.param("/2021-03-23/meta-data/instance-id", "i-00000000000000004", id="version"),
        pytest.param("/latest/meta-data/placement/availability-zone", "eu-west-1a", id="zone"),
        pytest.param("/latest/meta-data/iam/security-credentials/", "node", id="role"),
        pytest.param("/latest/user-data", "#!/bin/sh\n", id="user-data"),
        pytest.param("/latest/meta-data/public-ipv4", "198.51.100.7", id="public"),
        pytest.param("/latest/meta-data/public-keys/", "0=mine", id="keys"),
        pytest.param("/latest/meta-data/public-keys/0/openssh-key", "ssh-ed25519 A\n", id="key"),
        pytest.param("/latest/meta-data/network/interfaces/macs/", "02:00:00:00:01:04/", id="macs"),
    ],
)
def test_tells(path: str, content: str) -> None:
    service = make_service(
        user_data=b"#!/bin/sh\n",
        public_ip="198.51.100.7",
        key_name="mine",
        public_key="ssh-ed25519 A",
    )

    assert read(service, path) == content


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/latest/user-data", id="user-data"),
        pytest.param("/latest/meta-data/public-ipv4", id="public"),
        pytest.param("/latest/meta-data/public-keys/", id="keys"),
        pytest.param("/latest/meta-data/tags/instance", id="tags"),
        pytest.param("/latest/meta-data/instance-id/more", id="below-a-leaf"),
    ],
)
def test_answers_404_for_what_the_instance_has_not(path: str) -> None:
    service = make_service()

    assert service.answer("GET", path, token(service)).status == 404


def test_tells_tags_when_the_instance_asks_for_that() -> None:
    service = make_service(metadata_tags=True, tags={"Name": "one"})

    assert read(service, "/latest/meta-data/tags/instance/Name") == "one"


def test_the_identity_document_says_where_it_is() -> None:
    document = json.loads(read(make_service(), "/latest/dynamic/instance-identity/document"))

    assert document["region"] == "eu-west-1"
    assert document["accountId"] == "123456789012"
    assert document["instanceId"] == "i-00000000000000004"


def test_keeps_keys_while_they_last_and_renews_them_before_they_end() -> None:
    clock = Clock()
    service = make_service(clock)
    path = "/latest/meta-data/iam/security-credentials/node"

    first = json.loads(read(service, path))
    clock.now += 1000
    second = json.loads(read(service, path))
    clock.now += 1800
    third = json.loads(read(service, path))

    assert first["AccessKeyId"] == second["AccessKeyId"] == "ASIA1"
    assert third["AccessKeyId"] == "ASIA2"
    assert first["Code"] == "Success"
    assert first["Token"] == "node/i-00000000000000004"
    assert first["Expiration"].endswith("Z")


def test_gives_the_keys_of_the_role_that_the_instance_has_now() -> None:
    service = make_service()
    read(service, "/latest/meta-data/iam/security-credentials/node")

    service.instance = replace(service.instance, role_name="other")

    keys = json.loads(read(service, "/latest/meta-data/iam/security-credentials/other"))
    assert keys["Token"] == "other/i-00000000000000004"


def test_has_no_keys_without_a_role() -> None:
    service = make_service()
    service.instance = replace(service.instance, role_name=None)

    assert service.answer("GET", "/latest/meta-data/iam/", token(service)).status == 404

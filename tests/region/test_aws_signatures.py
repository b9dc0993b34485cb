"""Only a right signature is accepted, from every client that we use, and refused as AWS does."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.region.aws import loopback, s3_body, signatures
from tests.region.aws.errors import Refusal
from tests.region.aws.keys import Credentials, Identity, Key

BUCKET = "signed-things"
ODD_KEYS = ["plain", "a b+c=d&e", "ünï/cödé", "p//q/../r", "~tilde-_.!*'()", "100%25", "k?x#y"]


@pytest.fixture(scope="module")
def aws() -> Iterator[loopback.Account]:
    with loopback.account() as account:
        account.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        yield account


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return str(error.value.response["Error"]["Code"])


def wrong_secret(aws: loopback.Account) -> Credentials:
    return dataclasses.replace(aws.server.user_credentials(), secret_access_key="x" * 40)


def unknown_key(aws: loopback.Account) -> Credentials:
    return dataclasses.replace(aws.server.user_credentials(), access_key_id="AKIAUNKNOWN234567890")


CALLS = {
    "ec2": ("describe_vpcs", {}),
    "iam": ("list_roles", {}),
    "sts": ("get_caller_identity", {}),
    "s3": ("list_buckets", {}),
    "efs": ("describe_file_systems", {}),
    "ecr": ("describe_repositories", {}),
    "ssm": ("get_parameter", {"Name": "/aws/service/debian/release/12/latest/amd64"}),
    "service-quotas": ("get_service_quota", {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}),
}


@pytest.mark.parametrize("service", CALLS)
def test_accepts_the_users_key_at_every_service(aws: loopback.Account, service: str) -> None:
    operation, arguments = CALLS[service]

    answer = getattr(aws.client(service), operation)(**arguments)

    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("ec2", "AuthFailure"),
        ("iam", "SignatureDoesNotMatch"),
        ("sts", "SignatureDoesNotMatch"),
        ("s3", "SignatureDoesNotMatch"),
        ("efs", "InvalidSignatureException"),
        ("ecr", "InvalidSignatureException"),
        ("ssm", "InvalidSignatureException"),
    ],
)
def test_refuses_a_wrong_secret(aws: loopback.Account, service: str, code: str) -> None:
    operation, arguments = CALLS[service]
    client = aws.client(service, wrong_secret(aws))

    assert refused(getattr(client, operation), **arguments) == code


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("ec2", "AuthFailure"),
        ("iam", "InvalidClientTokenId"),
        ("s3", "InvalidAccessKeyId"),
        ("efs", "UnrecognizedClientException"),
        ("ecr", "UnrecognizedClientException"),
    ],
)
def test_refuses_an_unknown_key(aws: loopback.Account, service: str, code: str) -> None:
    operation, arguments = CALLS[service]
    client = aws.client(service, unknown_key(aws))

    assert refused(getattr(client, operation), **arguments) == code


@pytest.fixture(scope="module")
def role_keys(aws: loopback.Account) -> Credentials:
    iam = aws.client("iam")
    iam.create_role(RoleName="signer", AssumeRolePolicyDocument='{"Version":"2012-10-17"}')
    iam.put_role_policy(
        RoleName="signer",
        PolicyName="all",
        PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*",'
        '"Resource":"*"}]}',
    )
    return aws.server.credentials("signer", "i-0123456789abcdef0")


def test_temporary_keys_need_their_token(aws: loopback.Account, role_keys: Credentials) -> None:
    bare = dataclasses.replace(role_keys, token=None)
    other = dataclasses.replace(role_keys, token="bm90IGl0")

    assert aws.client("s3", role_keys).list_buckets()["Buckets"]
    assert refused(aws.client("s3", bare).list_buckets) == "InvalidToken"
    assert refused(aws.client("s3", other).list_buckets) == "InvalidToken"
    assert refused(aws.client("iam", bare).list_roles) == "InvalidClientTokenId"


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("s3", "ExpiredToken"),
        ("ec2", "RequestExpired"),
        ("iam", "ExpiredToken"),
        ("ecr", "ExpiredTokenException"),
    ],
)
def test_refuses_expired_temporary_keys(
    aws: loopback.Account, role_keys: Credentials, service: str, code: str
) -> None:
    operation, arguments = CALLS[service]
    client = aws.client(service, role_keys)
    aws.clock.advance(7 * 3600)
    try:
        assert refused(getattr(client, operation), **arguments) == code
    finally:
        aws.clock.advance(-7 * 3600)


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("s3", "RequestTimeTooSkewed"),
        ("ec2", "RequestExpired"),
        ("iam", "SignatureDoesNotMatch"),
        ("ecr", "InvalidSignatureException"),
    ],
)
def test_refuses_a_clock_that_is_off(aws: loopback.Account, service: str, code: str) -> None:
    operation, arguments = CALLS[service]
    aws.clock.advance(3600)
    try:
        assert refused(getattr(aws.client(service), operation), **arguments) == code
    finally:
        aws.clock.advance(-3600)


def test_refuses_a_signature_for_another_region(aws: loopback.Account) -> None:
    """A client that signs for the wrong region is told the right one by S3."""
    client = aws.client("s3")
    client.meta.events.register(
        "before-sign.s3", lambda request, **_: request.context["signing"].update(region="eu-west-3")
    )

    assert refused(client.list_objects_v2, Bucket=BUCKET) == "AuthorizationHeaderMalformed"


@pytest.mark.parametrize("key", ODD_KEYS)
@pytest.mark.parametrize("style", ["virtual", "path"])
def test_odd_keys_sign_right_in_both_styles(aws: loopback.Account, key: str, style: str) -> None:
    s3 = aws.client("s3", s3={"addressing_style": style})

    s3.put_object(Bucket=BUCKET, Key=key, Body=b"here", Metadata={"who": "me   and  you"})

    found = s3.get_object(Bucket=BUCKET, Key=key)
    assert found["Body"].read() == b"here"
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=key)["Contents"]
    assert key in [each["Key"] for each in listed]


def fetch(aws: loopback.Account, url: str, **headers: str) -> tuple[int, bytes]:
    import ssl

    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({"https": aws.proxy}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(aws.ca))),
    )
    try:
        with opener.open(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_presigned_url_works_until_it_expires(aws: loopback.Account) -> None:
    s3 = aws.client("s3", signature_version="s3v4")
    s3.put_object(Bucket=BUCKET, Key="shown", Body=b"for you")
    url = s3.generate_presigned_url(
        "get_object", Params={"Bucket": BUCKET, "Key": "shown"}, ExpiresIn=60
    )

    assert fetch(aws, url) == (200, b"for you")
    assert fetch(aws, url.replace("shown", "other"))[0] == 403
    aws.clock.advance(61)
    try:
        assert b"Request has expired" in fetch(aws, url)[1]
    finally:
        aws.clock.advance(-61)


def test_an_unsigned_request_is_refused(aws: loopback.Account) -> None:
    status, body = fetch(aws, f"https://{BUCKET}.s3.eu-west-1.amazonaws.com/shown")

    assert status == 403
    assert b"AccessDenied" in body


def test_a_body_that_was_changed_on_the_way_is_refused(aws: loopback.Account) -> None:
    def change(request: Any, **_: Any) -> None:
        request.body = request.body.replace("DescribeVpcs", "DescribeTags")

    client = aws.client("ec2")
    client.meta.events.register("before-send.ec2", change)

    assert refused(client.describe_vpcs) == "AuthFailure"


def test_a_changed_object_is_refused(aws: loopback.Account) -> None:
    def change(request: Any, **_: Any) -> None:
        request.body = b"evil"

    s3 = aws.client(
        "s3", s3={"payload_signing_enabled": True}, request_checksum_calculation="when_required"
    )
    s3.meta.events.register("before-send.s3", change)

    assert refused(s3.put_object, Bucket=BUCKET, Key="k", Body=b"good") == (
        "XAmzContentSHA256Mismatch"
    )


def aws_cli(aws: loopback.Account, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("aws")
    return subprocess.run(
        [str(program), *arguments],
        env=dict(aws.environment()),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_aws_program_is_understood(aws: loopback.Account, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(range(256)) * 4096 * 10)

    up = aws_cli(aws, "s3", "cp", str(big), f"s3://{BUCKET}/big", "--no-progress")
    down = aws_cli(aws, "s3", "cp", f"s3://{BUCKET}/big", str(tmp_path / "back"), "--no-progress")
    who = aws_cli(aws, "sts", "get-caller-identity", "--query", "Arn", "--output", "text")

    assert (up.returncode, down.returncode) == (0, 0), up.stderr + down.stderr
    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    assert who.stdout.strip() == "arn:aws:iam::123456789012:user/you"


def curl(aws: loopback.Account, *arguments: str, scope: str = "s3") -> tuple[str, str]:
    """Run curl with --aws-sigv4; return the HTTP status and what it printed."""
    keys = aws.server.user_credentials()
    done = subprocess.run(
        [
            "curl",
            "-sS",
            "--proxy",
            aws.proxy,
            "--cacert",
            str(aws.ca),
            "-w",
            "\n%{http_code}",
            "--aws-sigv4",
            f"aws:amz:eu-west-1:{scope}",
            "--user",
            f"{keys.access_key_id}:{keys.secret_access_key}",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    body, _, status = done.stdout.rpartition("\n")
    return status, body + done.stderr


def test_curl_signs_an_ec2_call_right(aws: loopback.Account) -> None:
    status, body = curl(
        aws,
        "-d",
        "Action=DescribeVpcs&Version=2016-11-15",
        "https://ec2.eu-west-1.amazonaws.com/",
        scope="ec2",
    )

    assert status == "200", body
    assert "<vpcSet>" in body


def test_curl_gets_and_puts_with_the_payload_hash_told(
    aws: loopback.Account, tmp_path: Path
) -> None:
    """Debian 12's curl must be told the hash; it knows no S3 rule by itself."""
    aws.client("s3").put_object(Bucket=BUCKET, Key="boot/script", Body=b"#!/bin/sh\n")
    empty = "x-amz-content-sha256: " + signatures._EMPTY
    url = f"https://{BUCKET}.s3.eu-west-1.amazonaws.com"

    got = curl(aws, "-H", empty, f"{url}/boot/script")
    without = curl(aws, f"{url}/boot/script")

    assert got == ("200", "#!/bin/sh\n")
    assert without[0] in ("200", "400")  # curl 8 tells the hash itself, 7.88 does not.


def test_the_verifier_agrees_with_botocore_about_the_canonical_query() -> None:
    raw = "b=2&a=1&a=0&c&d=x%2Fy&e=%7E&list-type=2"

    canonical = signatures.canonical_query(raw)

    assert canonical == "a=0&a=1&b=2&c=&d=x%2Fy&e=~&list-type=2"


def test_signed_chunks_are_checked_as_in_awss_own_example() -> None:
    """The example of "Signature calculations: transferring payload in multiple chunks"."""
    claim = signatures.Claim(
        key_id="AKIAIOSFODNN7EXAMPLE",
        date="20130524",
        region="us-east-1",
        service="s3",
        signed_headers=("host",),
        signature="4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        time="20130524T000000Z",
        token=None,
        payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    )
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    key = Key(
        credentials=Credentials(access_key_id=claim.key_id, secret_access_key=secret),
        identity=Identity(account="123456789012", user="you"),
    )
    verified = signatures.Verified(
        key=key, claim=claim, signing_key=signatures.derive(secret, claim)
    )
    previous = claim.signature
    found = []

    for data in (b"a" * 65536, b"a" * 1024, b""):
        digest = hashlib.sha256(data).hexdigest()
        previous = signatures.chunk_signature(verified, previous, digest)
        found.append(previous)

    assert found == [
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ]
    s3_body._check_chunk(verified, found[1], f"chunk-signature={found[2]}", b"")
    with pytest.raises(Refusal) as refused:
        s3_body._check_chunk(verified, found[1], f"chunk-signature={found[2]}", b"another")
    assert refused.value.code == "SignatureDoesNotMatch"


def test_a_refused_upload_is_told_so(aws: loopback.Account) -> None:
    """The answer must arrive although the body was not wanted."""
    iam = aws.client("iam")
    iam.create_role(RoleName="nobody", AssumeRolePolicyDocument='{"Version":"2012-10-17"}')
    keys = aws.server.credentials("nobody", "i-0123456789abcdef0")

    s3 = aws.client("s3", keys)

    assert refused(s3.put_object, Bucket=BUCKET, Key="k", Body=b"x" * 8_000_000) == "AccessDenied"


@pytest.mark.parametrize(
    ("query", "accepted"),
    [
        pytest.param("list-type=2&prefix=a%2Fb", True, id="sorted-and-encoded"),
        pytest.param("prefix=a&list-type=2", None, id="not-sorted"),
        pytest.param("list-type=2&prefix=a/b", None, id="slash-not-encoded"),
        pytest.param("versions", None, id="no-equals-sign"),
    ],
)
def test_old_curl_signs_only_some_queries_right(
    aws: loopback.Account, query: str, accepted: bool | None
) -> None:
    """curl before 8 signs the query as it stands; AWS wants it sorted and encoded."""
    empty = "x-amz-content-sha256: " + signatures._EMPTY
    status, body = curl(aws, "-H", empty, f"https://{BUCKET}.s3.eu-west-1.amazonaws.com/?{query}")
    old = subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout < "curl 8"

    assert status == ("200" if accepted or not old else "403"), body
    assert ("SignatureDoesNotMatch" in body) is (status == "403")

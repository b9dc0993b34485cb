"""Errors of the way to AWS: what they become, and what a person is told."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.exceptions as botocore_errors
import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.compat import HAS_CRT
from botocore.credentials import Credentials

from clusterous_api.errors import ClusterousError, UserError
from clusterous_cli.aws import client, errors
from clusterous_cli.terminal.options import Settings

URL = "https://ec2.eu-west-1.amazonaws.com/"


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        pytest.param(
            botocore_errors.EndpointConnectionError(endpoint_url=URL), errors.Unreachable,
            id="nobody there",
        ),
        pytest.param(
            botocore_errors.ConnectTimeoutError(endpoint_url=URL), errors.Unreachable,
            id="nobody answers",
        ),
        pytest.param(
            botocore_errors.ProxyConnectionError(proxy_url="http://127.0.0.1:9"),
            errors.Unreachable, id="no proxy there",
        ),
        pytest.param(
            botocore_errors.SSLError(endpoint_url=URL, error="self-signed certificate"),
            errors.Unclear, id="not to be trusted",
        ),
        pytest.param(
            botocore_errors.ConnectionClosedError(endpoint_url=URL), errors.Unclear,
            id="hung up",
        ),
        pytest.param(
            botocore_errors.ReadTimeoutError(endpoint_url=URL), errors.Unclear, id="no answer"
        ),
    ],
)  # fmt: skip
def test_what_time_may_mend_is_told_as_that(error: Exception, becomes: type[Exception]) -> None:
    with (
        pytest.raises(becomes) as told,
        client.translated("ec2", "create_vpc", "eu-west-1"),
    ):
        raise error

    assert getattr(told.value, "exit_code", None) == 75
    assert ".. " not in str(told.value)


# -- credentials, clocks and regions --------------------------------------------------------

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


def answered(code: str, text: str, *, operation: str = "DescribeVpcs", date: str = "") -> Exception:
    response: Any = {
        "Error": {"Code": code, "Message": text},
        "ResponseMetadata": {"HTTPStatusCode": 400, "HTTPHeaders": {"date": date}},
    }
    with pytest.raises(ClusterousError) as told, client.translated("ec2", "describe_vpcs", "r"):
        raise botocore_errors.ClientError(response, operation)
    return told.value


@pytest.mark.parametrize(
    ("service", "action", "code", "is_said"),
    [
        ("s3", "head_bucket", "403", True),
        ("s3", "get_object", "AccessDenied", True),
        ("ec2", "create_vpc", "UnauthorizedOperation", False),
    ],
)
def test_a_bucket_that_is_anothers_is_told(
    service: str, action: str, code: str, is_said: bool
) -> None:
    """Its name can be computed by anybody, and whoever was first has it."""
    error = client.classify(code, "Forbidden", 403, service, action)

    assert isinstance(error, errors.Denied)
    assert (". Forbidden. Or the bucket is another account's" in str(error)) is is_said


@pytest.mark.parametrize(
    "error",
    [
        botocore_errors.TokenRetrievalError(provider="sso", error_msg="Token has expired"),
        botocore_errors.SSOTokenLoadError(error_msg="no token"),
        botocore_errors.UnauthorizedSSOTokenError(),
        botocore_errors.LoginRefreshRequired(),
        botocore_errors.LoginTokenLoadError(error_msg="no token"),
        botocore_errors.RefreshWithMFAUnsupportedError(),
        botocore_errors.MetadataRetrievalError(error_msg="no answer"),
        botocore_errors.CredentialRetrievalError(provider="custom-process", error_msg="x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_end_of_a_login_is_told_as_that_whatever_its_kind(error: Exception) -> None:
    with (
        pytest.raises(errors.Expired) as told,
        client.translated("ec2", "attach_internet_gateway", "eu-west-1"),
    ):
        raise error

    assert told.value.exit_code == 75
    assert "aws sso login" in str(told.value)
    assert ".." not in str(told.value)


class Session:
    """A session whose keys cannot be had, for a reason that has no name here."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def get_credentials(self) -> Any:
        if self.error:
            raise self.error
        return Credentials("key", "secret")


def test_without_keys_that_is_the_reason_whatever_the_error() -> None:
    error = botocore_errors.MissingDependencyException(msg="pip install botocore[crt]")
    with (
        pytest.raises(errors.Expired, match="crt"),
        client.translated("ec2", "describe_vpcs", "eu-west-1", Session(error)),
    ):
        raise error


def test_with_keys_another_error_is_what_it_is() -> None:
    error = botocore_errors.ParamValidationError(report="no such parameter")
    with (
        pytest.raises(errors.AwsFailed, match="ec2:DescribeVpcs"),
        client.translated("ec2", "describe_vpcs", "eu-west-1", Session(None)),
    ):
        raise error


def test_a_role_that_may_not_be_taken_is_no_matter_of_the_call() -> None:
    error = answered("AccessDenied", "may not assume", operation="AssumeRole")

    assert isinstance(error, errors.Expired)
    assert "AssumeRole: may not assume" in str(error)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("SignatureDoesNotMatch", "Signature expired: 20261129T1000Z is now earlier than"),
        ("RequestTimeTooSkewed", "The difference between the request time and the current time"),
        ("RequestExpired", "Request has expired."),
        ("AuthFailure", "AWS was not able to validate the provided access credentials"),
        ("InvalidSignatureException", "Signature not yet current"),
    ],
)
@pytest.mark.parametrize(("skew", "words"), [(-7500.0, "2 h 5 min behind"), (300, "ahead of")])
def test_a_wrong_clock_is_told_with_how_wrong_it_is(
    code: str, text: str, skew: float, words: str
) -> None:
    error = client.classify(code, text, 400, "ec2", "describe_vpcs", skew=skew)

    assert error.exit_code == 2
    assert words in str(error)
    assert "log in" not in str(error)


def test_the_clock_is_compared_with_the_answers_date() -> None:
    assert client.skew("Sun, 29 Nov 2026 13:00:00 GMT", NOW) == -3600
    assert client.skew("", NOW) == client.skew("yesterday", NOW) == 0
    error = answered("RequestExpired", "x", date="Thu, 01 Jan 2026 00:00:00 GMT")
    assert "clock is" in str(error)


def test_a_clock_that_is_right_leaves_the_old_words() -> None:
    expired = client.classify("RequestExpired", "x", 400, "ec2", "run_instances", skew=100)
    wrong = client.classify("SignatureDoesNotMatch", "x", 403, "sts", "get_caller_identity")

    assert isinstance(expired, errors.Expired)
    assert type(wrong) is errors.BadCredentials


def test_a_thing_that_may_not_be_used_is_no_matter_of_credentials() -> None:
    error = client.classify(
        "AuthFailure", "Not authorized for images: [ami-1]", 400, "ec2", "run_instances"
    )

    assert isinstance(error, errors.Denied)
    assert str(error) == "You may not do ec2:RunInstances. Not authorized for images: [ami-1]"


def test_the_way_of_aws_login_can_be_taken() -> None:
    """Its keys need botocore's `crt`, which is one of our dependencies."""
    assert HAS_CRT


def test_the_cipher_of_a_refusal_is_cut_off() -> None:
    text = "You are not authorized. Encoded authorization failure message: " + "Kj3x" * 150

    told = str(client.classify("UnauthorizedOperation", text, 403, "ec2", "run_instances"))

    assert "Kj3x" not in told
    assert told.startswith("You may not do ec2:RunInstances. You are not authorized. (`aws sts")


def test_what_ends_an_upload_is_told_by_what_aws_answered() -> None:
    answer: Any = {"Error": {"Code": "AccessDenied", "Message": "no"}}
    error = S3UploadFailedError("failed")
    error.__context__ = botocore_errors.ClientError(answer, "UploadPart")

    with (
        pytest.raises(errors.Denied, match="s3:PutObject"),
        client.translated("s3", "put_object", "eu-west-1"),
    ):
        raise error


# -- AWS's own settings ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "more"),
    [
        pytest.param(b"\xff\xfe[default", {}, id="no text"),
        pytest.param(b"[default\nregion", {}, id="no settings"),
        pytest.param(b"[default]\ncredential_process = echo hi\n", {}, id="no JSON"),
        pytest.param(
            b"", {"AWS_ENDPOINT_URL": "nonsense", "AWS_ACCESS_KEY_ID": "a",
                  "AWS_SECRET_ACCESS_KEY": "b"}, id="no endpoint",
        ),
    ],
)  # fmt: skip
def test_settings_of_aws_that_cannot_be_used_are_told(
    config: bytes, more: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    (tmp_path / "config").write_bytes(config)
    given = {
        "AWS_CONFIG_FILE": f"{tmp_path}/config",
        "AWS_SHARED_CREDENTIALS_FILE": f"{tmp_path}/x",
    }
    for name, value in (given | more).items():
        monkeypatch.setenv(name, value)

    with pytest.raises(UserError, match="AWS's own settings cannot be used: "):
        client.connect(Settings(region="eu-west-1")).call("sts", "get_caller_identity")


@pytest.mark.parametrize(
    ("code", "becomes", "words"),
    [
        ("InvalidSignatureException", errors.BadCredentials, "does not accept the credentials"),
        ("InvalidToken", errors.BadCredentials, "does not accept the credentials"),
        ("TokenRefreshRequired", errors.Expired, "log in again"),
        ("PendingVerification", UserError, "account may not do ec2:RunInstances yet"),
        ("SubscriptionRequiredException", UserError, "account may not do ec2:RunInstances yet"),
        ("OptInRequired", UserError, "account may not do ec2:RunInstances yet"),
        ("ServiceQuotaExceededException", errors.QuotaReached, "limit of your AWS account"),
        ("VcpuLimitExceeded", errors.QuotaReached, "limit of your AWS account"),
        ("LimitExceeded", errors.QuotaReached, "limit of your AWS account"),
        ("RequestLimitExceeded", errors.Throttled, "RequestLimitExceeded"),
    ],
)
def test_each_service_has_codes_of_its_own_for_the_same(
    code: str, becomes: type[ClusterousError], words: str
) -> None:
    error = client.classify(code, "x", 400, "ec2", "run_instances")

    assert type(error) is becomes
    assert words in str(error)


@pytest.mark.parametrize(
    ("action", "permission"),
    [
        ("put_bucket_lifecycle_configuration", "s3:PutLifecycleConfiguration"),
        ("get_bucket_encryption", "s3:GetEncryptionConfiguration"),
        ("put_public_access_block", "s3:PutBucketPublicAccessBlock"),
        ("list_object_versions", "s3:ListBucketVersions"),
        ("delete_objects", "s3:DeleteObject"),
        ("put_bucket_policy", "s3:PutBucketPolicy"),
    ],
)
def test_what_may_not_be_done_is_told_as_iam_calls_it(action: str, permission: str) -> None:
    error = client.classify("AccessDenied", "Access Denied", 403, "s3", action)

    assert str(error).startswith(f"You may not do {permission}. ")

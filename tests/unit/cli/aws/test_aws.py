"""Errors of the way to AWS: what they become, and what a person is told."""

import botocore.exceptions as botocore_errors
import pytest

from clusterous_cli.aws import client, errors

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

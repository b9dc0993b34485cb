"""What flows from the API server for as long as somebody listens: the log of a container.

By the `kubernetes` package (docs/adr/0003-kubernetes-client.md), which takes most of a second to
load: only commands that need it import this.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import urllib3
from kubernetes.client import ApiClient, Configuration
from kubernetes.watch import watch

from clusterous_api.errors import TransientError
from clusterous_cli.reach import kube, kubeconfig

CONNECT_SECONDS: Final = 30


class Broken(TransientError):
    """The stream ended before its time, or could not be had."""


def client(reached: kubeconfig.Link) -> Any:
    """The package's client at our end of the tunnel; the key stays in memory."""
    context = kube.tls_context(reached.server_ca, reached.certificate, reached.key)
    return at(reached.port, context, kubeconfig.TLS_SERVER_NAME)


def at(port: int, context: Any, server_name: str) -> Any:
    """A client of the API server at *port* of this machine, which shows it our certificate."""
    made = ApiClient(Configuration(host=f"https://127.0.0.1:{port}"))
    made.rest_client.pool_manager = urllib3.PoolManager(
        ssl_context=context, server_hostname=server_name, assert_hostname=server_name, retries=False
    )
    return made


def log(using: Any, path: str, query: Mapping[str, str]) -> Iterator[str]:
    """The whole lines of a log until the API server ends it; none where there is none.

    Not by `read_namespaced_pod_log`, which does not know sinceTime.
    """
    asked = using.param_serialize("GET", path, query_params=list(query.items()))
    try:
        answer = using.call_api(*asked, _request_timeout=(CONNECT_SECONDS, None))
        if answer.status in (400, 404):  # not begun, or gone
            return
        if answer.status >= 400:
            raise Broken(f"The API server answered {answer.status}: {answer.read()[:300]!r}")
        with contextlib.closing(answer.response):
            yield from watch.iter_resp_lines(answer.response)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Broken(f"The connection to the cluster broke ({error}).") from error

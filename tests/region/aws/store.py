"""moto in our process: its backends, by service and region, and a call through its front door."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

from moto.backends import get_backend
from moto.moto_server.werkzeug_app import create_backend_app

from tests.region.aws.request import Answer, Request
from tests.region.aws.world import current

_apps: dict[str, Any] = {}
# moto types the name of every service as a literal; ours come from a table.
_get_backend: Callable[[str], Any] = get_backend  # type: ignore[assignment]
_create_app: Callable[[str], Any] = create_backend_app  # type: ignore[assignment]


def backend(service: str, region: str | None = None) -> Any:
    """Return moto's store of *service*; IAM's is one for the whole account."""
    account = current().settings.account
    place = "aws" if service == "iam" else region or current().settings.region
    backends = _get_backend(service)
    return backends[account][place]


def ec2(region: str | None = None) -> Any:
    return backend("ec2", region)


def iam() -> Any:
    return backend("iam")


def efs(region: str | None = None) -> Any:
    return backend("efs", region)


def ecr(region: str | None = None) -> Any:
    return backend("ecr", region)


SERVICES = ("ec2", "iam", "sts", "efs", "elb", "elbv2", "ecr", "ssm", "kms")


def reset() -> None:
    for service in SERVICES:
        backends = _get_backend(service)
        backends.reset()


def kept() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the stores of all services, by account and region."""
    return {
        service: {account: dict(regions) for account, regions in _get_backend(service).items()}
        for service in SERVICES
    }


def put_back(stores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """Make *stores*, which `kept` returned, the present ones."""
    for service, accounts in stores.items():
        for account, regions in accounts.items():
            present = _get_backend(service)[account]
            present.clear()
            present.update(regions)


def call(request: Request, body: bytes) -> Answer:
    """Let moto carry out *request* with *body*; its exceptions are the caller's to translate."""
    said: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        said.update(status=int(status.split()[0]), headers=dict(headers))

    result = _app(request.target.service)(_environ(request, body), start_response)
    try:
        data = b"".join(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    return Answer(status=said["status"], headers=_kept(said["headers"]), body=data)


def _app(service: str) -> Any:
    if service not in _apps:
        _apps[service] = _create_app(service)
    return _apps[service]


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    dropped = ("content-length", "server", "date", "connection", "x-amzn-requestid")
    return {
        name: value
        for name, value in headers.items()
        if name.lower() not in dropped and not name.lower().startswith("access-control-")
    }


def _environ(request: Request, body: bytes) -> dict[str, Any]:
    host = request.headers.get("host", "")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path.encode().decode("latin-1"),
        "QUERY_STRING": request.raw_query,
        "SERVER_NAME": host,
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        if name not in ("content-type", "content-length"):
            environ["HTTP_" + name.upper().replace("-", "_")] = value
    return environ


def all_ec2() -> list[Any]:
    """Return the EC2 stores of every region that was touched so far."""
    return everywhere("ec2")


def everywhere(service: str) -> list[Any]:
    """Return the stores of a service in every region that was touched so far."""
    backends = _get_backend(service)
    return list(backends[current().settings.account].values())

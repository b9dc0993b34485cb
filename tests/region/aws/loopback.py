"""The simulated AWS on loopback, for tests without root: a temporary CA and a CONNECT proxy.

Clients keep AWS's real host names, which signatures cover: boto3, `aws` and the CLI reach them
through the proxy (HTTPS_PROXY), which leads every name to our listener.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import boto3
import botocore.session
import trustme
from botocore.config import Config
from botocore.loaders import create_loader

from tests.region.aws import regions, server
from tests.region.aws.keys import Credentials
from tests.region.aws.settings import Settings

INSTANT: Final = Settings(
    pending=0.0,
    stopping=0.0,
    shutting_down=0.0,
    status_checks=0.0,
    nat_pending=0.0,
    nat_deleting=0.0,
    volume_creating=0.0,
    volume_attaching=0.0,
    volume_detaching=0.0,
    volume_modifying=0.0,
    volume_optimizing=0.0,
    snapshot_pending=0.0,
    snapshot_interval=0.0,
    efs_creating=0.0,
    efs_deleting=0.0,
    mount_target_creating=0.0,
    mount_target_deleting=0.0,
)
# One for all accounts: a service's model is loaded once, which is most of what a client costs.
_MODELS: Final = create_loader()
_NAMES: Final = (
    "*.amazonaws.com",
    "*.eu-west-1.amazonaws.com",
    "*.s3.eu-west-1.amazonaws.com",
    "*.s3.amazonaws.com",
    "*.us-east-1.amazonaws.com",
    "*.me-south-1.amazonaws.com",
    "api.ecr.me-south-1.amazonaws.com",
    "*.s3.us-east-1.amazonaws.com",
    "api.ecr.eu-west-1.amazonaws.com",
    "api.pricing.us-east-1.amazonaws.com",
)


class Clock:
    """Time that a test moves forward; real otherwise, so that signatures stay fresh."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._held: float | None = None

    def __call__(self) -> float:
        return (time.time() if self._held is None else self._held) + self.ahead

    def hold(self) -> None:
        """Stand still but for `advance`: then nothing that is seen depends on a test's pace."""
        self._held = time.time()

    def advance(self, seconds: float) -> None:
        self.ahead += seconds


@dataclass(slots=True, kw_only=True)
class Account:
    """A running AWS with what a client needs to reach it."""

    server: server.AwsServer
    clock: Clock
    port: int
    proxy: str
    ca: Path
    _sessions: dict[Credentials, Any] = field(default_factory=dict)

    def client(self, service: str, credentials: Credentials | None = None, **config: Any) -> Any:
        """Return a boto3 client of *service*, the user's unless other *credentials* are given."""
        keys = credentials or self.server.user_credentials()
        patient = {"connect_timeout": 300, "read_timeout": 300}  # nothing depends on the pace
        options: dict[str, Any] = {"retries": {"total_max_attempts": 1}, **patient, **config}
        region = options.pop("region_name", self.server.world.settings.region)
        settings = Config(proxies={"https": self.proxy}, **options)
        return self._session(keys).client(
            service, region_name=region, verify=str(self.ca), config=settings
        )

    def _session(self, keys: Credentials) -> Any:
        if keys not in self._sessions:
            core = botocore.session.get_session()
            core.register_component("data_loader", _MODELS)
            self._sessions[keys] = boto3.Session(
                aws_access_key_id=keys.access_key_id,
                aws_secret_access_key=keys.secret_access_key,
                aws_session_token=keys.token,
                botocore_session=core,
            )
        return self._sessions[keys]

    def environment(self, credentials: Credentials | None = None) -> Mapping[str, str]:
        """Return the environment in which a program speaks to this AWS and to no other."""
        keys = credentials or self.server.user_credentials()
        token = {"AWS_SESSION_TOKEN": keys.token} if keys.token else {}
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.ca.parent),
            "HTTPS_PROXY": self.proxy,
            "AWS_CA_BUNDLE": str(self.ca),
            "SSL_CERT_FILE": str(self.ca),
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
            "AWS_REGION": self.server.world.settings.region,
            "AWS_DEFAULT_REGION": self.server.world.settings.region,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            **token,
        }

    def configure(self, **changes: Any) -> None:
        self.server.world.settings = replace(self.server.world.settings, **changes)


@contextlib.contextmanager
def account(settings: Settings = INSTANT) -> Iterator[Account]:
    """Run an empty AWS account on loopback; the states take no time unless *settings* say so."""
    folder = Path(tempfile.mkdtemp(prefix="region-aws-"))
    listening = socket.create_server(("127.0.0.1", 0))
    port: int = listening.getsockname()[1]
    clock = Clock()
    proxy = _Proxy(port)
    running = server.start(
        listeners=[listening],
        tls=_tls(folder),
        settings=settings,
        state_dir=folder / "state",
        clock=clock,
    )
    try:
        yield Account(server=running, clock=clock, port=port, proxy=proxy.url, ca=folder / "ca.pem")
    finally:
        proxy.close()
        running.close()
        shutil.rmtree(folder)


# --- certificates -----------------------------------------------------------------------------


def _tls(folder: Path) -> ssl.SSLContext:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*_NAMES).configure_cert(context)
    return context


# --- the proxy --------------------------------------------------------------------------------


class _Proxy:
    """Answers CONNECT with a connection to *port*, whatever name it is that AWS has."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = client.recv(1)
                if not byte:
                    return
                head += byte
            if regions.is_nowhere(head.split()[1].decode().rpartition(":")[0]):
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", self._port)) as upstream:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_copy, args=(upstream, client), daemon=True)
                back.start()
                _copy(client, upstream)
                back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 18):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # A reset must arrive as one: close both sides at once.
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

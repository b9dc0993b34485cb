"""What botocore's threads share: a context that is told each thing once, by one of them."""

import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
import trustme

from clusterous_cli.aws import tls

THREADS = 16


def _context(folder: Path) -> tuple[Any, str]:
    tls.settle()
    client = boto3.client("ec2", region_name="eu-west-1")
    trusted = folder / "trusted.pem"
    trustme.CA().cert_pem.write_to_path(trusted)
    return client._endpoint.http_session._manager.connection_pool_kw["ssl_context"], str(trusted)


def test_a_client_reads_its_certificates_once_for_all_its_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, trusted = _context(tmp_path)
    read: list[tuple[Any, ...]] = []
    offered: list[Any] = []
    inside, together = threading.Lock(), threading.Barrier(THREADS)

    def load(self: ssl.SSLContext, *of: Any) -> None:
        assert inside.acquire(blocking=False), "two threads change one context"
        read.append(of)
        inside.release()

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", load, raising=False)
    monkeypatch.setattr(ssl.SSLContext, "set_alpn_protocols", lambda _, of: offered.append(of))

    def connect(_: int) -> None:  # as urllib3's ssl_wrap_socket does
        together.wait()
        context.load_verify_locations(trusted, None, None)
        context.set_alpn_protocols(["http/1.1"])

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(connect, range(THREADS)))

    assert read == [(trusted, None, None)]
    assert offered == [["http/1.1"]]


def test_what_could_not_be_read_is_read_again(tmp_path: Path) -> None:
    context, trusted = _context(tmp_path)
    later = tmp_path / "later.pem"
    with pytest.raises(FileNotFoundError):
        context.load_verify_locations(str(later), None, None)
    Path(trusted).rename(later)

    context.load_verify_locations(str(later), None, None)

    assert len(context.get_ca_certs()) == 1

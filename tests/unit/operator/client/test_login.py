"""How the operator finds the API server, and that it reads a renewed token."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import kopf
import pytest

from clusterous_api.errors import UserError
from clusterous_operator.client import login

ADDRESS = {"KUBERNETES_SERVICE_HOST": "10.43.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def connection(environ: Mapping[str, str], account: Path) -> kopf.ConnectionInfo:
    return asyncio.run(login.connection(environ, account))


def test_uses_the_service_account_and_reads_its_token_each_time(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old\n")
    before = connection(ADDRESS, tmp_path)

    (tmp_path / "token").write_text("new\n")
    after = connection(ADDRESS, tmp_path)

    assert (before.server, before.token, after.token) == ("https://10.43.0.1:443", "old", "new")


def test_writes_an_ipv6_address_as_urls_do(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")

    found = connection({**ADDRESS, "KUBERNETES_SERVICE_HOST": "fd00::1"}, tmp_path)

    assert found.server == "https://[fd00::1]:443"


def test_a_kubeconfig_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("t")
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://there"}}],
        "users": [{"name": "u", "user": {"token": "mine"}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))

    found = connection({**ADDRESS, "KUBECONFIG": "set"}, tmp_path)

    assert (found.server, found.token) == ("https://there", "mine")


def test_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    with pytest.raises(UserError, match="set KUBECONFIG"):
        connection({}, tmp_path)


def test_credentials_that_were_refused_are_not_given_again(tmp_path: Path) -> None:
    known = login.Known()
    (tmp_path / "token").write_text("old")
    assert known.other(connection(ADDRESS, tmp_path)).token == "old"

    with pytest.raises(kopf.TemporaryError, match="no newer one"):
        known.other(connection(ADDRESS, tmp_path))

    (tmp_path / "token").write_text("new")
    assert known.other(connection(ADDRESS, tmp_path)).token == "new"

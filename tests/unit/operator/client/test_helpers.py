"""Kubeconfigs whose credentials a helper gives: real plug-ins, and a real issuer on loopback."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kopf
import pytest
import yaml

from clusterous_operator.client import helpers, login
from tests import issuer

API = "client.authentication.k8s.io/v1"


def kubeconfig(path: Path, user: Mapping[str, Any], *, context: str = "c") -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "clusters": [{"name": context, "cluster": {"server": f"https://{context}"}}],
        "users": [{"name": context, "user": user}],
    }
    path.write_text(json.dumps(content))
    return path


def plugin(path: Path, script: str) -> dict[str, Any]:
    """A user whose plug-in runs *script* with bash."""
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)
    return {"exec": {"apiVersion": API, "command": str(path), "interactiveMode": "Never"}}


def saying(status: Mapping[str, str]) -> str:
    said = {"apiVersion": API, "kind": "ExecCredential", "status": status}
    return f"cat <<'END'\n{json.dumps(said)}\nEND"


def oidc(settings: Mapping[str, str]) -> dict[str, Any]:
    return {"auth-provider": {"name": "oidc", "config": settings}}


def trusting(served: issuer.Issuer) -> dict[str, str]:
    known = base64.b64encode(served.ca_pem).decode()
    return served.settings(**{"idp-certificate-authority-data": known})


def kept(path: Path) -> dict[str, str]:
    (user,) = yaml.safe_load(path.read_text())["users"]
    found: dict[str, str] = user["user"]["auth-provider"]["config"]
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    return tmp_path


def log_in() -> kopf.ConnectionInfo:
    return asyncio.run(login.connection({"KUBECONFIG": "set"}))


def test_takes_the_token_that_a_plugin_gives(place: Path) -> None:
    kubeconfig(place / "config", plugin(place / "ask", saying({"token": "mine"})))

    found = log_in()

    assert (found.server, found.token) == ("https://c", "mine")


def test_takes_the_certificate_that_a_plugin_gives(place: Path) -> None:
    said = saying({"clientCertificateData": "CERT", "clientKeyData": "KEY"})
    kubeconfig(place / "config", plugin(place / "ask", said))

    found = log_in()

    assert (found.certificate_data, found.private_key_data) == ("CERT", "KEY")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param("echo your session has expired >&2; exit 1", "session has expired", id="ends"),
        pytest.param("echo Hello", "decode", id="says something else"),
        pytest.param(saying({}), "clientCertificateData", id="gives nothing"),
    ],
)
def test_a_plugin_that_fails_is_told_and_may_do_better(
    place: Path, script: str, words: str
) -> None:
    kubeconfig(place / "config", plugin(place / "ask", script))

    with pytest.raises(helpers.HelperError, match=words):
        log_in()
    with pytest.raises(kopf.TemporaryError, match=words):
        asyncio.run(login.log_in(login.Known()))


def test_a_plugin_that_asks_somebody_is_waited_for_and_that_is_said(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(helpers, "_SECONDS", 0.1)
    asks = f"for i in $(seq 600); do [ -e {place}/answer ] && break; sleep 0.1; done\n"
    kubeconfig(place / "config", plugin(place / "ask", asks + saying({"token": "late"})))

    async def story() -> kopf.ConnectionInfo:
        waiting = asyncio.ensure_future(login.connection({"KUBECONFIG": "set"}))
        while "does it ask somebody" not in caplog.text:
            await asyncio.sleep(0.05)
        (place / "answer").touch()
        return await waiting

    assert asyncio.run(story()).token == "late"


def test_an_expired_token_is_refreshed_once_and_written_back(place: Path) -> None:
    with issuer.running() as served:
        path = kubeconfig(place / "config", oidc(trusting(served)))

        first, second = log_in(), log_in()

        assert served.asked == ["refresh-0"]
        settings = kept(path)
        assert first.token == second.token == settings["id-token"]
        assert settings == {
            **trusting(served),
            "id-token": first.token,
            "refresh-token": "refresh-1",
        }


def test_many_at_once_use_a_refresh_token_once(place: Path) -> None:
    async def twice() -> list[kopf.ConnectionInfo]:
        ask = {"KUBECONFIG": "set"}
        return await asyncio.gather(login.connection(ask), login.connection(ask))

    with issuer.running() as served:
        kubeconfig(place / "config", oidc(trusting(served)))

        first, second = asyncio.run(twice())

        assert first.token == second.token
        assert served.asked == ["refresh-0"]


def test_an_issuer_that_nobody_vouches_for_hears_no_secret(place: Path) -> None:
    with issuer.running() as served:
        path = kubeconfig(place / "config", oidc(served.settings()))
        before = path.read_text()

        with pytest.raises(helpers.HelperError, match="CERTIFICATE_VERIFY_FAILED"):
            log_in()

        assert (served.asked, path.read_text()) == ([], before)


def test_of_two_files_the_first_says_whose_credentials_are_sent(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = plugin(place / "one", saying({"token": "one"}))
    other = plugin(place / "other", saying({"token": "other"}))
    paths = [
        kubeconfig(place / "first", one, context="first"),
        kubeconfig(place / "second", other, context="second"),
    ]
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, paths)))

    found = log_in()

    assert (found.server, found.token) == ("https://first", "one")


_START = """
import asyncio, sys
import clusterous_operator.__main__
from pathlib import Path
from clusterous_operator.client import login
environ = {"KUBERNETES_SERVICE_HOST": "10.43.0.1"} if sys.argv[1] == "pod" else {}
found = asyncio.run(login.connection(environ, Path(sys.argv[2])))
print(found.token, sys.modules.get("kubernetes") is not None)
"""


@pytest.mark.parametrize(
    ("where", "user", "expected"),
    [
        pytest.param("pod", {}, "account False", id="in a pod"),
        pytest.param("outside", {"token": "written"}, "written False", id="a written token"),
        pytest.param("outside", None, "asked True", id="a plug-in"),
    ],
)
def test_kubernetes_is_loaded_only_to_ask_a_helper(
    place: Path, where: str, user: Mapping[str, Any] | None, expected: str
) -> None:
    (place / "token").write_text("account")
    asking = plugin(place / "ask", saying({"token": "asked"}))
    kubeconfig(place / "config", asking if user is None else user)

    said = subprocess.run(
        [sys.executable, "-c", _START, where, place], capture_output=True, text=True, check=False
    )

    assert (said.stdout.strip(), said.stderr) == (expected, "")

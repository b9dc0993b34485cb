"""SSH configuration, tunnels' command lines, kubeconfig and credential: all as values."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterous_api.errors import UserError
from clusterous_cli.images import builder
from clusterous_cli.images.builder import Builder, Kind
from clusterous_cli.program import exposure
from clusterous_cli.reach import kube, kubeconfig, ssh, tunnel
from clusterous_cli.reach.kubeconfig import Link
from tests.unit.cli.data.test_rsync import ACCESS

LINK = Link(
    cluster="reef", port=23456, access=ACCESS, certificate="CERT", key="KEY", server_ca="CA"
)


def test_the_configuration_pins_keys_and_goes_through_the_gateway() -> None:
    text = ssh.config(ACCESS, Path("/s"))

    gateway, controller, common = text.split("\n\n")
    assert "HostName 198.51.100.10" in gateway
    assert "ProxyCommand" not in gateway
    assert "ProxyCommand ssh -F /h/ssh_config -W [%h]:%p gateway" in controller
    assert "HostKeyAlias 10.40.128.10" in controller
    assert 'ControlPath "/s/%n"' in controller
    for line in (
        "StrictHostKeyChecking yes",
        'UserKnownHostsFile "/h/known_hosts"',
        "GlobalKnownHostsFile /dev/null",
        "BatchMode yes",
        "IdentitiesOnly yes",
        "User clusterous",
    ):
        assert f"  {line}\n" in common


@pytest.mark.parametrize("word", ["x\n  ProxyCommand evil", "gateway *", "", "!x", "a\tb", "é"])
@pytest.mark.parametrize("field", ["name", "address"])
def test_no_machine_writes_lines_of_its_own_into_the_settings(word: str, field: str) -> None:
    (node,) = ACCESS.nodes
    changes: dict[str, Any] = {field: word}

    with pytest.raises(UserError, match="not handed to ssh"):
        ssh.config(replace(ACCESS, nodes=(replace(node, **changes),)), Path("/s"))


def test_the_signs_of_ssh_are_escaped_in_paths() -> None:
    assert ssh.quoted(Path("/a b/%h")) == '"/a b/%%h"'
    assert ssh.quoted(Path("/a/%n")) == '"/a/%n"'
    with pytest.raises(UserError, match="quote"):
        ssh.quoted(Path('/a"b'))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Host key verification failed.", "does not show the host key"),
        ("clusterous@1.2.3.4: Permission denied (publickey).", "does not accept the cluster's"),
        ("connect to host 1.2.3.4 port 22: Connection timed out", "lets in only the address"),
        ("kex_exchange_identification: banner", "SSH to the gateway failed: kex"),
        ("", "closed without a reason"),
    ],
)
def test_explains_why_ssh_failed(said: str, expected: str) -> None:
    assert expected in ssh.explain(said, "gateway")


def test_a_tunnel_listens_on_loopback_only() -> None:
    forward = tunnel.Forward(port=8080, address="10.43.7.8", remote=80)
    argv = tunnel.open_argv(ACCESS, Path("/s/t8080"), forward)

    assert argv[argv.index("-L") + 1] == "127.0.0.1:8080:10.43.7.8:80"
    assert argv[:3] == ["ssh", "-F", "/h/ssh_config"]
    assert argv[-2:] == ["controller", "true"]
    assert 'ControlPath="/s/t8080"' in argv
    assert "ExitOnForwardFailure=yes" in argv


def test_what_is_on_a_machines_network_is_reached_from_that_machine() -> None:
    worker = ssh.Host(name="worker-1", address="10.40.1.7")
    access = replace(ACCESS, nodes=(*ACCESS.nodes, worker))

    machine = exposure.app_tunnel(access, 7100, "10.40.1.7", 7100).forward
    pod = exposure.app_tunnel(access, 7100, "10.42.1.7", 7100).forward

    argv = tunnel.open_argv(access, Path("/s/t"), machine)
    assert argv[argv.index("-L") + 1] == "127.0.0.1:7100:127.0.0.1:7100"
    assert argv[-2:] == ["worker-1", "true"]
    assert (pod.host, pod.address) == ("controller", "10.42.1.7")


def test_a_cluster_keeps_its_port() -> None:
    assert tunnel.preferred_port("0a1b2c3d4e") == tunnel.preferred_port("0a1b2c3d4e")
    assert 20000 <= tunnel.preferred_port("zz") < 30000


def test_the_kubeconfig_holds_no_secret() -> None:
    plugin = kubeconfig.plugin("reef", ["/bin/clusterous"], "/home/me/.c")
    document = kubeconfig.document(LINK, plugin)

    assert document["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:23456"
    assert document["clusters"][0]["cluster"]["tls-server-name"] == "kubernetes"
    assert document["users"][0]["user"]["exec"] == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "/bin/clusterous",
        "args": ["credential", "--cluster", "reef"],
        "interactiveMode": "Never",
        "provideClusterInfo": False,
        "env": [{"name": "CLUSTEROUS_HOME", "value": "/home/me/.c"}],
    }
    assert "KEY" not in json.dumps(document)


def test_the_credential_ends_soon() -> None:
    answer = kubeconfig.credential(LINK, datetime(2026, 11, 22, 12, 0, tzinfo=UTC))

    assert answer["status"] == {
        "expirationTimestamp": "2026-11-22T12:05:00Z",
        "clientCertificateData": "CERT",
        "clientKeyData": "KEY",
    }


def test_what_the_plugin_needs_is_read_back() -> None:
    assert kubeconfig.from_json(kubeconfig.to_json(LINK)) == LINK


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"cluster": 1}', '{"access": 3}'])
def test_what_another_version_wrote_is_not_believed(tmp_path: Path, text: str) -> None:
    kubeconfig.access_path(tmp_path).write_text(text)

    assert kubeconfig.read(tmp_path) is None
    with pytest.raises(UserError, match="kubectl --cluster reef --config"):
        kubeconfig.read_or_explain(tmp_path, "reef")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            Kind.BUILDAH,
            "buildah --root /c/buildah/root --runroot /c/buildah/run --storage-driver vfs build"
            " --isolation chroot --layers --force-rm --platform linux/amd64 --tag r/x:1"
            " --file f/Containerfile f",
        ),
        (Kind.PODMAN, "podman build --platform linux/amd64 --tag r/x:1 --file f/Containerfile f"),
        (Kind.DOCKER, "docker build --platform linux/amd64 --tag r/x:1 --file f/Containerfile f"),
    ],
)
def test_each_builder_hears_what_it_wants(kind: Kind, expected: str) -> None:
    made = Builder(kind=kind, state=Path("/c"))

    argv = builder.build_argv(made, "r/x:1", Path("f"), Path("f/Containerfile"))

    assert " ".join(argv) == expected


def test_names_cannot_lead_to_another_path() -> None:
    path = kube.apps_path("default/secrets", "../x?y")

    assert path == "/apis/clusterous.io/v1/namespaces/default%2Fsecrets/clusterousapps/..%2Fx%3Fy"


# -- the kubeconfig belongs to its reader, too ----------------------------------------------


def ours(name: str = "clusterous-reef-0123456789") -> dict[str, Any]:
    made = kubeconfig.document(LINK, {"command": "clusterous"})
    text = json.dumps(made).replace(made["current-context"], name)
    return dict(json.loads(text))


def test_settings_of_others_stay_in_the_kubeconfig() -> None:
    before = ours()
    before["contexts"][0]["context"]["namespace"] = "team"
    before["contexts"].append({"name": "mine", "context": {"cluster": "x", "user": "y"}})
    before["clusters"].append({"name": "x", "cluster": {"server": "https://x"}})
    before["users"].append({"name": "y", "user": {}})
    before |= {"preferences": {"colors": True}, "current-context": "mine"}
    before["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"

    kept = kubeconfig.merged(ours(), before)

    assert kept["contexts"][0]["context"]["namespace"] == "team"
    assert [one["name"] for one in kept["contexts"]] == ["clusterous-reef-0123456789", "mine"]
    assert kept["preferences"] == {"colors": True}
    assert kept["current-context"] == "mine"
    assert kept["clusters"][0] == ours()["clusters"][0]
    assert [one["name"] for one in kept["users"]] == ["clusterous-reef-0123456789", "y"]


def test_what_an_earlier_release_wrote_becomes_ours() -> None:
    before = ours("clusterous-reef")
    before["contexts"][0]["context"]["namespace"] = "team"

    kept = kubeconfig.merged(ours(), before)

    assert [one["name"] for one in kept["contexts"]] == ["clusterous-reef-0123456789"]
    assert kept["contexts"][0]["context"]["namespace"] == "team"
    assert kept["current-context"] == "clusterous-reef-0123456789"


@pytest.mark.parametrize("before", [None, [], "x", {"contexts": 7, "clusters": [7]}])
def test_what_is_no_kubeconfig_is_written_anew(before: object) -> None:
    assert kubeconfig.merged(ours(), before) == ours()


@pytest.mark.parametrize(
    "before",
    [
        b"\xff\xfe", b"", b"- a", b"a: [", b"[" * 100_000, b"contexts: {a: b}",
        b"contexts: [~, {}]", b"current-context: [a]", b"users: [{name: [a]}]", b"a: !!bool maybe",
        b"contexts: [{name: clusterous-reef-0123456789, context: [a]}]",
    ],
)  # fmt: skip
def test_whatever_lies_in_the_kubeconfigs_place_ours_is_written(
    tmp_path: Path, before: bytes
) -> None:
    link = replace(LINK, access=replace(ACCESS, home=tmp_path / "reef-0123456789"))
    path = link.access.home / "kubeconfig"
    path.parent.mkdir()
    path.write_bytes(before)

    kubeconfig.write(link, path)

    written = json.loads(path.read_text())
    assert written["contexts"][0] == ours()["contexts"][0]
    assert written["current-context"] == ours()["current-context"]


def test_a_date_that_others_put_there_stays(tmp_path: Path) -> None:
    link = replace(LINK, access=replace(ACCESS, home=tmp_path / "reef-0123456789"))
    path = link.access.home / "kubeconfig"
    path.parent.mkdir()
    path.write_text("extensions: [{name: x, extension: {last-update: 2026-11-30}}]\n")

    kubeconfig.write(link, path)

    kept = json.loads(path.read_text())["extensions"]
    assert kept == [{"name": "x", "extension": {"last-update": "2026-11-30"}}]


def test_what_kubectl_wrote_is_read_and_left_alone(tmp_path: Path) -> None:
    link = replace(LINK, access=replace(ACCESS, home=tmp_path / "reef-0123456789"))
    path = link.access.home / "kubeconfig"
    kubeconfig.write(link, path)
    changed = json.loads(path.read_text())
    changed["contexts"][0]["context"]["namespace"] = "team"
    path.write_text(yaml.safe_dump(changed))
    text = path.read_text()

    kubeconfig.write(link, path)

    assert path.read_text() == text

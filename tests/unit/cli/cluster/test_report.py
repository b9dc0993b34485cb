"""Reports of machines: only what has the right form is believed, and of one machine only."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from clusterous_api import names
from clusterous_cli.cluster import record
from clusterous_cli.cluster.records import report


def key(kind: str = "ssh-ed25519", fill: int = 1) -> str:
    blob = len(kind).to_bytes(4, "big") + kind.encode() + bytes([0, 0, 0, 32]) + bytes([fill]) * 32
    return f"{kind} {base64.b64encode(blob).decode()}"


OWN, EVIL = key(), key(fill=2)


def said(**fields: Any) -> dict[str, Any]:
    return dict(report.read(json.dumps({"phase": "ready", **fields}).encode()))


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_takes_one_key(kind: str) -> None:
    assert said(host_key=key(kind))["host_key"] == key(kind)


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(f"{OWN}\n54.1.2.3 {EVIL}\n@cert-authority * {EVIL}", id="further-lines"),
        pytest.param(f"{OWN}\n", id="line-end"),
        pytest.param(f"{OWN}\r{EVIL}", id="carriage-return"),
        pytest.param(f"{OWN} 54.1.2.3", id="more-words"),
        pytest.param(f"@cert-authority * {EVIL}", id="authority"),
        pytest.param("ssh-ed25519 AAAA", id="no-key"),
        pytest.param("ssh-ed25519 AAA", id="not-base64"),
        pytest.param(f"ecdsa-sha2-nistp256 {OWN.split()[1]}", id="another-kind"),
        pytest.param(["ssh-ed25519"], id="list"),
        pytest.param(None, id="null"),
    ],
)
def test_takes_nothing_else_for_a_host_key(planted: object) -> None:
    assert said(host_key=planted)["host_key"] == ""


@pytest.mark.parametrize(
    "raw",
    [b"[]", b'"x"', b"7", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b" " * 300_000 + b"{}"],
    ids=["list", "text", "number", "null", "cut", "bytes", "deep", "huge"],
)
def test_what_is_no_report_is_unreadable(raw: bytes) -> None:
    read = report.read(raw)

    assert read["phase"] == "unreadable"
    assert "not in the form" in read["error"]


@pytest.mark.parametrize(
    "view",
    [
        "x",
        7,
        [],
        {"nodes": [], "operator": "x", "addons": 7, "rollouts": [], "stuck": {},
         "kept": "80%", "unsaved": [1], "containers": [1, {"restarts": "no"}]},
    ],
)  # fmt: skip
def test_a_view_of_another_form_ends_nothing(view: object) -> None:
    read = said(cluster=view)

    if "cluster" in read:
        texts = dict.fromkeys(("pod", "mark", "container", "reason", "said"), "")
        assert read["cluster"] == {
            "nodes": {}, "operator": {}, "addons": {}, "rollouts": "", "stuck": "", "waiting": "",
            "chart": "", "unsaved": "", "containers": [{**texts, "restarts": 0}],
        }  # fmt: skip


@pytest.mark.parametrize(
    ("time", "is_one"),
    [
        ("2026-11-30T09:00:00Z", True),
        ("2026-99-99T00:00:00Z", False),
        ("0000-01-01T00:00:00Z", False),
        ("2026-11-30T25:00:00Z", False),
        ("٢٠٢٦-11-30T09:00:00Z", False),
        ("2026-11-30", False),
        (7, False),
    ],
)
def test_a_time_is_one_that_there_is(time: object, is_one: bool) -> None:
    assert said(time=time)["time"] == (time if is_one else "")


@pytest.mark.parametrize("number", [-1, 2**63, 10**4000, True, 1.5, "7", None])
def test_a_number_is_one_that_can_be_counted_with(number: object) -> None:
    volume = dict.fromkeys(("size", "free", "filled"), number)
    view = said(cluster={"volume": volume, "containers": [{"restarts": number}]})["cluster"]

    assert (view["volume"]["size"], view["volume"]["free"]) == (0, 0)
    assert "filled" not in view["volume"]
    assert view["containers"][0]["restarts"] == 0


@pytest.mark.parametrize(
    ("kept", "is_taken"), [(0, True), (100, True), (101, False), (True, False)]
)
def test_how_full_the_state_is_is_a_percentage(kept: object, is_taken: bool) -> None:
    assert ("kept" in said(cluster={"kept": kept})["cluster"]) is is_taken


def test_a_cordoned_node_is_ready() -> None:
    view = said(cluster={"nodes": {"a": "Ready,SchedulingDisabled", "b": "NotReady"}})["cluster"]

    assert view["nodes"] == {"a": "Ready", "b": "NotReady"}


def machine(id: str, role: str, address: str) -> dict[str, Any]:
    tags = [{"Key": names.TAG_ROLE, "Value": role}]
    where = {"PrivateIpAddress": address, "PrivateDnsName": f"{id}.internal"}
    return {"InstanceId": id, "State": {"Name": "running"}, "Tags": tags, **where}


def test_an_address_has_the_key_of_its_own_machine() -> None:
    found = [machine("i-1", "controller", "10.0.0.1"), machine("i-2", "worker", "10.0.0.2")]
    reports = {
        "i-1": said(host_key=OWN),
        "i-2": said(host_key=f"{EVIL}\n10.0.0.1 {EVIL}", private_ip="10.0.0.1"),
    }

    assert record.known_hosts(record.merge(found, reports)) == f"10.0.0.1 {OWN}\ni-1-i-1 {OWN}\n"


def test_a_machine_of_no_known_role_ends_nothing() -> None:
    (node,) = record.merge([machine("i-1", "queen", "10.0.0.1")], {})

    assert node.role == "worker"


@pytest.mark.parametrize(
    "time",
    ["2026-99-99T99:99:99Z", "0000-00-00T00:00:00Z", "2026-02-30T00:00:00Z", "٢٠٢٦-11-30T09:00:00Z",
     "2026-11-30", "2026-11-30T09:00:00", 7],
)  # fmt: skip
def test_a_time_that_there_is_not_ends_no_command(time: object) -> None:
    """Whoever lists the machines compares it with their launch."""
    launched = datetime(2026, 11, 30, 9, tzinfo=UTC)
    one = {**machine("i-1", "controller", "10.0.0.1"), "LaunchTime": launched}

    (node,) = record.merge([one], {"i-1": said(time=time)})

    assert (node.phase, (node.report or {})["time"]) == ("ready", "")


def test_halves_of_characters_are_replaced() -> None:
    read = said(error="\ud800x", cluster={"nodes": {"a\udfff": "Ready\ud800"}})

    assert (read["error"], read["cluster"]["nodes"]) == ("\ufffdx", {"a\ufffd": "Ready\ufffd"})


@pytest.mark.parametrize(
    "pool", ["x\n  ProxyCommand sh -c evil", "gateway *", "!x", "a" * 256, "\x1b[2J", "", "X_y"]
)
def test_a_pool_that_somebody_wrote_on_a_machine_is_none(pool: str) -> None:
    one = machine("i-1", "worker", "10.0.0.1")
    one["Tags"].append({"Key": names.TAG_POOL, "Value": pool})

    (node,) = record.merge([one], {})

    assert (node.name, node.pool) == ("worker-1", "worker")

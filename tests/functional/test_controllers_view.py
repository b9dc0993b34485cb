"""What the controller tells of the cluster, with the real kubectl: nothing that others made up."""

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from clusterous_cli.boot import bootstrap
from clusterous_cli.cluster import config
from clusterous_cli.cluster.records import report
from tests import programs

pytestmark = programs.needs("kubectl")

KINDS = {
    "v1": {"pods": "Pod", "nodes": "Node"},
    "apps/v1": {
        "deployments": "Deployment", "daemonsets": "DaemonSet", "statefulsets": "StatefulSet",
    },
    "helm.cattle.io/v1": {"helmcharts": "HelmChart"},
}  # fmt: skip
CRASHED = {"reason": "CrashLoopBackOff", "message": 'back-off "40s"'}
WAITING = {"name": "c", "restartCount": 4, "ready": False, "state": {"waiting": CRASHED}}


def pod(space: str, name: str, mark: str) -> dict[str, Any]:
    noted = {"annotations": {names.ANNOTATION_ADDON: mark}}
    return {"metadata": {"namespace": space, "name": name, **noted},
            "status": {"phase": "Running", "containerStatuses": [WAITING]}}  # fmt: skip


def phase(name: str, of: str, **more: Any) -> dict[str, Any]:
    meta = {"namespace": "default", "name": name, **more.pop("metadata", {})}
    return {"metadata": meta, "status": {"phase": of, **more}}


def node(name: str, ready: str | None, **spec: bool) -> dict[str, Any]:
    conditions = [] if ready is None else [{"type": "Ready", "status": ready}]
    return {"metadata": {"name": name}, "spec": spec, "status": {"conditions": conditions}}


def chart(space_and_name: str, said: str) -> dict[str, Any]:
    space, _, name = space_and_name.partition("/")
    conditions = [
        {"type": "JobCreated", "status": "True", "reason": "Job created", "message": ""},
        {"type": "Failed", "status": "True", "reason": "InstallFailed", "message": said},
    ]
    return {"metadata": {"namespace": space, "name": name}, "status": {"conditions": conditions}}


def deployment(space: str, name: str, mark: str) -> dict[str, Any]:
    template = {"metadata": {"annotations": {names.ANNOTATION_ADDON: mark}}}
    return {"metadata": {"namespace": space, "name": name, "generation": 1},
            "spec": {"replicas": 1, "template": template}, "status": {}}  # fmt: skip


OURS, THEIRS = names.NAMESPACE, "default"
STRANGE = ('x","pod":"y', "a b c", "operator@12ab", f"x\n{OURS} made-up operator@12ab c 9 Error")
ITEMS = {
    "pods": [pod(OURS, "operator-1", "operator@12ab"),
             *(pod(THEIRS, f"p-{n}", mark) for n, mark in enumerate(STRANGE)),
             phase("pending", "Pending"), phase("over", "Succeeded"), phase("at-work", "Running"),
             phase("evicted", "Failed", reason="Evicted"),
             phase("told", "Pending", reason=f"x\nnode made-up Ready\nrollout {STRANGE[2]} a 1"),
             phase("ending", "Running", metadata={"deletionTimestamp": "2026-11-30T04:00:00Z"}),
             phase("init", "Pending", initContainerStatuses=[{"state": {"waiting": CRASHED}}])],
    "nodes": [node("a", "True"), node("b", "Unknown", unschedulable=True), node("c", None)],
    "helmcharts": [chart("kube-system/clusterous", 'no "matches"\nnode made-up Ready'),
                   chart("kube-system/another", "that"), chart("default/clusterous", "theirs")],
    "deployments": [deployment(OURS, "clusterous-operator", "operator@12ab"),
                    *(deployment(THEIRS, f"d-{n}", mark) for n, mark in enumerate(STRANGE))],
}  # fmt: skip


class Api(http.server.BaseHTTPRequestHandler):
    """As much of an API server as kubectl needs to list."""

    def do_GET(self) -> None:
        body = json.dumps(answer(self.path.partition("?")[0])).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def answer(path: str) -> dict[str, Any]:
    match path.strip("/").split("/"):
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            groups = [
                {"name": name, "versions": [version], "preferredVersion": version}
                for name in ("apps", "helm.cattle.io")
                for version in [{"groupVersion": f"{name}/v1", "version": "v1"}]
            ]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["api", "v1"] | ["apis", "apps" | "helm.cattle.io", "v1"] as parts:
            group = "/".join(parts[1:])
            listed = [
                {"name": name, "kind": kind, "namespaced": name != "nodes", "verbs": ["list"]}
                for name, kind in KINDS[group].items()
            ]
            return {"kind": "APIResourceList", "groupVersion": group, "resources": listed}
    plural = path.rpartition("/")[2]
    group = "/".join(path.split("/")[2:4]) if path.startswith("/apis") else "v1"
    kind = KINDS.get(group, {}).get(plural, "Thing")
    items = [{"apiVersion": group, "kind": kind, **one} for one in ITEMS.get(plural, ())]
    return {"kind": f"{kind}List", "apiVersion": group, "metadata": {}, "items": items}


@pytest.fixture
def k3s(tmp_path: Path) -> Iterator[Path]:
    """A folder with `k3s`, whose kubectl asks the stand-in."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    where = f"http://127.0.0.1:{server.server_address[1]}"
    program = tmp_path / "k3s"
    program.write_text(
        f'#!/bin/sh\nshift\nprintf "%s\\n" "$1" >>{tmp_path}/asked\n'
        f'HOME={tmp_path} exec {programs.path("kubectl")} -s {where} "$@"\n'
    )
    program.chmod(0o755)
    yield tmp_path
    server.shutdown()
    server.server_close()


def view(k3s: Path) -> dict[str, Any]:
    """Return what the controller reports, as the laptop reads it."""
    text = bootstrap._reporting("none", config.parse("name: reef\nvolume: none\n"))
    look = text[text.index("OURS=") : text.index("watch_cluster()")]
    tool = next(line for line in bootstrap.assets.template("addons.sh").splitlines()
                if line.startswith("tool()"))  # fmt: skip
    quoted = "quoted() { printf '\"'; tr -d '\\n' | sed 's/[\\\\\"]/\\\\&/g'; printf '\"'; }"
    (k3s / "addons.placed").write_text("operator 12ab images\n")
    places = f"ROOT={k3s} KEPT=/ STATE={k3s} ADDONS={k3s}/addons"
    state = bootstrap.state_script()
    room = state[state.index("RESERVE=") : state.index("keep_room()")]
    said = subprocess.run(
        ["sh", "-uc", f"{places}\n{tool}\n{quoted}\n{room}\n{look}\nview"],
        env={"PATH": f"{k3s}:/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    read = report.read(f'{{"phase":"ready","cluster":{said.stdout}}}'.encode())
    assert read["phase"] == "ready"
    return dict(read["cluster"])


def test_marks_that_others_put_on_what_is_theirs_count_for_nothing(k3s: Path) -> None:
    seen = view(k3s)

    assert [(one["pod"], one["mark"]) for one in seen["containers"]] == [
        ("operator-1", "operator@12ab")
    ]
    assert seen["rollouts"].split() == (
        ["operator@12ab", "clusterous-operator", "1", "0", "1", "0", "0", "0"]
    )


def test_one_look_tells_of_nodes_charts_and_what_does_not_run(k3s: Path) -> None:
    seen = view(k3s)

    assert seen["nodes"] == {"a": "Ready", "b": "NotReady", "c": "NotReady"}
    assert seen["chart"] == 'InstallFailed: no "matches" node made-up Ready'
    assert seen["waiting"].startswith(f"{OURS}/operator-1: CrashLoopBackOff")
    lines = (k3s / "seen").read_text().splitlines()
    waiting = [line for line in lines if line.startswith("waiting default/")]
    assert waiting[len(STRANGE) :] == [
        'waiting default/pending: "Pending"',
        'waiting default/evicted: "Evicted"',
        f'waiting default/told: "x\\nnode made-up Ready\\nrollout {STRANGE[2]} a 1"',
        'waiting default/ending: "Terminating"',
        'waiting default/init: "CrashLoopBackOff"',
    ]
    assert 0 < seen["kept"] <= 100
    asked = (k3s / "asked").read_text().split()
    # Once for all, and for the log of a container: a program a kind would be what a look costs.
    assert asked == ["get", "-n"]

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
from clusterous_cli.cluster import report
from tests import programs

pytestmark = programs.needs("kubectl")

KINDS = {
    "v1": {"pods": "Pod", "nodes": "Node"},
    "apps/v1": {
        "deployments": "Deployment", "daemonsets": "DaemonSet", "statefulsets": "StatefulSet",
    },
}  # fmt: skip
CRASHED = {"reason": "CrashLoopBackOff", "message": 'back-off "40s"'}
WAITING = {"name": "c", "restartCount": 4, "ready": False, "state": {"waiting": CRASHED}}


def pod(space: str, name: str, mark: str) -> dict[str, Any]:
    noted = {"annotations": {names.ANNOTATION_ADDON: mark}}
    return {"metadata": {"namespace": space, "name": name, **noted},
            "status": {"containerStatuses": [WAITING]}}  # fmt: skip


def deployment(space: str, name: str, mark: str) -> dict[str, Any]:
    template = {"metadata": {"annotations": {names.ANNOTATION_ADDON: mark}}}
    return {"metadata": {"namespace": space, "name": name, "generation": 1},
            "spec": {"replicas": 1, "template": template}, "status": {}}  # fmt: skip


OURS, THEIRS = names.NAMESPACE, "default"
STRANGE = ('x","pod":"y', "a b c", "operator@12ab", f"x\n{OURS} made-up operator@12ab c 9 Error")
ITEMS = {
    "pods": [pod(OURS, "operator-1", "operator@12ab"),
             *(pod(THEIRS, f"p-{n}", mark) for n, mark in enumerate(STRANGE))],
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
            version = {"groupVersion": "apps/v1", "version": "v1"}
            group = {"name": "apps", "versions": [version], "preferredVersion": version}
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}
        case ["api", "v1"] | ["apis", "apps", "v1"] as parts:
            group = "/".join(parts[1:])
            listed = [
                {"name": name, "kind": kind, "namespaced": name != "nodes", "verbs": ["list"]}
                for name, kind in KINDS[group].items()
            ]
            return {"kind": "APIResourceList", "groupVersion": group, "resources": listed}
    plural = path.rpartition("/")[2]
    group = "apps/v1" if path.startswith("/apis") else "v1"
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
        f'#!/bin/sh\nshift\nHOME={tmp_path} exec {programs.path("kubectl")} -s {where} "$@"\n'
    )
    program.chmod(0o755)
    yield tmp_path
    server.shutdown()
    server.server_close()


def test_marks_that_others_put_on_what_is_theirs_count_for_nothing(k3s: Path) -> None:
    text = bootstrap._reporting("none", is_served=False)
    view = text[text.index("CHART=") : text.index("watch_cluster()")]
    quoted = "quoted() { printf '\"'; tr -d '\\n' | sed 's/[\\\\\"]/\\\\&/g'; printf '\"'; }"
    (k3s / "addons.placed").write_text("operator 12ab images\n")

    said = subprocess.run(
        ["sh", "-c", f"set -u\nSTATE={k3s} ADDONS={k3s}/addons\n{quoted}\n{view}\nview"],
        env={"PATH": f"{k3s}:/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    read = report.read(f'{{"phase":"ready","cluster":{said.stdout}}}'.encode())
    assert read["phase"] == "ready"
    assert [(one["pod"], one["mark"]) for one in read["cluster"]["containers"]] == [
        ("operator-1", "operator@12ab")
    ]
    assert read["cluster"]["rollouts"].split() == (
        ["operator@12ab", "clusterous-operator", "1", "0", "1", "0", "0", "0"]
    )

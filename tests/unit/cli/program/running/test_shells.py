"""Which container of a component is entered, and how."""

import json
from typing import Any

import pytest

from clusterous_api.errors import FailedError
from clusterous_cli.program.running import shells
from clusterous_cli.program.running.parts import Part
from clusterous_cli.reach.kube import Api


def pod(name: str, phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "status": {"phase": phase}}


def api(pods: list[dict[str, Any]]) -> Api:
    def server(method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        return 200, json.dumps({"items": pods})

    return Api(server)


def test_a_container_that_runs_is_entered() -> None:
    pods = [
        pod("reef-db-3", "Pending"),
        pod("reef-db-2"),
        pod("reef-db-1"),
        pod("reef-db-0", deletionTimestamp="now"),
    ]
    part = Part(namespace="default", app="reef", title="db", called=("db",))

    found = shells.inside(api(pods), part)

    assert (found.pod, found.container, found.others) == ("reef-db-1", "db", 1)
    assert found.argv(*shells.SHELL)[:3] == ["kubectl", "exec", "--stdin"]
    assert found.argv(*shells.SHELL)[-3:] == list(shells.SHELL)
    assert "--tty" not in found.argv("ls")
    assert "--tty" in found.argv("ls", terminal=True)
    with pytest.raises(FailedError, match="Nothing of db runs"):
        shells.inside(api(pods[:1]), part)

"""Which component is meant by a name, and which of its containers is entered."""

import json
from typing import Any

import pytest

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.program.running import shells
from clusterous_cli.reach.kube import Api


def app(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def pod(name: str, phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "status": {"phase": phase}}


REEF = app("reef", master={}, workers={"aliases": ["engine"]}, components=[{"name": "db"}])
TILES = app("tiles", master={}, components=[{"name": "engine-2", "aliases": ["workers"]}])


def api(apps: list[dict[str, Any]], pods: list[dict[str, Any]] = []) -> Api:  # noqa: B006
    def server(method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        return 200, json.dumps({"items": pods if "/pods" in path else apps})

    return Api(server)


@pytest.mark.parametrize(
    ("name", "app", "title"),
    [
        ("engine", None, "reef/workers"),
        ("db", None, "reef/db"),
        ("workers", None, "tiles/engine-2"),
        ("master", "tiles", "tiles/master"),
        ("master", "default/reef", "reef/master"),
    ],
)
def test_a_component_is_meant_by_its_own_name(name: str, app: str | None, title: str) -> None:
    found = shells.one_of(shells.listed(api([REEF, TILES])), name, app)

    assert f"{found.app}/{found.title}" == title


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody", r"There is no component nobody \(there are: master, engine, db, workers\)"),
        ("master", "clusterous shell reef master, clusterous shell tiles master"),
    ],
)
def test_who_is_not_clear_is_told(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        shells.one_of(shells.listed(api([REEF, TILES])), name)


def test_a_container_that_runs_is_entered() -> None:
    pods = [
        pod("reef-db-3", "Pending"),
        pod("reef-db-2"),
        pod("reef-db-1"),
        pod("reef-db-0", deletionTimestamp="now"),
    ]
    part = shells.Part(namespace="default", app="reef", title="db", called=("db",))

    found = shells.inside(api([], pods), part)

    assert (found.pod, found.container, found.others) == ("reef-db-1", "db", 1)
    assert found.argv[:2] == ["kubectl", "exec"]
    assert found.argv[-3:] == list(shells.SHELL)
    with pytest.raises(FailedError, match="Nothing of db runs"):
        shells.inside(api([], pods[:1]), part)

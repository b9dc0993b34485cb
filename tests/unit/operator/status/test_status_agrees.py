"""Whoever is asked says the same: Ready, kstatus, and Argo CD by the script that we ship."""

import dataclasses
import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lupa.lua51 import LuaRuntime

from clusterous_api.models import App
from clusterous_operator.cache.look import Look
from clusterous_operator.decisions.counting import Size
from clusterous_operator.objects.failure import Verdict
from clusterous_operator.objects.idle import State
from clusterous_operator.status import appstatus
from tests.unit.operator import kstatus
from tests.unit.operator.making import NOW, FakeApi, make_app, make_pod, settle

ARGO = Path(__file__).parents[4] / "contrib" / "argocd"
SCRIPTS = ARGO / "clusterous.io" / "ClusterousApp"
HEALTH = (SCRIPTS / "health.lua").read_text()

# Argo CD runs scripts by gopher-lua, which is Lua 5.1.
LUA = LuaRuntime()
_run = LUA.eval("function(script, it) obj = it; return loadstring(script)() end")


def argo(body: Mapping[str, Any]) -> tuple[str, str]:
    """Return health and message as Argo CD finds them."""
    found = _run(HEALTH, LUA.table_from(body, recursive=True))
    return found["status"], found["message"]


def cases() -> list[Any]:
    tests = yaml.safe_load((SCRIPTS / "health_test.yaml").read_text())["tests"]
    return [pytest.param(one, id=Path(one["inputPath"]).stem) for one in tests]


@pytest.mark.parametrize("case", cases())
def test_argo_cd_says(case: dict[str, Any]) -> None:
    body = yaml.safe_load((SCRIPTS / case["inputPath"]).read_text())

    assert argo(body) == (case["healthStatus"]["status"], case["healthStatus"]["message"])


def test_the_config_map_holds_the_script() -> None:
    config = yaml.safe_load((ARGO / "argocd-cm.yaml").read_text())

    assert config["data"] == {"resource.customizations.health.clusterous.io_ClusterousApp": HEALTH}


# Every status that can come about.

SPECS = st.fixed_dictionaries(
    {
        "run": st.sampled_from(["Service", "Batch"]),
        "suspend": st.booleans(),
        "workers": st.fixed_dictionaries(
            {"replicas": st.integers(0, 3)},
            optional={
                "dependsOn": st.just([{"name": "master"}]),
                "strategy": st.just({"paused": True}),
            },
        ),
    }
)
COUNTS = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(0, 4),
        "readyReplicas": st.integers(0, 4),
        "updatedReplicas": st.integers(0, 4),
        "observedGeneration": st.integers(0, 2),
    },
)
TROUBLES = st.sampled_from(
    [None, ("Crash", "crashed with exit code 1"), ("Unschedulable", "0/1 nodes"), ("Evicted", "x")]
)
PODS = st.lists(
    st.tuples(st.sampled_from(["master", "workers"]), TROUBLES, st.booleans(), st.booleans()),
    max_size=3,
)
JOB_ENDS = st.sampled_from([None, None, "Complete", "SuccessCriteriaMet", "Failed"])
PHASES = st.sampled_from(["Bound", "Pending", "Lost"])


DECIDED = st.sampled_from(
    [
        {},
        {},
        {"verdict": Verdict(attempts={"master": 2}, failed="master failed: exit code 42")},
        {"idle": State(suspended=True)},
        {"idle": State(since=datetime(2026, 11, 22, tzinfo=UTC))},
    ]
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[App, FakeApi, Look]:
    """Return an app in the midst of anything, and what is seen of it."""
    spec = draw(SPECS)
    app, api = make_app(**spec), FakeApi()
    if draw(st.booleans()):
        settle(make_app(**spec | {"suspend": False}), api)
        api.run()
    for _ in range(draw(st.integers(0, 2))):
        settle(app, api)
        api.run()
    for (kind, name), body in sorted(api.objects.items()):
        if kind == "Deployment" and draw(st.booleans()):
            body["status"] = body["status"] | draw(COUNTS)
        if kind == "Job" and (end := draw(JOB_ENDS)):
            api.end_job(name, end)
        if kind == "PersistentVolumeClaim":
            body["status"] = {"phase": draw(PHASES)}
    api.pods = tuple(
        make_pod(component, trouble=trouble, deleting=deleting, ended=ended)
        for component, trouble, deleting, ended in draw(PODS)
    )
    return app, api, dataclasses.replace(api.observe(app), **draw(DECIDED))


@st.composite
def told(draw: st.DrawFn) -> dict[str, Any]:
    """Return an object with a status that the operator wrote, at whatever time."""
    app, _, seen = draw(situations())
    found: dict[str, Any] = {}
    if draw(st.booleans()):
        _, _, before = draw(situations())
        found = appstatus.summarize(before, Size(), {}, NOW)
    match draw(st.sampled_from(["seen", "seen", "seen", "stalled", "taken up", "old"])):
        case "seen":
            found = appstatus.summarize(seen, Size(), found, NOW)
        case "stalled":
            found = appstatus.stalled(app.generation, "It cannot be.", found, NOW)
        case "taken up":
            found = appstatus.taken_up(app.generation, found, NOW)
        case _:
            found = appstatus.summarize(seen, Size(), found, NOW)
            return {"metadata": {"generation": app.generation + 1}, "status": found}
    return {"metadata": {"generation": app.generation}, "status": found}


def verdicts(body: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the one word of Ready, kstatus and Argo CD each."""
    conditions = {item["type"]: item["status"] for item in body["status"]["conditions"]}
    return conditions["Ready"], kstatus.compute(body), argo(body)[0]


AGREED = {
    ("True", "Current", "Healthy"),
    ("False", "InProgress", "Progressing"),
    ("False", "Failed", "Degraded"),
    # Nothing is wrong and nothing is on its way; kstatus has no word for it.
    ("False", "InProgress", "Suspended"),
}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(told())
def test_all_say_the_same(body: dict[str, Any]) -> None:
    ready, known, health = verdicts(body)

    if body["status"]["observedGeneration"] != body["metadata"]["generation"]:
        assert (known, health) == ("InProgress", "Progressing")
    else:
        assert (ready, known, health) in AGREED


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(told())
def test_the_three_conditions_tell_one_story(body: dict[str, Any]) -> None:
    conditions = {item["type"]: item["status"] for item in body["status"]["conditions"]}
    story = [conditions[kind] for kind in ("Ready", "Reconciling", "Stalled")]

    assert story.count("True") == (0 if _rests(conditions) else 1)
    assert [item["reason"] for item in body["status"]["conditions"] if not item["reason"]] == []


def _rests(conditions: Mapping[str, str]) -> bool:
    busy = [conditions[kind] for kind in ("Ready", "Reconciling", "Stalled")]
    return conditions.get("Suspended") == "True" and "True" not in busy


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(situations())
def test_ready_is_never_claimed_falsely(situation: tuple[App, FakeApi, Look]) -> None:
    app, api, seen = situation

    found = appstatus.summarize(seen, Size(), {}, NOW)

    conditions = {item["type"]: item for item in found["conditions"]}
    if conditions["Ready"]["status"] == "True" and conditions["Completed"]["status"] != "True":
        assert not app.suspend
        assert all(_runs(one, api) for one in app.components)
        broken = [pod for pod in api.pods if pod.trouble and pod.trouble.reason == "Crash"]
        assert all(pod.deleting or pod.ended for pod in broken)


def _runs(component: Any, api: FakeApi) -> bool:
    """Tell by the API objects alone whether a component has what was asked for."""
    name = f"sim-{component.name}"
    job = api.objects.get(("Job", name))
    if job is not None:
        return bool(job["status"].get("ready") or job["status"].get("succeeded"))
    body = api.objects["Deployment", name]
    counts, wanted = body["status"], component.replicas
    return bool(
        counts["observedGeneration"] >= body["metadata"]["generation"]
        and body["spec"]["replicas"] == wanted
        and counts.get("readyReplicas", 0) >= wanted
        and counts.get("updatedReplicas", 0) >= wanted
        and counts.get("replicas", 0) <= counts.get("updatedReplicas", 0)
    )


def test_the_docs_show_what_flux_is_told() -> None:
    page = (ARGO.parents[1] / "docs" / "gitops.md").read_text()
    text = (ARGO.parent / "flux" / "kustomization.yaml").read_text()
    shown = text[text.index("  healthCheckExprs:") :]

    assert textwrap.dedent(shown) in page

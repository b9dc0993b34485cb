"""How many pods there are to be."""

import dataclasses
from datetime import datetime

from clusterous_operator.decisions import counting
from clusterous_operator.objects.idle import State
from tests.unit.operator.decisions.batches import running
from tests.unit.operator.making import NOW, FakeApi, make_app, settle, summary


def test_a_job_is_ready_when_its_pods_are() -> None:
    app, api = make_app(run="Batch"), FakeApi()
    settle(app, api)
    master = app.components[0]
    before = counting.is_ready(api.observe(app), master)

    api.run()

    assert (before, counting.is_ready(api.observe(app), master)) == (False, True)


def test_a_deployment_that_tells_of_no_ready_pod_has_none() -> None:
    app, api = make_app(), FakeApi()
    settle(app, api)
    body = api.objects["Deployment", "sim-master"]
    body["status"] = {"observedGeneration": body["metadata"]["generation"]}

    assert not counting.is_ready(api.observe(app), app.components[0])


def test_an_idle_app_is_scaled_to_nothing_and_says_why() -> None:
    app = make_app(workers={"replicas": 2}, idle={"afterSeconds": 60})
    api = running(app)
    api.idle = State(since=datetime.fromisoformat(NOW), suspended=True)

    settle(app, api)
    api.run()

    assert api.objects["Deployment", "sim-workers"]["spec"]["replicas"] == 0
    found = summary(app, api)
    assert found["conditions"]["Suspended"]["status"] == "True"
    assert found["conditions"]["Suspended"]["reason"] == "Idle"
    assert found["idle"] == {"since": NOW, "suspended": True}
    assert "clusterous.io/resume" in found["message"]


def test_an_autoscaler_begins_with_what_runs() -> None:
    scaled = {"scaledBy": "Autoscaler", "min": 2, "max": 6}
    app, api = make_app(workers={"replicas": 4}), FakeApi()
    settle(app, api)
    child = api.children()["Deployment", "sim-workers"]
    after = make_app(workers=scaled)
    assert after.workers is not None

    assert counting.first_number(after, after.workers, child) == 4
    assert counting.first_number(after, after.workers, None) == 2
    more = dataclasses.replace(child, state={**child.state, "wanted": 9})
    assert counting.first_number(after, after.workers, more) == 6
    asleep = dataclasses.replace(child, state={**child.state, "wanted": 0})
    assert counting.first_number(after, after.workers, asleep) == 2

"""The plan goes from any state to the wanted one, and then is empty: nothing is written twice."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterous_api import names
from clusterous_api.models import App
from clusterous_operator.decisions import plan
from clusterous_operator.decisions.counting import Size
from clusterous_operator.status import standing
from tests.unit.operator.making import FakeApi, make_app, make_pod, settle, steps_of, summary

WORKERS = {"replicas": 2, "resources": {"requests": {"cpu": "1000m", "memory": "1Gi"}}}


def test_is_empty_once_carried_out() -> None:
    app, api = make_app(workers=WORKERS), FakeApi()

    settle(app, api)

    assert steps_of(api.observe(app)) == []


def test_nothing_is_written_when_the_controllers_have_done_their_work() -> None:
    app, api = make_app(workers=WORKERS), FakeApi()
    settle(app, api)

    api.run()

    assert steps_of(api.observe(app)) == []


def drift(api: FakeApi, name: str = "sim-workers") -> dict[str, Any]:
    body = api.objects["Deployment", name]
    return body


def set_image(api: FakeApi) -> None:
    drift(api)["spec"]["template"]["spec"]["containers"][0]["image"] = "evil:1"


def set_replicas(api: FakeApi) -> None:
    drift(api)["spec"]["replicas"] = 7


def remove_label(api: FakeApi) -> None:
    del drift(api)["metadata"]["labels"]["clusterous.io/component"]


def remove_env(api: FakeApi) -> None:
    drift(api)["spec"]["template"]["spec"]["containers"][0]["env"].pop()


def set_request(api: FakeApi) -> None:
    container = drift(api)["spec"]["template"]["spec"]["containers"][0]
    container["resources"]["requests"]["cpu"] = "2"


def delete_deployment(api: FakeApi) -> None:
    del api.objects["Deployment", "sim-workers"]


def orphan(api: FakeApi) -> None:
    del drift(api)["metadata"]["ownerReferences"]


def set_service_port(api: FakeApi) -> None:
    api.objects["Service", "sim-master"]["spec"]["ports"][0]["targetPort"] = 1


@pytest.mark.parametrize(
    "damage",
    [
        set_image,
        set_replicas,
        remove_label,
        remove_env,
        set_request,
        delete_deployment,
        orphan,
        set_service_port,
    ],
)
def test_mends_drift_with_one_step(damage: Callable[[FakeApi], None]) -> None:
    app, api = make_app(workers=WORKERS), FakeApi()
    settle(app, api)
    whole = copy.deepcopy({key: body["spec"] for key, body in api.objects.items()})

    damage(api)

    assert len(settle(app, api)) == 1
    assert {key: body["spec"] for key, body in api.objects.items()} == whole


def test_leaves_alone_what_others_add() -> None:
    app, api = make_app(workers=WORKERS), FakeApi()
    settle(app, api)

    spec = drift(api)["spec"]
    spec["minReadySeconds"] = 5
    spec["template"]["spec"]["containers"][0]["env"].append({"name": "THEIRS", "value": "1"})

    assert steps_of(api.observe(app)) == []


def test_a_field_that_is_no_longer_wanted_is_noticed() -> None:
    api = FakeApi()
    settle(make_app(workers={**WORKERS, "placement": {"nodeSelector": {"a": "1"}}}), api)

    app = make_app(workers=WORKERS)

    assert len(settle(app, api)) == 1


def test_removes_what_is_no_longer_there_but_never_data() -> None:
    api = FakeApi()
    settle(make_app(workers=WORKERS), api)

    done = settle(make_app(sharedVolume={"claimName": "other"}), api)

    deleted = {one.child.name for one in done if isinstance(one, plan.Delete)}
    assert deleted == {"sim-workers"}
    assert ("PersistentVolumeClaim", "sim-data") in api.objects


def test_a_service_becomes_a_batch() -> None:
    api = FakeApi()
    settle(make_app(), api)

    settle(make_app(run="Batch"), api)

    assert ("Job", "sim-master") in api.objects
    assert ("Deployment", "sim-master") not in api.objects


def test_a_job_is_replaced_only_when_asked_to_run_something_else() -> None:
    api = FakeApi()
    settle(make_app(run="Batch"), api)
    api.pods = (make_pod(),)

    same = settle(
        make_app(run="Batch", components=[{"name": "db", "ports": [{"name": "x", "port": 1}]}]), api
    )
    other = settle(make_app(run="Batch", image="example.org/sim:2"), api)

    assert not any(isinstance(one, plan.Delete) for one in same)
    assert any(isinstance(one, plan.Delete) and one.child.kind == "Job" for one in other)


MENDED: Mapping[str, Mapping[str, Any]] = {
    "a node that does not exist": {"placement": {"nodeSelector": {"disk": "nvme"}}},
    "a drain": {"drain": {"exec": {"command": ["end"]}}},
    "ports": {"ports": [{"name": "x", "port": 1}]},
    "a class": {"placement": {"priorityClassName": "gold"}},
}


@pytest.mark.parametrize("wrong", MENDED.values(), ids=MENDED.keys())
def test_a_batch_that_waits_can_be_mended(wrong: Mapping[str, Any]) -> None:
    api = FakeApi()
    settle(make_app(run="Batch", master=wrong), api)
    api.pods = (make_pod(begun=False, ready=False),)

    done = settle(make_app(run="Batch", master={}), api)

    gone = [one.child.kind for one in done if isinstance(one, plan.Delete)]
    assert gone.count("Job") == 1
    found = api.objects["Job", "sim-master"]["spec"]["template"]["spec"]
    assert "nodeSelector" not in found


def test_a_batch_that_runs_is_left_to_run() -> None:
    api = FakeApi()
    settle(make_app(run="Batch"), api)
    api.pods = (make_pod(),)

    done = settle(make_app(run="Batch", master={"drain": {"exec": {"command": ["end"]}}}), api)

    assert not [one for one in done if isinstance(one, plan.Delete) and one.child.kind == "Job"]


CHANGED: Mapping[str, Mapping[str, Any]] = {
    "its pod": {"name": "part", "drain": {"exec": {"command": ["end"]}}, "replicas": 2},
    "how many are to end": {"name": "part", "replicas": 4},
}


@pytest.mark.parametrize("changed", CHANGED.values(), ids=CHANGED.keys())
def test_a_change_that_does_not_reach_what_runs_counts_from_its_next_run(
    changed: Mapping[str, Any],
) -> None:
    def batch(part: Mapping[str, Any]) -> App:
        until_done = {"dependsOn": [{"name": "part", "until": "Complete"}]}
        return make_app(run="Batch", master=until_done, components=[part])

    def part_of(app: App) -> Any:
        return next(one for one in summary(app, api)["components"] if one["name"] == "part")

    api = FakeApi()
    app = batch({"name": "part", "replicas": 2})
    settle(app, api)
    api.run()
    api.pods = (make_pod("part"), make_pod("part"))
    assert part_of(app)["progress"] == "0 of 2 done"

    app = batch(changed)
    settle(app, api)

    found = part_of(app)
    assert found["desired"] == 2
    assert found["progress"] == f"0 of 2 done; {standing.NEXT_RUN}"


def test_a_limit_that_can_be_changed_counts_at_once() -> None:
    api = FakeApi()
    settle(make_app(run="Batch"), api)
    api.pods = (make_pod(),)
    app = make_app(run="Batch", batch={"backoffLimit": 2})

    settle(app, api)

    assert standing.NEXT_RUN not in summary(app, api)["components"][0]["progress"]


def test_to_suspend_a_batch_that_waits_does_not_make_it_anew() -> None:
    api = FakeApi()
    settle(make_app(run="Batch"), api)

    done = settle(make_app(run="Batch", suspend=True, batch={"backoffLimit": 2}), api)

    assert not any(isinstance(one, plan.Delete) for one in done)


def test_a_service_that_gets_ports_gets_an_address() -> None:
    api = FakeApi()
    settle(make_app(master={}), api)

    settle(make_app(), api)

    assert api.objects["Service", "sim-master"]["spec"]["clusterIP"] != "None"
    assert ("Deployment", "sim-master") in api.objects


def test_what_is_not_there_is_made_whatever_its_version() -> None:
    steps = steps_of(FakeApi().observe(make_app()))

    assert steps
    assert {(one.exists, one.version, one.uid) for one in steps if isinstance(one, plan.Apply)} == {
        (False, 0, "")
    }


def test_what_is_taken_as_it_is_was_applied_as_it_is_wanted_now() -> None:
    app, api = make_app(), FakeApi()
    (first,) = (one for one in settle(app, api) if isinstance(one, plan.Apply)
                and one.manifest["metadata"]["name"] == "sim-master"
                and one.manifest["kind"] == "Deployment")  # fmt: skip
    child = api.children()["Deployment", "sim-master"]
    noted = {**first.manifest["metadata"]["annotations"], names.ANNOTATION_APPLIED: "another"}
    other = {**first.manifest, "metadata": {**first.manifest["metadata"], "annotations": noted}}

    assert plan.mark(first.manifest, child) == plan.mark(dict(first.manifest), child)
    assert plan.mark(first.manifest, child) != plan.mark(other, child)


def test_a_running_job_is_suspended_and_resumed_in_place() -> None:
    api = FakeApi()
    settle(make_app(run="Batch"), api)

    (step,) = settle(make_app(run="Batch", suspend=True), api)

    assert isinstance(step, plan.Patch)
    assert step.body == {"spec": {"suspend": True}}


def test_a_released_volume_is_freed_for_its_next_claim() -> None:
    app, api = make_app(), FakeApi()
    api.cluster = {"volume.yaml": "nfs: {server: 10.0.0.5}"}
    settle(app, api)
    api.objects["PersistentVolume", "clusterous.lab"]["status"] = {"phase": "Released"}

    (step,) = steps_of(api.observe(app))

    assert isinstance(step, plan.Patch)
    assert step.body == {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}}


words = st.text("abc", min_size=1, max_size=3)
quantities = st.sampled_from(["1", "1000m", "250m", "2", "1Gi", "0.5"])
ports = st.lists(
    st.builds(
        lambda name, port, protocol: {"name": name, "port": port, "protocol": protocol},
        words,
        st.integers(1, 99),
        st.sampled_from(["TCP", "UDP"]),
    ),
    max_size=3,
    unique_by=(lambda port: port["name"], lambda port: port["port"]),
)
overlays = st.sampled_from(
    [
        {},
        {"spec": {"priorityClassName": "high"}},
        {"spec": {"containers": [{"name": "side", "image": "s"}]}},
        {"spec": {"volumes": [{"name": "data", "emptyDir": {}}]}},
        {"spec": {"terminationGracePeriodSeconds": 0, "tolerations": []}},
        {"metadata": {"annotations": {"a": ""}}},
    ]
)
components = st.fixed_dictionaries(
    {},
    optional={
        "image": words,
        "command": st.lists(words, max_size=2),
        "env": st.lists(
            st.builds(
                lambda name, value: {"name": name, "value": value}, words, st.just("") | words
            ),
            max_size=3,
            unique_by=lambda item: item["name"],
        ),
        "resources": st.fixed_dictionaries(
            {},
            optional={"requests": st.dictionaries(st.sampled_from(["cpu", "memory"]), quantities)},
        ),
        "ports": ports,
        "template": overlays,
        "placement": st.sampled_from([{}, {"role": "controller"}, {"nodeSelector": {"a": ""}}]),
    },
)
specs = st.fixed_dictionaries(
    {"master": components, "run": st.sampled_from(["Service", "Batch"]), "suspend": st.booleans()},
    optional={
        "workers": components,
        "components": components.map(lambda one: [{**one, "name": "db", "replicas": 2}]),
        "sharedVolume": st.sampled_from(
            [{}, {"claimName": "c"}, {"size": "1Ti"}, {"existing": {"nfs": {"server": "h"}}}]
        ),
    },
)


@settings(max_examples=40, deadline=None)
@given(before=specs, after=specs, cluster=st.booleans())
def test_settles_from_any_app_to_any_other(
    before: dict[str, Any], after: dict[str, Any], cluster: bool
) -> None:
    api = FakeApi()
    api.cluster = {"volume.yaml": "nfs: {server: 10.0.0.5}"} if cluster else {}
    settle(make_app(**before), api, Size())
    api.run()

    app = make_app(**after)
    settle(app, api)
    api.run()
    settle(app, api)

    assert steps_of(api.observe(app)) == []

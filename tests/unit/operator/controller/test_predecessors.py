"""A component gets no workload while pods of the one before may still run."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from clusterous_api import names
from clusterous_operator.cache.observed import Pod
from tests.unit.operator.controller.test_report import KEY, Bench, Server
from tests.unit.operator.making import FakeApi, make_app, make_pod, settle


def left(component: str, *pods: Pod, **spec: Any) -> int:
    api = FakeApi()
    api.pods = pods
    app = make_app(**({"workers": {"replicas": 2}} | spec))
    found = app.component(component)
    assert found is not None
    return len(api.observe(app).predecessors(found))


@pytest.mark.parametrize(
    ("pod", "count"),
    [
        pytest.param(make_pod(), 1, id="stays"),
        pytest.param(make_pod(deleting=True), 1, id="is-ending"),
        pytest.param(make_pod(ended=True), 0, id="has-ended"),
        pytest.param(make_pod("workers"), 0, id="anothers"),
    ],
)
def test_a_master_waits_for_all_that_may_run(pod: Pod, count: int) -> None:
    assert left(names.MASTER, pod) == count


@pytest.mark.parametrize(("deleting", "count"), [(False, 1), (True, 0)])
def test_workers_wait_only_for_pods_that_do_not_end_yet(deleting: bool, count: int) -> None:
    assert left(names.WORKERS, make_pod("workers", deleting=deleting)) == count


def test_pods_that_have_a_workload_are_no_predecessors() -> None:
    api, app = FakeApi(), make_app()
    settle(app, api)
    api.pods = (make_pod(),)
    (master,) = app.components

    assert api.observe(app).predecessors(master) == ()


def pod_body(**metadata: Any) -> dict[str, Any]:
    labels = names.selector("sim", names.MASTER)
    return {
        "metadata": {
            "namespace": "lab",
            "name": "sim-master-1",
            "uid": "u",
            "resourceVersion": "9",
            "labels": labels,
            **metadata,
        },
        "spec": {"containers": []},
        "status": {"phase": "Running"},
    }


class Asked(FakeApi):
    """Notes what is applied, as it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.manifests: list[Mapping[str, Any]] = []

    def apply(self, manifest: Mapping[str, Any]) -> None:
        self.manifests.append(manifest)
        super().apply(manifest)


class House(Bench):
    """A bench whose app has had a master before."""

    def put(self, **metadata: Any) -> None:
        self.store.pods.put(self.store.pods.trim(pod_body(**metadata)))

    def visit(self) -> float | None:
        return asyncio.run(self.reconciler.reconcile(KEY))

    @property
    def has_master(self) -> bool:
        return ("Deployment", "sim-master") in self.api.objects


def test_the_next_master_comes_when_the_pod_of_before_is_gone() -> None:
    house = House()
    house.put(deletionTimestamp="now")
    house.visit()
    house.seconds = 60.0  # however long it takes
    house.visit()
    waited = not house.has_master
    words = house.server.statuses[-1][1]["message"]

    house.store.pods.remove(house.store.pods.trim(pod_body(resourceVersion="10")))
    house.visit()

    assert waited
    assert words == "master: waits until the pods of before have ended"
    assert house.has_master


def test_orphans_are_taken_over_when_nobody_ends_them() -> None:
    house = House()
    house.put()
    again = house.visit()
    waited = not house.has_master

    assert again is not None
    house.seconds += again
    house.visit()

    assert waited
    assert house.has_master


def test_what_is_meant_as_a_change_makes_nothing_anew() -> None:
    """The API server would: a version alone does not tell it that the object must be there."""
    house = House()
    asyncio.run(house.reconciler.reconcile(KEY))
    master = house.api.children()["Deployment", "sim-master"]
    house.store.deployments.put(master)
    asked = Asked()
    house.api = asked

    house.spec["image"] = "example.org/sim:2"
    house.store.apps.put(house.store.apps.trim(house.app({})))
    house.visit()

    (changed,) = [one for one in asked.manifests if one["kind"] == "Deployment"]
    assert changed["metadata"]["uid"] == master.uid


class Changing(FakeApi):
    """While the first workload is applied, the user changes the app, and the cache hears of it."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self.house = house

    def apply(self, manifest: Mapping[str, Any]) -> None:
        super().apply(manifest)
        if manifest["kind"] == "Deployment":
            body = self.house.app({})
            body["metadata"]["generation"] = 2
            self.house.store.apps.put(self.house.store.apps.trim(body))


class Listening(Server):
    """Notes for which version of the app a status is meant."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.meant: list[str] = []

    async def apply(
        self, manifest: Mapping[str, Any], *, force: bool, sub: str = ""
    ) -> Mapping[str, Any]:
        if sub == "status":
            self.meant.append(manifest["metadata"]["resourceVersion"])
        return await super().apply(manifest, force=force, sub=sub)


def test_a_status_about_what_was_asked_before_is_not_written_over_a_newer_version() -> None:
    house = House()
    house.api = Changing(house)
    server = house.server = Listening(house)
    house.restart()

    house.visit()

    assert server.meant == ["1"]

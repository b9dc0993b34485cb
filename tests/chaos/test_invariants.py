"""The checker must complain: each rule is shown a history that breaks it, and one that does not."""

from collections.abc import Iterable
from typing import Any, Self

import pytest

from clusterous_api import names
from tests.chaos import ending, history, invariants
from tests.chaos.history import Moment, World
from tests.chaos.invariants import Failover

APP_UID = "app-1"


class Story:
    """Writes a history, each change at the next version."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def put(
        self, kind: str, name: str, *, type: str = "MODIFIED", at: float = 0.0, **body: Any
    ) -> Self:
        metadata = {"name": name, "uid": f"{kind}-{name}", **body.pop("metadata", {})}
        metadata["resourceVersion"] = str(len(self.moments) + 1)
        found = {"metadata": metadata, **body}
        self.moments.append(history.moment(type, kind, found, at))
        return self

    def app(self, generation: int = 1, *, ready: str = "", told: int = 0, **spec: Any) -> Self:
        status: dict[str, Any] = {}
        if ready:
            one = {"type": "Ready", "status": ready, "observedGeneration": told or generation}
            status = {"observedGeneration": told or generation, "conditions": [one]}
        whole = {"image": "sim:1", "master": {}, "workers": {"replicas": 2}, **spec}
        metadata = {"uid": APP_UID, "generation": generation}
        return self.put(history.APP, "sim", metadata=metadata, spec=whole, status=status)

    def workload(
        self, component: str, count: int, *, ready: int | None = None, image: str = "sim:1"
    ) -> Self:
        done = count if ready is None else ready
        status = {"observedGeneration": 1, "updatedReplicas": done, "readyReplicas": done}
        spec = {"replicas": count, "template": {"spec": {"containers": [{"image": image}]}}}
        return self.put(
            "Deployment",
            f"sim-{component}",
            metadata={"generation": 1},
            spec=spec,
            status=status,
        )

    def pod(
        self,
        component: str,
        name: str,
        *,
        image: str = "sim:1",
        owner: str = "rs-1",
        leaving: bool = False,
        claim: str = "sim-data",
        type: str = "MODIFIED",
    ) -> Self:
        metadata: dict[str, Any] = {
            "labels": names.selector("sim", component),
            "ownerReferences": [{"controller": True, "uid": owner}],
        }
        if leaving:
            metadata["deletionTimestamp"] = "now"
        data = {"name": names.VOLUME_NAME, "persistentVolumeClaim": {"claimName": claim}}
        return self.put(
            "Pod",
            name,
            type=type,
            metadata=metadata,
            spec={"containers": [{"image": image}], "volumes": [data]},
            status={"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        )

    def up(self, image: str = "sim:1") -> Self:
        self.workload("master", 1, image=image).pod("master", "m", image=image)
        self.workload("workers", 2, image=image)
        return self.pod("workers", "w1", image=image).pod("workers", "w2", image=image)


def rules(story: Story, *, stale: bool = False) -> list[str]:
    return [one.rule for one in invariants.check(story.moments, stale=stale)]


def test_a_good_life_breaks_no_rule() -> None:
    story = Story().app().app(ready="False").up().app(ready="True")

    assert rules(story) == []


def test_the_surge_of_an_update_is_allowed_and_no_pod_more() -> None:
    allowed = Story().app().up().pod("workers", "w3")
    broken = Story().app().up().pod("workers", "w3").pod("workers", "w4")

    assert rules(allowed) == []
    assert rules(broken) == ["more pods than asked for"]


def test_a_pod_that_its_set_is_to_remove_is_not_too_many() -> None:
    def story(wanted: int) -> list[str]:
        made = Story().app()
        made.put("ReplicaSet", "old", metadata={"uid": "rs-1"}, spec={"replicas": wanted})
        made.put("ReplicaSet", "new", metadata={"uid": "rs-2"}, spec={"replicas": 2})
        made.pod("workers", "w1").pod("workers", "w2")
        return rules(made.pod("workers", "w3", owner="rs-2").pod("workers", "w4", owner="rs-2"))

    assert story(1) == []
    assert story(2) == ["more pods than asked for"]


def test_what_was_asked_for_before_counts_until_the_newest_is_reached() -> None:
    fewer = {"replicas": 0}
    story = Story().app().up().app(ready="True").app(2, ready="True", told=1, workers=fewer)
    story.pod("workers", "w2")

    late = Story().app().up().app(ready="True").app(2, ready="True", told=1, workers=fewer)
    late.workload("workers", 0).pod("workers", "w1", type="DELETED")
    late.pod("workers", "w2", type="DELETED")
    late.app(2, ready="True", workers=fewer).pod("workers", "w9")

    assert rules(story) == []
    assert rules(late) == ["more pods than asked for"]


def test_pods_of_a_suspended_app_are_too_many() -> None:
    story = Story().app(suspend=True).pod("workers", "w1")

    assert rules(story) == ["more pods than asked for"]


def test_two_masters_break_two_rules() -> None:
    story = Story().app().pod("master", "m1").pod("master", "m2")

    assert rules(story) == ["more pods than asked for", "two masters"]


def test_a_master_of_another_owner_must_be_gone_before_the_next_runs() -> None:
    old = Story().app().pod("master", "m1").pod("master", "m1", leaving=True)
    replaced = [*old.moments]
    old.pod("master", "m2", owner="rs-2")

    assert rules(old) == ["two masters"]
    story = Story()
    story.moments = replaced
    story.pod("master", "m1", type="DELETED").pod("master", "m2", owner="rs-2")
    assert rules(story) == []


def test_kubernetes_may_replace_a_master_that_leaves() -> None:
    story = Story().app().pod("master", "m1", leaving=True).pod("master", "m2")

    assert rules(story) == []


@pytest.mark.parametrize(
    "story",
    [
        pytest.param(
            Story().put("PersistentVolumeClaim", "sim-data", type="DELETED"), id="deleted"
        ),
        pytest.param(
            Story().put("PersistentVolumeClaim", "sim-data", metadata={"deletionTimestamp": "now"}),
            id="being-deleted",
        ),
        pytest.param(
            Story()
            .put("PersistentVolumeClaim", "sim-data")
            .put("PersistentVolumeClaim", "sim-data", metadata={"uid": "another"}),
            id="replaced",
        ),
        pytest.param(
            Story().put("PersistentVolumeClaim", "sim-data", status={"phase": "Lost"}), id="lost"
        ),
        pytest.param(
            Story().put(
                "PersistentVolume",
                "pv",
                spec={"claimRef": {"namespace": "x"}},
                status={"phase": "Released"},
            ),
            id="released",
        ),
        pytest.param(
            Story().pod("workers", "w1").pod("workers", "w2", claim="another"), id="other-claim"
        ),
    ],
)
def test_lost_data_is_told(story: Story) -> None:
    assert rules(story) == ["data lost"]


@pytest.mark.parametrize(
    "story",
    [
        pytest.param(Story().app().app(ready="True"), id="nothing-there"),
        pytest.param(
            Story().app().up().workload("workers", 2, ready=1).app(2, ready="True", image="sim:2"),
            id="of-the-generation-before",
        ),
        pytest.param(
            Story().app().workload("master", 1).pod("master", "m").app(ready="True"),
            id="no-workers",
        ),
        pytest.param(
            Story().app().workload("master", 1).workload("workers", 2).app(ready="True"),
            id="no-pods",
        ),
        pytest.param(
            Story()
            .app()
            .up()
            .app(ready="True")
            .workload("workers", 2, ready=1)
            .app(ready="False")
            .app(ready="True"),
            id="not-since-it-was-not",
        ),
    ],
)
def test_a_false_ready_is_told(story: Story) -> None:
    assert set(rules(story)) == {"false Ready"}


def test_ready_may_come_late() -> None:
    story = Story().app().up().workload("workers", 2, ready=1).app(ready="True")

    assert rules(story) == []


def test_a_claim_about_an_older_generation_is_none() -> None:
    story = Story().app(2, ready="True", told=1)

    assert rules(story) == []


def test_stale_lists_excuse_what_was_true_once() -> None:
    story = Story().app().up().app(ready="True").workload("workers", 2, ready=1)
    story.app(ready="False").app(ready="True")

    assert rules(story, stale=True) == []
    assert rules(Story().app().app(ready="True"), stale=True) == ["false Ready"]


def test_a_batch_is_ready_when_its_job_is_complete() -> None:
    done = {"conditions": [{"type": "Complete", "status": "True"}], "succeeded": 1}
    told = {"type": "Ready", "status": "True", "reason": "Completed"}
    status = {"observedGeneration": 1, "conditions": [told]}
    metadata = {"uid": APP_UID, "generation": 1}
    spec = {"run": "Batch", "image": "sim:1", "master": {}, "workers": {"replicas": 2}}

    def story(job: dict[str, Any]) -> Story:
        template = {"spec": {"containers": [{"image": "sim:1"}]}}
        made = Story().put(history.APP, "sim", metadata=metadata, spec=spec)
        made.pod("master", "m").put("Job", "sim-master", spec={"template": template}, status=job)
        return made.put(history.APP, "sim", metadata=metadata, spec=spec, status=status)

    assert rules(story(done)) == []
    assert rules(story({"failed": 1})) == ["false Ready"]


def test_a_status_that_goes_back_is_told() -> None:
    story = Story().app(1, ready="False").app(2, ready="False").app(2, ready="False", told=1)
    ahead = Story().app(1, ready="False", told=2)

    assert rules(story) == ["status goes back"]
    assert rules(ahead) == ["status goes back"]


def test_one_violation_is_told_once() -> None:
    story = Story().app().pod("master", "m1").pod("master", "m2").pod("master", "m3")

    assert rules(story) == ["more pods than asked for", "two masters"]


@pytest.mark.parametrize(
    ("writers", "failovers", "told"),
    [
        pytest.param("aaabbb", 1, [], id="a-failover"),
        pytest.param("aaabbb", 0, ["two writers"], id="nobody-failed"),
        pytest.param("aabab", 1, ["two writers"], id="the-old-one-writes-again"),
        pytest.param("", 0, [], id="nothing-written"),
    ],
)
def test_writers_may_only_take_turns_by_failover(
    writers: Iterable[str], failovers: int, told: list[str]
) -> None:
    assert [one.rule for one in invariants.one_writer(list(writers), failovers)] == told


def test_a_failover_that_takes_too_long_is_told() -> None:
    def told(seconds: float, *most: float) -> list[str]:
        made = [Failover(held=0.2), Failover(held=seconds, wrote=seconds + 9)]
        return [one.rule for one in invariants.in_time(made, *most)]

    assert told(15.0) == []
    assert told(15.1) == ["failover too slow"]
    assert told(5.1, invariants.GOOD_ORDER_SECONDS) == ["failover too slow"]


def test_what_is_left_behind_is_told_but_not_data() -> None:
    moments = Story().up().put("PersistentVolumeClaim", "sim-data").moments

    left = invariants.leftovers(history.at_the_end(moments))

    assert {one.subject.split()[0] for one in left} == {"Deployment", "Pod"}


def service(name: str, address: str) -> dict[str, Any]:
    metadata = {"name": name, "uid": address, "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {"clusterIP": address, "clusterIPs": [address]}}


def world(address: str, image: str = "sim:1") -> World:
    made = history.at_the_end(Story().app(ready="True").up(image).moments)
    made.objects["Service", "sim-master"] = service("sim-master", address)
    deployment = made.objects["Deployment", "sim-master"]
    aliases = {"hostAliases": [{"ip": address}], "lastTransitionTime": f"of {address}"}
    made.objects["Deployment", "sim-master"] = {**deployment, "spec": aliases}
    return made


def test_endings_are_the_same_whatever_the_addresses() -> None:
    first, second = ending.ending(world("10.0.0.1")), ending.ending(world("10.0.0.2"))

    assert ending.difference(first, second) == []


def test_endings_differ_by_what_matters() -> None:
    wanted = ending.ending(world("10.0.0.1"))
    other = world("10.0.0.1", image="sim:2")
    del other.objects["Pod", "w2"]

    words = ending.difference(wanted, ending.ending(other))

    assert "pods master sim:1 is missing" in words
    assert "pods workers sim:2 is too much" in words
    assert any("Deployment sim-workers" in one and "sim:2" in one for one in words)

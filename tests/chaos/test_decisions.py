"""The rules on what the operator decides by itself: histories that break them, and that do not."""

from typing import Any, Self

import pytest

from clusterous_api import names
from tests.chaos import history
from tests.chaos.test_invariants import APP_UID, Story, rules

RESTARTS = names.ANNOTATION_RESTARTS
POLICY = {"maxRestarts": 2, "rules": [{"action": "RestartApp", "exitCodes": [3]}]}
IDLE = {"afterSeconds": 30, "cpu": "100m"}


class Tale(Story):
    """A story with what an app tells of its ends, its restarts and its rest."""

    def app_says(
        self,
        generation: int = 1,
        *,
        told: int | None = None,
        completed: str = "Running",
        again: dict[str, int] | None = None,
        restarts: int | None = None,
        rest: dict[str, Any] | None = None,
        resume: str = "",
        at: float = 0.0,
        **spec: Any,
    ) -> Self:
        counts = {"master": 0, "workers": 0, **(again or {})}
        entries = [
            {"name": key, **({"policyRestarts": count} if count else {})}
            for key, count in counts.items()
        ]
        condition = {
            "type": "Completed",
            "status": "True" if completed == "Completed" else "False",
            "reason": completed,
        }
        status: dict[str, Any] = {
            "observedGeneration": generation if told is None else told,
            "conditions": [condition],
            "components": entries,
            "restarts": max(counts.values()) if restarts is None else restarts,
        }
        annotations = {names.ANNOTATION_RESUME: resume} if resume else {}
        self.put(
            history.APP,
            "sim",
            at=at,
            metadata={"uid": APP_UID, "generation": generation, "annotations": annotations},
            spec={"image": "sim:1", "master": {}, "workers": {"replicas": 2}, **spec},
            status=status if rest is None else {**status, "idle": rest},
        )
        return self

    def runs(self, component: str, count: int = 1, number: int = 0) -> Self:
        """Tell a Deployment to have so many pods, at an attempt."""
        name = f"sim-{component}"
        self.put(
            "Deployment",
            name,
            metadata={"labels": names.selector("sim", component), "generation": 1},
            spec={"replicas": count, "template": template(number)},
        )
        return self

    def job(self, *, uid: str = "job-1", done: bool = False, type: str = "MODIFIED") -> Self:
        ended = [{"type": "Complete", "status": "True"}] if done else []
        self.put(
            "Job",
            "sim-master",
            type=type,
            metadata={"uid": uid, "labels": names.selector("sim", "master")},
            spec={"template": template(0)},
            status={"conditions": ended},
        )
        return self

    def fails(self, component: str, attempt: int = 0, *, name: str = "p") -> Self:
        """Let a pod's program end badly."""
        ended = {"terminated": {"exitCode": 3}}
        self.put(
            "Pod",
            f"{name}-{component}-{attempt}",
            metadata={
                "labels": names.selector("sim", component),
                "annotations": {RESTARTS: f"{attempt}"},
            },
            spec={"containers": []},
            status={"phase": "Failed", "containerStatuses": [{"state": ended}]},
        )
        return self

    def uses(self, pod: str, cpu: str, at: float) -> Self:
        """Let the metrics API tell of a pod."""
        used = [{"name": "main", "usage": {"cpu": cpu}}]
        self.put(history.FIGURES, pod, at=at, containers=used)
        return self


def template(number: int) -> dict[str, Any]:
    annotations = {RESTARTS: f"{number}"} if number else {}
    return {"metadata": {"annotations": annotations}, "spec": {"containers": [{"image": "sim:1"}]}}


# Restarts.


def beginning(**policy: Any) -> Tale:
    made = Tale().app_says(failurePolicy={**POLICY, **policy})
    return made.runs("master").runs("workers", 2)


def test_a_restart_after_a_failure_breaks_no_rule() -> None:
    tale = beginning().fails("workers").app_says(failurePolicy=POLICY, again={"workers": 1})
    tale.runs("workers", 2, 1)

    assert rules(tale) == []


def test_all_start_again_with_the_number_after_the_highest() -> None:
    tale = beginning().fails("workers").app_says(failurePolicy=POLICY, again={"workers": 1})
    tale.runs("workers", 2, 1).fails("master")
    tale.app_says(failurePolicy=POLICY, again={"master": 2, "workers": 2})

    assert rules(tale.runs("master", 1, 2).runs("workers", 2, 2)) == []


@pytest.mark.parametrize(
    "tale",
    [
        pytest.param(
            beginning().app_says(failurePolicy=POLICY, again={"workers": 1}), id="no-failure"
        ),
        pytest.param(
            beginning()
            .fails("workers")
            .app_says(failurePolicy=POLICY, again={"workers": 1})
            .app_says(failurePolicy=POLICY, again={"workers": 2}),
            id="one-failure-counted-twice",
        ),
        pytest.param(
            beginning()
            .fails("workers")
            .app_says(failurePolicy=POLICY, again={"workers": 1})
            .app_says(failurePolicy=POLICY),
            id="forgotten",
        ),
        pytest.param(
            beginning(maxRestarts=0)
            .fails("workers")
            .app_says(failurePolicy={**POLICY, "maxRestarts": 0}, again={"workers": 1}),
            id="too-many",
        ),
        pytest.param(
            beginning().fails("workers").app_says(again={"workers": 1}), id="without-a-policy"
        ),
        pytest.param(beginning().fails("workers").runs("workers", 2, 1), id="done-before-told"),
        pytest.param(
            beginning()
            .fails("workers")
            .app_says(failurePolicy=POLICY, again={"workers": 1})
            .runs("workers", 2, 1)
            .runs("workers", 2, 0),
            id="back-to-an-earlier-attempt",
        ),
        pytest.param(
            beginning()
            .fails("workers")
            .app_says(failurePolicy=POLICY, again={"workers": 1}, restarts=2),
            id="another-sum",
        ),
        pytest.param(
            beginning().app_says(failurePolicy=POLICY, completed="FailurePolicy"),
            id="ended-without-a-failure",
        ),
    ],
)
def test_restarts_that_are_miscounted_are_told(tale: Tale) -> None:
    assert rules(tale) == ["restarts miscounted"]


def ended_by_policy() -> Tale:
    tale = beginning(maxRestarts=0).fails("workers")
    tale.app_says(failurePolicy={**POLICY, "maxRestarts": 0}, completed="FailurePolicy")
    return tale.runs("master", 0).runs("workers", 0)


def test_counts_begin_anew_with_another_spec_after_the_end() -> None:
    tale = beginning(maxRestarts=1).fails("workers")
    one = {**POLICY, "maxRestarts": 1}
    tale.app_says(failurePolicy=one, again={"workers": 1}).runs("workers", 2, 1)
    tale.fails("workers", 1)
    tale.app_says(failurePolicy=one, again={"workers": 1}, completed="FailurePolicy")
    tale.runs("workers", 0, 1).runs("master", 0)
    tale.app_says(2, told=1, failurePolicy=one, again={"workers": 1}, image="sim:2")
    tale.runs("workers", 2).runs("master").app_says(2, failurePolicy=one, image="sim:2")

    assert rules(tale) == []


def test_a_pod_that_the_cluster_takes_away_has_failed() -> None:
    taken = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    tale = beginning()
    tale.put(
        "Pod",
        "evicted",
        metadata={"labels": names.selector("sim", "workers"), "deletionTimestamp": "now"},
        spec={"containers": []},
        status={"phase": "Running", "conditions": [taken]},
    )

    tale.app_says(failurePolicy=POLICY, again={"workers": 1}).runs("workers", 2, 1)

    assert rules(tale) == []


def test_an_old_failure_does_not_end_the_next_life() -> None:
    tale = ended_by_policy()
    none = {**POLICY, "maxRestarts": 0}
    tale.app_says(2, told=1, failurePolicy=none, image="sim:2").fails("workers")
    tale.app_says(2, failurePolicy=none, image="sim:2", completed="FailurePolicy")

    assert rules(tale) == ["restarts miscounted"]


# Ends.


@pytest.mark.parametrize(
    "tale",
    [
        pytest.param(ended_by_policy().runs("workers", 2), id="told-to-run"),
        pytest.param(
            ended_by_policy().app_says(failurePolicy={**POLICY, "maxRestarts": 0}), id="forgotten"
        ),
    ],
)
def test_what_the_policy_has_ended_may_not_begin_again(tale: Tale) -> None:
    assert rules(tale) == ["began again"]


def done() -> Tale:
    """A batch that has ended, and of which all was cleared away."""
    tale = Tale().app_says(run="Batch").job(type="ADDED")
    tale.job(done=True).app_says(run="Batch", completed="Completed")
    return tale.job(done=True, type="DELETED")


def test_another_run_of_a_batch_is_no_new_beginning() -> None:
    tale = done().app_says(2, told=1, run="Batch", completed="Completed", image="sim:2")

    assert rules(tale.job(uid="job-2", type="ADDED")) == []


@pytest.mark.parametrize(
    "tale",
    [
        pytest.param(done().job(uid="job-2", type="ADDED"), id="by-itself"),
        pytest.param(
            done()
            .app_says(2, told=1, run="Batch", completed="Completed", expose=[])
            .job(uid="job-2", type="ADDED"),
            id="for-a-change-that-it-does-not-run",
        ),
        pytest.param(done().app_says(run="Batch"), id="forgotten"),
        pytest.param(
            done().put(
                "Service",
                "sim-master",
                type="ADDED",
                metadata={"labels": names.selector("sim", "master")},
            ),
            id="a-service-of-what-was-cleared-away",
        ),
    ],
)
def test_a_batch_that_is_done_may_not_begin_again(tale: Story) -> None:
    assert rules(tale) == ["began again"]


def test_pods_of_what_has_ended_are_too_many_once_there_were_none() -> None:
    none = {**POLICY, "maxRestarts": 0}
    tale = beginning(maxRestarts=0)
    tale.pod("workers", "w1").fails("workers")
    tale.app_says(failurePolicy=none, completed="FailurePolicy").pod("workers", "w1", leaving=True)

    assert rules(tale.pod("workers", "w2")) == []
    tale.pod("workers", "w2", type="DELETED").pod("workers", "w1", type="DELETED")
    assert rules(tale.pod("workers", "w3")) == ["more pods than asked for"]


def test_a_done_batch_is_ready_without_its_job_and_in_a_later_generation() -> None:
    ready = {"type": "Ready", "status": "True", "reason": "Completed"}
    completed = {"type": "Completed", "status": "True", "reason": "Completed"}

    def tale(image: str) -> list[str]:
        made = done()
        made.put(
            history.APP,
            "sim",
            metadata={"uid": APP_UID, "generation": 2},
            spec={"run": "Batch", "image": image, "master": {}, "workers": {"replicas": 2}},
            status={"observedGeneration": 2, "conditions": [ready, completed]},
        )
        return rules(made)

    assert tale("sim:1") == []
    assert tale("sim:2") == ["false Ready"]


# Rest.


AWAKE = {"suspended": False}
ASLEEP = {"suspended": True}


def little(at: float = 100.0, cpu: str = "40m") -> Tale:
    """An app of two pods whose figures were told at some time."""
    tale = Tale().app_says(idle=IDLE, rest=AWAKE, at=at - 10)
    tale.pod("master", "m").pod("workers", "w")
    return tale.uses("m", cpu, at - 1).uses("w", cpu, at)


def test_what_used_little_for_so_long_may_be_suspended_and_resumed() -> None:
    tale = little().app_says(idle=IDLE, rest=AWAKE | {"since": "then"}, at=105.0)
    tale.app_says(idle=IDLE, rest=ASLEEP, at=131.0).runs("master", 0)
    tale.pod("master", "m", type="DELETED").pod("workers", "w", type="DELETED")
    tale.app_says(idle=IDLE, rest=ASLEEP, resume="1").runs("master", 1).pod("master", "m2")
    tale.app_says(idle=IDLE, rest=AWAKE | {"resumed": "1"}, resume="1")

    assert rules(tale) == []


@pytest.mark.parametrize(
    "tale",
    [
        pytest.param(little().app_says(idle=IDLE, rest=ASLEEP, at=120.0), id="too-soon"),
        pytest.param(little(cpu="60m").app_says(idle=IDLE, rest=ASLEEP, at=200.0), id="busy"),
        pytest.param(
            little()
            .pod("workers", "w2")
            .app_says(idle=IDLE, rest=AWAKE, at=120.0)
            # One of three pods has no figures.
            .app_says(idle=IDLE, rest=ASLEEP, at=200.0),
            id="not-all-told",
        ),
        pytest.param(
            little()
            .app_says(idle=IDLE, rest=AWAKE, at=120.0)
            .app_says(idle=IDLE, rest=ASLEEP, at=140.0),
            id="not-since-it-was-said-to-be-busy",
        ),
    ],
)
def test_a_false_idleness_is_told(tale: Tale) -> None:
    assert rules(tale) == ["falsely idle"]


def asleep() -> Tale:
    return little().app_says(idle=IDLE, rest=ASLEEP, at=140.0)


@pytest.mark.parametrize(
    "tale",
    [
        pytest.param(asleep().app_says(idle=IDLE, rest=AWAKE), id="status"),
        pytest.param(asleep().runs("workers", 2), id="workload"),
    ],
)
def test_an_idle_app_wakes_only_when_told(tale: Tale) -> None:
    assert rules(tale) == ["began again"]

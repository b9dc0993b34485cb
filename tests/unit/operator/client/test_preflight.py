"""The cluster's fitness is looked at before anything is touched, and again when it changes."""

import asyncio
import copy
from collections.abc import Callable, Coroutine
from typing import Any, cast

from clusterous_operator.client import preflight
from clusterous_operator.client.cluster import BusyError, Cluster, RefusedError
from clusterous_operator.client.preflight import Fitness

NEW = preflight.ours()
NEW["metadata"] = {**NEW["metadata"], "uid": "u", "generation": 1}


def older() -> dict[str, Any]:
    crd = copy.deepcopy(NEW)
    crd["metadata"]["generation"] = 2
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["status"]["properties"]["components"]
    return crd


class FakeCluster:
    """Answers what a test puts in, one after the other; the last answer stays."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers = list(answers)
        self.minor = "35"

    async def release(self) -> dict[str, str]:
        return {"major": "1", "minor": self.minor}

    async def read(self, kind: str, namespace: str | None, name: str) -> dict[str, Any]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def play(
    cluster: FakeCluster, story: Callable[[Fitness, list[str]], Coroutine[Any, Any, None]]
) -> None:
    """Let a fitness look at *cluster* without pausing, and note each change that it tells."""

    async def whole() -> None:
        told: list[str] = []
        found = Fitness(
            cast(Cluster, cluster),
            lambda: told.append("fit" if found.unfit is None else found.unfit.reason),
            pause=lambda seconds: asyncio.sleep(0),
        )
        task = asyncio.create_task(found.run())
        async with asyncio.timeout(10):
            await story(found, told)
        task.cancel()

    asyncio.run(whole())


def test_a_fit_cluster_is_not_worth_a_word() -> None:
    async def story(found: Fitness, told: list[str]) -> None:
        await found.known.wait()

        assert (found.unfit, told) == (None, [])

    play(FakeCluster(NEW), story)


def test_tells_once_of_an_older_crd_and_once_of_its_end() -> None:
    async def story(found: Fitness, told: list[str]) -> None:
        while len(told) < 2:
            await asyncio.sleep(0)

        assert told == ["CRDTooOld", "fit"]

    play(FakeCluster(older(), older(), NEW), story)


def test_is_not_known_before_an_answer() -> None:
    async def story(found: Fitness, told: list[str]) -> None:
        await asyncio.sleep(0.01)

        assert not found.known.is_set()

    play(FakeCluster(BusyError("down")), story)


def test_who_may_not_look_takes_it_for_fit() -> None:
    async def story(found: Fitness, told: list[str]) -> None:
        await found.known.wait()

        assert found.unfit is None

    play(FakeCluster(RefusedError("forbidden")), story)


def test_an_old_kubernetes_is_told_whatever_the_crd() -> None:
    async def story(found: Fitness, told: list[str]) -> None:
        await found.known.wait()

        assert told == ["KubernetesTooOld"]

    cluster = FakeCluster(NEW)
    cluster.minor = "30"
    play(cluster, story)

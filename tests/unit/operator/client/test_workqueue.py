"""The queue: each app once, by one worker, and later after each failure."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from clusterous_operator.client.workqueue import WorkQueue

A, B = ("lab", "a"), ("lab", "b")


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


async def taken(queue: WorkQueue) -> tuple[str, str]:
    async with asyncio.timeout(1):
        key, _ = await queue.take()
        return key


def test_an_app_waits_only_once() -> None:
    async def story() -> None:
        queue = WorkQueue()
        queue.add(A)
        queue.add(A)
        queue.add(B)

        assert [await taken(queue), await taken(queue)] == [A, B]
        assert len(queue) == 0

    run(story())


def test_an_app_at_work_comes_again_afterwards() -> None:
    async def story() -> None:
        queue = WorkQueue()
        queue.add(A)
        await taken(queue)
        queue.add(A)
        during = len(queue)
        queue.done(A)

        assert (during, await taken(queue)) == (0, A)

    run(story())


def test_what_is_urgent_overtakes_and_is_worked_on_once() -> None:
    async def story() -> None:
        queue = WorkQueue()
        queue.add(A)
        queue.add(B)
        queue.add(B, urgent=True)
        queue.add(B, urgent=True)

        assert len(queue) == 2
        assert [await taken(queue), await taken(queue)] == [B, A]
        assert len(queue) == 0
        queue.done(B)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await queue.take()

    run(story())


def test_what_is_urgent_overtakes_also_after_work_in_hand() -> None:
    async def story() -> None:
        queue = WorkQueue()
        queue.add(A)
        await taken(queue)
        queue.add(B)
        queue.add(A, urgent=True)
        queue.done(A)

        assert [await taken(queue), await taken(queue)] == [A, B]

    run(story())


def test_what_is_overtaken_gets_its_turn() -> None:
    async def story() -> None:
        queue = WorkQueue()
        queue.add(A)
        for number in range(10):
            queue.add(("lab", f"urgent-{number}"), urgent=True)

        assert A in [await taken(queue) for _ in range(4)]

    run(story())


def test_an_app_is_never_taken_twice_at_once() -> None:
    async def story() -> None:
        queue = WorkQueue()
        queue.add(A)
        queue.add(A, urgent=True)
        await taken(queue)
        queue.add(A)  # while the entry that was overtaken is still there
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await queue.take()
        queue.done(A)

        assert await taken(queue) == A

    run(story())


def test_the_earliest_request_counts() -> None:
    async def story() -> None:
        queue = WorkQueue()
        queue.add(A, delay=100)
        queue.add(A, delay=0.001)
        queue.add(A, delay=50)

        assert await taken(queue) == A
        queue.done(A)
        assert len(queue) == 0

    run(story())


def test_a_request_at_once_takes_the_place_of_a_later_one() -> None:
    async def story() -> None:
        queue = WorkQueue()
        queue.add(A, delay=0.001)
        queue.add(A)
        await taken(queue)
        queue.done(A)
        await asyncio.sleep(0.005)

        assert len(queue) == 0

    run(story())


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_failures_come_again_later_and_later_up_to_a_ceiling(jitter: float) -> None:
    async def story() -> None:
        queue = WorkQueue(first_delay=10, last_delay=300, jitter=lambda: jitter)
        delays = [queue.failed(A) for _ in range(8)]

        full = [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]
        assert delays == [one * (0.5 + jitter / 2) for one in full]

    run(story())


def test_success_forgets_failures_and_the_server_is_heard() -> None:
    async def story() -> None:
        queue = WorkQueue(first_delay=10, jitter=lambda: 1.0)
        queue.failed(A)
        queue.failed(A)
        queue.succeeded(A)

        assert queue.failed(A) == 10
        assert queue.failed(B, at_least=60) == 60

    run(story())

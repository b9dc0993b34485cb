"""The example's queue: no job is lost, none counts twice, and wrong answers are not believed."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[3] / "examples/montecarlo/image"))

from montecarlo import jobs, master


class Clock:
    def __init__(self) -> None:
        self.now = 1.0

    def __call__(self) -> float:
        return self.now


def make_queue(count: int = 5, clock: Clock | None = None) -> jobs.Queue:
    work = jobs.split(count, samples=100, seed=7)
    return jobs.Queue(work, clock=clock or Clock(), lease=10.0)


def answer(job: jobs.Job, hits: int | None = None) -> jobs.Result:
    found = jobs.throw(job) if hits is None else hits
    return jobs.Result(id=job.id, samples=job.samples, hits=found, worker="w")


def finish(queue: jobs.Queue) -> None:
    while (job := queue.claim()) is not None:
        queue.give_back(answer(job))


def test_the_same_job_always_gives_the_same() -> None:
    job = jobs.split(1, samples=1000, seed=3)[0]

    assert jobs.throw(job) == jobs.throw(job)


def test_all_jobs_end_accepted_and_pi_is_near() -> None:
    queue = jobs.Queue(jobs.split(20, 5000, seed=1), clock=Clock(), lease=10.0)

    finish(queue)

    pi, error = jobs.estimate(queue.accepted.values())
    assert queue.is_done
    assert abs(pi - 3.14159265) < 4 * error


def test_a_job_is_handed_out_again_when_its_lease_ends() -> None:
    clock = Clock()
    queue = make_queue(1, clock)
    lost = queue.claim()
    assert queue.claim() is None

    clock.now += 10.0

    assert queue.claim() == lost
    assert queue.repeated == 1


def test_a_checked_job_needs_two_answers_that_agree() -> None:
    queue = make_queue(1)
    job = queue.claim()
    assert job is not None

    assert not queue.give_back(answer(job, hits=1))
    assert not queue.give_back(answer(job, hits=2))
    assert queue.refused == 1
    assert not queue.give_back(answer(job))
    assert queue.give_back(answer(job))


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(jobs.Result(id=99, samples=100, hits=1, worker="w"), id="no-such-job"),
        pytest.param(jobs.Result(id=1, samples=99, hits=1, worker="w"), id="other-size"),
        pytest.param(jobs.Result(id=1, samples=100, hits=101, worker="w"), id="too-many-hits"),
    ],
)
def test_an_impossible_answer_is_refused(wrong: jobs.Result) -> None:
    queue = make_queue()

    assert not queue.give_back(wrong)
    assert queue.refused == 1


@given(st.lists(st.sampled_from(["claim", "answer", "again", "time"]), max_size=60))
def test_whatever_happens_the_result_is_the_same(steps: list[str]) -> None:
    clock = Clock()
    queue = make_queue(4, clock)
    out: list[jobs.Job] = []
    for step in steps:
        if step == "claim" and (job := queue.claim()) is not None:
            out.append(job)
        elif step == "answer" and out:
            queue.give_back(answer(out.pop()))
        elif step == "again" and out:
            queue.give_back(answer(out[0]))
        elif step == "time":
            clock.now += 11.0

    clock.now += 11.0
    finish(queue)

    expected = {job.id: jobs.throw(job) for job in queue.jobs.values()}
    assert {n: result.hits for n, result in queue.accepted.items()} == expected


def test_a_master_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    before = master.Book(tmp_path, make_queue(3), run="r")
    for _ in range(2):
        job = before.claim()
        assert job is not None
        before.give_back(answer(job))
    journal = tmp_path / "montecarlo/accepted-r.jsonl"
    journal.write_text(journal.read_text() + '{"id": 2, "sam')

    after = master.Book(tmp_path, make_queue(3), run="r")

    assert after.progress()["done"] == 1
    finish(after.queue)
    assert after.queue.is_done


def test_another_run_does_not_take_the_results_of_this_one(tmp_path: Path) -> None:
    first = master.Book(tmp_path, make_queue(2), run="seed-1")
    for _ in range(3):
        job = first.claim()
        assert job is not None
        first.give_back(answer(job))

    assert master.Book(tmp_path, make_queue(2), run="seed-2").progress()["done"] == 0

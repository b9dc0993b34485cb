"""A handful of what `make chaos` does in full: kill points, and weather of each kind."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos import grounds, runs
from tests.chaos.grounds import Grounds
from tests.chaos.runs import Outcome, Reference
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.stories import STORIES

pytestmark = pytest.mark.cluster

SEED = 1


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds]:
    """A control plane whose only operators are those of the scenarios."""
    with grounds.prepared(tmp_path_factory.mktemp("chaos") / "plane") as made:
        yield made


def _words(outcome: Outcome) -> str:
    return "\n".join([outcome.trouble, *map(str, outcome.violations)])


def _told(place: Grounds, name: str) -> Reference:
    reference, outcome = runs.undisturbed(place, STORIES[name], SEED, clear=False)
    assert outcome.is_good, _words(outcome)
    return reference


def test_ends_the_same_whatever_goes_wrong(ready: Grounds) -> None:
    story = STORIES["create"]
    weather = [one for one in SCENARIOS if one.name == "everything-shortly"]
    with ThreadPoolExecutor(3) as pool:
        first, second = pool.map(lambda name: _told(ready, name), ("create", "short"))
        told = {"create": first, "short": second}
        points = [(1, False), (2, True), (3, True), (4, False), (5, True)]

        def killed(point: tuple[int, bool]) -> Outcome:
            number, late = point
            return runs.killed(ready, story, first, SEED, number=number, late=late, clear=False)

        begun = [pool.submit(killed, one) for one in points]
        begun += [
            pool.submit(runs.troubled, ready, one, told[one.story], SEED, clear=False)
            for one in weather
        ]
        outcomes = [one.result() for one in begun]

    bad = [f"{one.name}: {_words(one)}" for one in outcomes if not one.is_good]
    assert not bad, "\n".join(bad)
    assert sum(one.struck is not None for one in outcomes) == len(points)

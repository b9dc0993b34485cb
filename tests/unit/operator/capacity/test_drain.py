"""Which pods go first when there are to be fewer."""

from decimal import Decimal

from clusterous_operator.cache.observed import Pod
from clusterous_operator.capacity import drain
from clusterous_operator.capacity.drain import IDLE_COST
from tests.unit.operator.making import make_pod


def worker(name: str, cost: int = 0, **more: object) -> Pod:
    return make_pod("workers", name=name, cost=cost, **more)


CPU = {"a": Decimal("0.9"), "b": Decimal("0.01"), "c": Decimal("0.5"), "d": Decimal(0)}


def test_those_that_do_least_go_first() -> None:
    pods = [worker(name) for name in "abcd"]

    assert drain.costs(pods, CPU, keep=2) == {"b": IDLE_COST, "d": IDLE_COST}


def test_a_mark_of_an_earlier_time_is_taken_off() -> None:
    pods = [worker("a", IDLE_COST), worker("b"), worker("d", IDLE_COST)]

    assert drain.costs(pods, CPU, keep=2) == {"a": 0}


def test_pods_that_are_not_ready_go_anyway() -> None:
    pods = [worker("a"), worker("b"), worker("c", ready=False)]

    assert drain.costs(pods, CPU, keep=2) == {}


def test_nothing_is_marked_without_figures_about_all() -> None:
    pods = [worker("a"), worker("unknown")]

    assert drain.costs(pods, CPU, keep=1) == {}
    assert drain.costs(pods, None, keep=1) == {}


def test_leaves_costs_alone_that_the_program_minds_itself() -> None:
    pods = [worker("a"), worker("b", cost=7)]

    assert drain.costs(pods, CPU, keep=1) == {}

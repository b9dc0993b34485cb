"""The running sums are what adding all up anew would give, whatever came and went."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from clusterous_operator.observed import Pod
from clusterous_operator.usage import Usage
from tests.unit.operator.making import make_pod


def plain(usage: Usage) -> dict[str, object]:
    """Return the sums without what is nothing."""
    return {
        node: (load.pods, {k: v for k, v in load.requests.items() if v}, +load.ports)
        for node, load in usage.loads.items()
    }


pods = st.builds(
    make_pod,
    node=st.sampled_from([None, "a", "b"]),
    requests=st.dictionaries(
        st.sampled_from(["cpu", "gpu"]), st.decimals(0, 9, places=3), max_size=2
    ),
    ports=st.frozensets(st.tuples(st.just("TCP"), st.integers(80, 82)), max_size=2),
    ended=st.booleans(),
    placing=st.none() | st.just({}),
)


@given(st.lists(pods, max_size=8), st.data())
def test_what_went_leaves_no_trace(some: list[Pod], data: st.DataObject) -> None:
    gone = data.draw(st.lists(st.sampled_from(some), unique_by=id) if some else st.just([]))
    left = [one for one in some if one not in gone]
    usage = Usage(some)

    rest = usage.without(gone)
    for one in gone:
        usage.remove(one)

    assert plain(rest) == plain(usage) == plain(Usage(left))
    assert list(rest.waiting) == list(usage.waiting) == list(Usage(left).waiting)


def test_what_is_left_out_stays_in_the_sum_that_it_was_left_out_of() -> None:
    pod = make_pod(node="a", requests={"cpu": Decimal(1)})
    usage = Usage([pod])

    usage.without([pod])

    assert plain(usage) == plain(Usage([pod]))

"""The running sums are what adding all up anew would give, whatever came and went."""

import dataclasses
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clusterous_operator.cache.observed import Pod
from clusterous_operator.cache.store import Store
from clusterous_operator.objects.usage import Usage
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


some_pods = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y"]), pods), max_size=4
)


@given(st.lists(st.tuples(st.sampled_from(["put", "remove", "replace"]), some_pods), max_size=12))
def test_the_cache_counts_what_it_holds(changes: list[tuple[str, list[Any]]]) -> None:
    store, version = Store(), 0
    for kind, drawn in changes:
        batch = []
        for name, namespace, pod in drawn:
            version += 1
            app = None if kind == "replace" else "sim"
            known = {"name": name, "namespace": namespace, "version": version}
            batch.append(dataclasses.replace(pod, **known, app=app))
        if kind == "replace":
            store.others.replace(batch, None, version)
        for one in batch:
            if kind == "put":
                store.pods.put(one)
            elif kind == "remove":
                store.pods.remove(one)

    held = [*store.pods.all(), *store.others.all()]
    assert plain(store.usage) == plain(Usage(held))
    assert len(list(store.usage.waiting)) == len(list(Usage(held).waiting))

"""Annotations are anybody's to write; none of them may be more than a number that is not one."""

from typing import Any

import pytest

from clusterous_api import names
from clusterous_operator.cache import observed
from clusterous_operator.objects import annotation, failure

NO_NUMBERS: tuple[Any, ...] = ("", "x", "²", "①", "٣x", "--5", "+5", "1.5", " 5", "9" * 5000, None)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("12", 12), ("-7", -7)])
def test_reads_whole_numbers(text: str, number: int) -> None:
    assert annotation.number(text) == number


@pytest.mark.parametrize("text", NO_NUMBERS, ids=lambda text: repr(text)[:10])
def test_what_is_no_number_counts_as_none(text: Any) -> None:
    keys = (names.ANNOTATION_RESTARTS, names.ANNOTATION_LIFE, names.ANNOTATION_DELETION_COST)
    metadata = {"name": "x", "annotations": dict.fromkeys(keys, text)}
    template = {"metadata": metadata}
    failed = {"phase": "Failed", "reason": "Evicted"}

    assert annotation.number(text) == 0
    assert failure.attempt(metadata) == failure.life(metadata) == 0
    pod = observed.pod({"metadata": metadata, "status": failed})
    assert (pod.cost, pod.fallen and pod.fallen.attempt) == (0, 0)
    child = observed.child(
        observed.DEPLOYMENT, {"metadata": {"name": "x"}, "spec": {"template": template}}
    )
    assert not {"attempt", "life"} & child.state.keys()

"""What is known of one kind of thing in EC2."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.region.aws.request import Answer, Request
from tests.region.aws.world import World

Act = Callable[[World, Request, dict[str, str]], Answer]
Check = Callable[[World, Any, Mapping[str, str]], None]


def _nothing(_: Any) -> Iterator[str]:
    return iter(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """*name* is the one of ARNs and tags; *made_by* are the calls that make one, with its tags.

    *unknown* is the error for an id that is not known (yet), *left* tells what there is of it that
    a fresh account does not have. What moto does not do, or allows, *answers* and *rules* do; of a
    kind that it does not know at all, *own* are the ids.
    """

    name: str
    prefix: str
    noun: str = ""
    made_by: tuple[str, ...] = ()
    unknown: str | None = None
    left: Callable[[Any], Iterable[str]] = _nothing
    own: Callable[[Any], Iterable[str]] = _nothing
    answers: Mapping[str, Act] = field(default_factory=dict)
    rules: Mapping[str, Check] = field(default_factory=dict)

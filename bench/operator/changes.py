"""From a change of an app to the first write of a child: by the API server's own clock."""

import asyncio
import bisect
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.operator import apps, client, statistic, testbed
from bench.operator.audit import Write
from bench.operator.client import Client
from clusterous_api import names

_CHILDREN = frozenset({"deployments", "services"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A change and the first write of a child after it; times are the API server's."""

    app: str
    changed: Write
    written: Write

    @property
    def seconds(self) -> float:
        """From the change's arrival at the API server until the child is written."""
        return self.written.answered - self.changed.received

    @property
    def own_seconds(self) -> float:
        """From the answer to the change until the child's write arrives: the operator's share."""
        return max(self.written.received - self.changed.answered, 0.0)

    @property
    def server_seconds(self) -> float:
        """What the API server took for the change itself: how busy it was."""
        return self.changed.answered - self.changed.received


class Changer:
    """Changes one app after the other: there in the odd turns, back in the even ones."""

    def __init__(
        self, administrator: Client, count: int, change: Callable[[int], Mapping[str, Any]]
    ) -> None:
        self._administrator = administrator
        self._count = count
        self._change = change
        self._made = 0

    async def go_on(self, rate: float, stop: asyncio.Event) -> None:
        """Change apps at an even pace until told to stop."""
        began, first = time.perf_counter(), self._made
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                group.create_task(self._make())
                due = began + (self._made - first) / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))

    async def _make(self) -> None:
        turn, index = divmod(self._made, self._count)
        self._made += 1
        body = {"spec": self._change(turn + 1)}
        where = f"{apps.APPS}/{apps.name(index)}"
        await self._administrator.call("PATCH", where, body, content=client.MERGE)


def paired(writes: Iterable[Write], operator: str) -> tuple[list[Answered], int]:
    """Pair each change with the first write of a child after it; count those that have none."""
    children: dict[str, list[Write]] = defaultdict(list)
    changes: list[Write] = []
    for one in sorted(writes, key=lambda one: one.received):
        if one.user == operator and one.resource in _CHILDREN:
            children[_owner(one.name)].append(one)
        elif _is_change(one):
            changes.append(one)
    pairs = [(one, _first_after(one, children[one.name])) for one in changes]
    found = [
        Answered(app=one.name, changed=one, written=write)
        for one, write in pairs
        if write is not None
    ]
    return found, len(pairs) - len(found)


def _is_change(one: Write) -> bool:
    is_ours = one.user == testbed.ADMINISTRATOR and one.verb == "patch"
    return is_ours and one.resource == names.PLURAL


def _owner(child: str) -> str:
    return child.rpartition("-")[0]


def _first_after(change: Write, children: Sequence[Write]) -> Write | None:
    index = bisect.bisect_left(children, change.received, key=lambda one: one.received)
    return children[index] if index < len(children) else None


def told(found: Sequence[Answered], unanswered: int) -> Mapping[str, object]:
    """Return what is told of a stream of changes, in seconds."""
    return {
        "unanswered": unanswered,
        "change_to_child_written": statistic.summary([one.seconds for one in found]),
        "operator_alone": statistic.summary([one.own_seconds for one in found]),
        "server_for_the_change": statistic.summary([one.server_seconds for one in found]),
    }


def within(found: Iterable[Answered], began: float, ended: float) -> list[Answered]:
    """Return those whose change arrived in a span of time."""
    return [one for one in found if began <= one.changed.received <= ended]

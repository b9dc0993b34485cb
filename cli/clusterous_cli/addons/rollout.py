"""How far the add-ons of a cluster are, by what its controller saw. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clusterous_cli.addons import addon

View = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How far one add-on is; *words* say what is still to come."""

    ready: bool
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the controller saw of a Deployment, or of its like."""

    mark: str
    name: str
    generation: int
    observed: int
    wanted: int
    updated: int
    available: int
    total: int

    @property
    def is_out(self) -> bool:
        """Whether all its pods are of the newest template and available, and no others are left."""
        counts = {self.updated, self.available, self.total}
        return self.observed >= self.generation and self.wanted > 0 and counts == {self.wanted}


def follows(view: View) -> bool:
    """Whether the controller looks for changes; those of older releases do not."""
    return "addons" in view


def stuck(view: View) -> str:
    """Return what keeps the controller from taking what it should; nothing if it has."""
    return str(view.get("stuck", "")).strip()


def state(view: View, name: str, digest: str, *, pods: bool = True) -> State:
    """Return how far the add-on, with *pods* or without, is on its way to *digest*."""
    if view["addons"].get(name) != digest:
        return State(ready=False, words=stuck(view) or "waits for the controller to take it")
    if not pods:
        return State(ready=True, words="ready")
    parts = [one for one in workloads(view) if addon.labelled(one.mark) == name]
    newest = [one for one in parts if one.mark == addon.label(name, digest)]
    behind = [one for one in newest if not one.is_out]
    if behind:
        one = behind[0]
        new = min(one.updated, one.available)
        late = "" if new < one.wanted or not new else ", what was before is still there"
        return State(ready=False, words=f"{one.name}: {new} of {one.wanted} ready{late}")
    if not newest or len(newest) < len(parts):
        return State(ready=False, words="starting")
    return State(ready=True, words="ready")


def workloads(view: View) -> list[Workload]:
    """Read the lines in which the controller tells of workloads; what is no such line is none."""
    found = []
    for line in str(view.get("rollouts", "")).splitlines():
        mark, _, rest = line.partition(" ")
        name, _, counts = rest.partition(" ")
        numbers = counts.split()
        if len(numbers) == 6 and all(number.isdecimal() for number in numbers):
            generation, observed, wanted, updated, available, total = map(int, numbers)
            found.append(
                Workload(
                    mark=mark, name=name, generation=generation, observed=observed, wanted=wanted,
                    updated=updated, available=available, total=total,
                )
            )  # fmt: skip
    return found

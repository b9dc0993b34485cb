"""How many there are of a component: from how many to how many, and what says so. Pure but `scale`.

What is changed is `replicas`, which nobody else's field is: with its file, `run` brings the number
back that stands there.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.program.running.parts import Part
from clusterous_cli.reach.kube import Api, Object, apps_path

FILL: Final = "fill"  # in place of a number: as many as the cluster holds
MOST: Final = 10000  # as the CRD has it

Operation = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """What came of it: how many there were to be, and are to be now."""

    app: str
    component: str
    before: str
    after: str

    @property
    def is_changed(self) -> bool:
        return self.before != self.after


def number(text: str) -> int | None:
    """Read how many are wanted; None: as many as the cluster holds."""
    if text == FILL:
        return None
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) > MOST:
        raise UserError(f"{text} is no number of pods: give 0 to {MOST}, or {FILL}.")
    return int(text)


def one_of(there: Sequence[Part]) -> Part:
    """Return which of an app's components is meant where none is named: its workers."""
    able = [one for one in there if one.title != names.MASTER]
    workers = [one for one in able if one.title == names.WORKERS]
    found = workers or able or list(there)
    if len(found) == 1:
        return found[0]
    shown = ", ".join(one.name for one in found)
    raise UserError(f"{found[0].app} has several components: {shown}. Name one of them.")


def wanted(part: Part) -> str:
    """Return how many of it are wanted now, in words."""
    spec = part.spec
    if part.title == names.MASTER:
        return "1"
    if part.title == names.WORKERS:
        return str(spec["replicas"]) if "replicas" in spec else FILL
    return FILL if spec.get("fill") else str(spec.get("replicas", 1))


def check(part: Part) -> None:
    """Refuse what has no number of its own."""
    if part.title == names.MASTER:
        raise UserError(
            f"{part.app} has one {part.name}, and never more: its workers and components are"
            f" scaled. `clusterous suspend {part.app}` ends all of it for now."
        )
    if part.spec.get("scaledBy") == "Autoscaler":
        raise UserError(
            f"An autoscaler says how many {part.name} of {part.app} there are (scaledBy:"
            " Autoscaler): give that one other bounds."
        )


def operations(body: Object, part: Part, count: int | None) -> list[Operation]:
    """Return what of the app in *body* is changed, as a JSON patch; nothing if it is so already."""
    if wanted(part) == (FILL if count is None else str(count)):
        return []
    if part.title == names.WORKERS:
        place = "/spec/workers/replicas"
        return [_set(place, count)] if count is not None else [_remove(place)]
    titles = [one["name"] for one in body["spec"].get("components") or ()]
    place = f"/spec/components/{titles.index(part.title)}"
    # Who puts a component before it meanwhile is told, and no other is changed in its stead.
    same = {"op": "test", "path": f"{place}/name", "value": part.title}
    if count is None:
        gone = [_remove(f"{place}/replicas")] if "replicas" in part.spec else []
        return [same, *gone, _set(f"{place}/fill", True)]
    gone = [_remove(f"{place}/{key}") for key in ("fill", "min", "max") if key in part.spec]
    return [same, *gone, _set(f"{place}/replicas", count)]


def _set(path: str, value: object) -> Operation:
    return {"op": "add", "path": path, "value": value}


def _remove(path: str) -> Operation:
    return {"op": "remove", "path": path}


def scale(api: Api, part: Part, body: Object, count: int | None) -> Scaled:
    """Let there be *count* of *part* (None: as many as the cluster holds)."""
    check(part)
    if changes := operations(body, part, count):
        api.edit(apps_path(part.namespace, part.app), changes)
    return Scaled(
        app=part.app,
        component=part.name,
        before=wanted(part),
        after=FILL if count is None else str(count),
    )

"""What an app asks for; read here anew, since the operator's own code is what is judged. Pure."""

import json
import math
from dataclasses import dataclass, field
from typing import Any

from clusterous_api import names
from tests.chaos import history
from tests.chaos.history import DELETED, Body, Moment

_SURGE = "25%"  # of a Deployment that does not say otherwise
# What a batch runs; nothing else runs it again.
_RUN = ("image", "command", "args", "env", "resources", "template", "securityContext")


def components(app: Body) -> dict[str, Body]:
    """Return the components of an app by name."""
    spec = app["spec"]
    found = {one["name"]: one for one in spec.get("components") or ()}
    for name in (names.MASTER, names.WORKERS):
        if spec.get(name) is not None:
            found[name] = spec[name]
    return found


def desired(app: Body, component: str) -> int | None:
    """Return how many pods a component asks for; None where only the cluster knows."""
    spec = components(app).get(component)
    if spec is None or app["spec"].get("suspend"):
        return 0
    if component == names.WORKERS:
        count: int | None = spec.get("replicas")
        return count
    return int(spec.get("replicas", 1))


def surge(app: Body, component: str, count: int) -> int:
    """Return how many pods more than *count* an update may make."""
    if component == names.MASTER or count == 0:
        return 0
    strategy = components(app).get(component, {}).get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return 0
    rolling = strategy.get("rollingUpdate") or strategy
    told = rolling.get("maxSurge", _SURGE)
    if isinstance(told, str):
        return math.ceil(count * int(told.removesuffix("%")) / 100)
    return int(told)


def image(app: Body, component: str) -> str:
    """Return the image that a component asks for."""
    own = components(app)[component].get("image")
    return str(own or app["spec"].get("image", ""))


def is_batch(app: Body) -> bool:
    """Tell whether it is to end."""
    return bool(app["spec"].get("run") == "Batch")


def run(app: Body) -> str:
    """Return what a batch is to run; another one is another run."""
    spec = app["spec"]
    told: dict[str, Any] = {
        name: {key: one.get(key) for key in _RUN} for name, one in components(app).items()
    }
    shared = {key: spec.get(key) for key in _RUN}
    path = (spec.get("sharedVolume") or {}).get("subPath")
    return json.dumps([told, shared, path], sort_keys=True)


def counted(app: Body) -> tuple[list[str], bool]:
    """Return the components whose end makes a batch, and whether any one of them is enough."""
    policy = (app["spec"].get("batch") or {}).get("successPolicy") or {}
    return policy.get("components") or [names.MASTER], policy.get("operator") == "Any"


def is_told(app: Body) -> bool:
    """Tell whether the status is about the newest generation."""
    told = (app.get("status") or {}).get("observedGeneration")
    return bool(told == app["metadata"]["generation"])


# What it may not do before it is asked for something else.


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """That an app runs no more by the operator's own decision, and what it asked for then."""

    why: str
    asks: str


def rest(app: Body) -> Rest | None:
    """Return the rest that the status tells of: an end, or a suspension for being idle."""
    if not is_told(app):
        return None
    why = history.condition(app, "Completed").get("reason", "Running")
    if why != "Running":
        return Rest(why=why, asks=_asks(app, why))
    idle = app["status"].get("idle") or {}
    if idle.get("suspended") and _word(app) in ("", idle.get("resumed", "")):
        return Rest(why="Idle", asks=_asks(app, "Idle"))
    return None


def _asks(app: Body, why: str) -> str:
    generation = str(app["metadata"]["generation"])
    if why == "Idle":
        return f"{generation}/{_word(app)}"
    return run(app) if is_batch(app) else generation


def _word(app: Body) -> str:
    """Return the word by which a person resumes it."""
    annotations = app["metadata"].get("annotations") or {}
    return str(annotations.get(names.ANNOTATION_RESUME, ""))


@dataclass(slots=True)
class Rests:
    """Which apps rest; each stays so until it asks for something else, whatever its status says."""

    _known: dict[str, Rest] = field(default_factory=dict)  # by uid

    def take(self, moment: Moment) -> None:
        """Go on by one change of an app."""
        app = moment.body
        uid = app["metadata"]["uid"]
        if moment.type == DELETED:
            self._known.pop(uid, None)
        elif (found := rest(app)) is not None:
            self._known[uid] = found
        elif not self.of(app):
            self._known.pop(uid, None)

    def of(self, app: Body) -> str:
        """Return why an app is to rest; nothing if it is to run."""
        known = self._known.get(app["metadata"]["uid"])
        return known.why if known is not None and known.asks == _asks(app, known.why) else ""

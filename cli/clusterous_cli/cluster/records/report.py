"""What a machine says of itself: believed as far as it has the right form, and no further. Pure.

A machine that was broken into may write anything into its own report. What comes out of here has
the types that the rest expects, is short, and holds one host key or none.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

LARGEST_BYTES: Final = 256 * 1024
LONGEST_TEXT: Final = 4000
MOST_ENTRIES: Final = 1000
UNREADABLE: Final[Mapping[str, Any]] = {
    "phase": "unreadable",
    "error": "The report of this machine is not in the form that a machine of ours writes.",
}
# One key, with nothing before or behind it: what else stood on the line would count for others.
HOST_KEY: Final = re.compile(
    r"(ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)) ([A-Za-z0-9+/]+={0,2})"
)
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
LARGEST_NUMBER: Final = 2**63 - 1
# Halves of a character, which JSON can spell and no file holds.
HALVES: Final = re.compile(r"[\ud800-\udfff]")
PHASE: Final = re.compile(r"[A-Za-z][A-Za-z0-9 _-]{0,40}")


def read(raw: bytes) -> Mapping[str, Any]:
    """Return the report in *raw*; `unreadable` where it is none."""
    if len(raw) > LARGEST_BYTES:
        return UNREADABLE
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError):
        return UNREADABLE
    if not isinstance(said, dict):
        return UNREADABLE
    phase = _text(said.get("phase"))
    read: dict[str, Any] = {
        "phase": phase if PHASE.fullmatch(phase) else UNREADABLE["phase"],
        "error": _text(said.get("error")),
        "host_key": host_key(said.get("host_key")),
        "role": _text(said.get("role")),
        "time": _time(said.get("time")),
    }
    state = said.get("state")
    if isinstance(state, dict):  # of the volume that the controller's state lies on
        read["state"] = {key: _text(state.get(key)) for key in ("volume", "phase")}
    view = said.get("cluster")
    return {**read, "cluster": _view(view)} if isinstance(view, dict) else read


def host_key(said: object) -> str:
    """Return the key in *said*, whose blob must be of the kind that it names; else nothing."""
    found = HOST_KEY.fullmatch(said) if isinstance(said, str) else None
    if found is None:
        return ""
    kind, text = found.groups()
    try:
        blob = base64.b64decode(text, validate=True)
    except binascii.Error:
        return ""
    return str(said) if blob[4 : 4 + len(kind)] == kind.encode() else ""


def _view(said: Mapping[str, Any]) -> dict[str, Any]:
    """The controller's view of the cluster."""
    listed = said.get("containers")
    containers = listed if isinstance(listed, list) else []
    # Controllers of older releases follow no add-ons, and count the operator's pods instead.
    follows = {"addons": _texts(said["addons"])} if "addons" in said else {}
    volume = said.get("volume")
    served = {"volume": _volume(volume)} if isinstance(volume, dict) else {}
    full = said.get("kept")  # percent of the volume with the state
    return {
        **follows,
        **served,
        **({"kept": full} if type(full) is int and 0 <= full <= 100 else {}),
        # A node that is cordoned says `Ready,SchedulingDisabled`: it is ready all the same.
        "nodes": {name: state.split(",")[0] for name, state in _texts(said.get("nodes")).items()},
        "operator": _texts(said.get("operator")),
        "rollouts": _text(said.get("rollouts")),
        "stuck": _text(said.get("stuck")),
        "waiting": _text(said.get("waiting")),
        "chart": _text(said.get("chart")),
        "unsaved": _text(said.get("unsaved")),  # why there are no new snapshots of what it knows
        "containers": [_container(one) for one in containers[:50] if isinstance(one, dict)],
    }


def _volume(said: Mapping[str, Any]) -> dict[str, Any]:
    """What the volume server says of the shared volume."""
    texts = {key: _text(said.get(key)) for key in ("volume", "phase", "reason", "error")}
    sizes = {key: _number(said.get(key)) or 0 for key in ("size", "free")}
    filled = _number(said.get("filled"))  # which servers of older releases do not tell
    sizes |= {} if filled is None else {"filled": filled}
    return {**texts, **sizes, "made": said.get("made") is True}


def _container(said: Mapping[str, Any]) -> dict[str, Any]:
    texts = {key: _text(said.get(key)) for key in ("pod", "mark", "container", "reason", "said")}
    return {**texts, "restarts": _number(said.get("restarts")) or 0}


def _texts(said: object) -> dict[str, str]:
    if not isinstance(said, dict):
        return {}
    return {_text(key)[:253]: _text(value) for key, value in list(said.items())[:MOST_ENTRIES]}


def _number(said: object) -> int | None:
    return said if type(said) is int and 0 <= said <= LARGEST_NUMBER else None


def _time(said: object) -> str:
    """Return the time in *said*, if there is such a day; else nothing."""
    text = _text(said)
    try:
        datetime.fromisoformat(text if TIME.fullmatch(text) else "")
    except ValueError:
        return ""
    return text


def _text(said: object) -> str:
    if not isinstance(said, str):
        return ""
    return HALVES.sub("\N{REPLACEMENT CHARACTER}", said[:LONGEST_TEXT])

"""The API server's own account of who wrote what and when: the audit log."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One write: times are seconds since the epoch."""

    user: str
    verb: str
    resource: str  # with its subresource, as in clusterousapps/status
    namespace: str
    name: str
    code: int
    received: float
    answered: float


def size(path: Path) -> int:
    """Return how far the log has come: what is written later is read from there."""
    return path.stat().st_size if path.exists() else 0


def read(path: Path, since: int = 0) -> list[Write]:
    """Return the writes noted after *since*."""
    return [] if not path.exists() else list(_parsed(path, since))


def _parsed(path: Path, since: int) -> Iterator[Write]:
    with path.open("rb") as log:
        log.seek(since)
        for line in log:
            if line.endswith(b"\n"):  # the last one may be half there
                yield parse(json.loads(line))


def parse(event: Mapping[str, Any]) -> Write:
    """Cut an event of the log down."""
    target = event.get("objectRef") or {}
    sub = target.get("subresource")
    return Write(
        user=event["user"]["username"],
        verb=event["verb"],
        resource=target.get("resource", "") + (f"/{sub}" if sub else ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=(event.get("responseStatus") or {}).get("code", 0),
        received=_time(event["requestReceivedTimestamp"]),
        answered=_time(event["stageTimestamp"]),
    )


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def by(user: str, writes: Iterable[Write]) -> list[Write]:
    """Return the writes of one user."""
    return [one for one in writes if one.user == user]


def counted(writes: Iterable[Write]) -> dict[str, int]:
    """Return how many writes there were, by verb and resource; refused ones by their code, too."""
    found = Counter(f"{one.verb} {one.resource}{_refused(one)}" for one in writes)
    return dict(sorted(found.items()))


def _refused(write: Write) -> str:
    return f" ({write.code})" if write.code >= 400 else ""

"""Collects on a shared bucket what no image needs any more, while nobody pushes from anywhere."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from clusterous_cli.addons import registry
from clusterous_cli.cluster.file.registry import NAME
from clusterous_cli.images.stock import turns
from clusterous_cli.images.stock.shared import Shared
from clusterous_cli.reach import ssh
from clusterous_cli.reach.session import Session
from clusterous_cli.system import shell
from clusterous_cli.system.wait import Pauses
from clusterous_cli.terminal.lines import Lines
from clusterous_cli.turns import lock

# By its path: sudo has one of its own, which differs between systems.
KUBECTL: Final = ("sudo", "/usr/local/bin/k3s", "kubectl", "--namespace", registry.SPACE)
# In seconds: until it serves again.
RESTARTS: Final = 300
_WENT: Final = re.compile(r"(\d+) blobs and (\d+) manifests eligible for deletion")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How many bytes there were and are, and how many things went."""

    before: int
    after: int
    blobs: int
    manifests: int


def collect(session: Session, bucket: str, pauses: Pauses, lines: Lines) -> Outcome:
    """Take the lock, wait for those who push, collect, and begin the registry anew."""
    tell: Callable[[str], None] = lambda words: lines.set("collection", words)  # noqa: E731
    cloud, shared = session.cloud, Shared(cloud=session.cloud, bucket=bucket)
    taken = turns.Lock(
        cloud=cloud, who=session.identity, doing="a collection", pauses=pauses, bucket=bucket
    )
    with lock.held(taken, lines):
        turns.wait_for_pushes(cloud, bucket, pauses.sleep, tell)
        before = shared.size()
        tell("collecting: nobody pushes meanwhile")
        said = _run(session, collecting(), turns.COLLECTS + 60)
        tell("starting the registry anew")
        _run(session, restarting(), RESTARTS + 60)
    after = shared.size()
    blobs, manifests = went(said)
    return Outcome(before=before, after=after, blobs=blobs, manifests=manifests)


def _run(session: Session, line: str, seconds: float) -> str:
    return shell.run(ssh.argv(session.access, ssh.CONTROLLER, line), timeout=seconds)


def collecting() -> str:
    """Spell how the registry collects; it ends before its lock is over, whoever waits for it.

    What has no name is a cache that another took the place of: apps name images that have one.
    """
    settings = f"{registry.FOLDER}/{registry.WRITER}.json"
    inside = ("timeout", "-s", "KILL", str(turns.COLLECTS), registry.PROGRAM)
    words = (*inside, "garbage-collect", "--delete-untagged", settings)
    there = (f"deployment/{NAME}", "--container", registry.WRITER)
    return shlex.join((*KUBECTL, "exec", *there, "--", *words))


def restarting() -> str:
    """Spell how its pod is made anew; nodes that pull meanwhile try again."""
    (label,) = (f"{key}={value}" for key, value in registry.LABELS.items())
    away = shlex.join((*KUBECTL, "delete", "pod", "--selector", label))
    status = ("rollout", "status", f"deployment/{NAME}", f"--timeout={RESTARTS}s")
    return f"{away} && {shlex.join((*KUBECTL, *status))}"


def went(said: str) -> tuple[int, int]:
    """Return how many layers and the like, and how many manifests the registry says it removed."""
    found = _WENT.search(said)
    return (int(found[1]), int(found[2])) if found else (0, 0)

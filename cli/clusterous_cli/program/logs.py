"""What the containers of a program say: gathered by time, or followed as it comes."""

import contextlib
import queue
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Protocol
from urllib.parse import quote

from clusterous_api import names
from clusterous_api.errors import TransientError, UserError
from clusterous_cli.program.apps import AppState
from clusterous_cli.reach.kube import Api, Object, pods_path
from clusterous_cli.terminal import spell

LINES: Final = 100  # of each container, where nothing else is said
LOOK_SECONDS: Final = 2.0
AGAIN_SECONDS: Final = 1.0
# The API server gives lines since a whole second, and of two streams of a container (stdout and
# stderr) one may be written down a little later.
OVERLAP: Final = timedelta(seconds=2)
_AGO: Final = re.compile(r"(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,8})m)?(?:(\d{1,9})s)?")
_SECONDS: Final = (86400, 3600, 60, 1)
_STAMPED: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*?(?:Z|[+-]\d\d:\d\d)) (.*)", re.S)


class Read(Protocol):
    """Opens a log at a path with a query, and brings its lines until it ends."""

    def __call__(self, path: str, query: Mapping[str, str]) -> Iterator[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A container, and how its lines are marked."""

    namespace: str
    pod: str
    container: str
    title: str
    component: str = ""
    previous: bool = False  # the container that was there before the present one

    @property
    def path(self) -> str:
        return (
            f"/api/v1/namespaces/{quote(self.namespace, safe='')}/pods/{quote(self.pod, safe='')}"
        )

    def query(self, **more: str) -> dict[str, str]:
        before = {"previous": "true"} if self.previous else {}
        return {"container": self.container, "timestamps": "true", **before, **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something that was said; *time* is empty where the container did not say it."""

    source: Source
    time: str
    text: str


# -- pure -----------------------------------------------------------------------------------


def sources(pods: Iterable[Object], app: str) -> list[Source]:
    """The containers of these pods, by component and pod."""
    return [
        Source(
            namespace=pod["metadata"]["namespace"],
            pod=pod["metadata"]["name"],
            container=pod["spec"]["containers"][0]["name"],
            title=pod["metadata"]["name"].removeprefix(f"{app}-"),
            component=(pod["metadata"].get("labels") or {}).get(names.LABEL_COMPONENT, ""),
        )
        for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
    ]


def before(pods: Iterable[Object], app: str) -> list[Source]:
    """The containers of these pods that ended, in whose places others run or wait to."""
    again = [pod for pod in pods if any(map(_has_ended_before, _statuses(pod)))]
    return [replace(one, previous=True) for one in sources(again, app)]


def _statuses(pod: Object) -> Sequence[Object]:
    first = pod["spec"]["containers"][0]["name"]
    found = pod.get("status", {}).get("containerStatuses") or ()
    return [one for one in found if one.get("name") == first]


def _has_ended_before(status: Object) -> bool:
    return "terminated" in (status.get("lastState") or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much of each log is wanted: its last *lines*, or all *since* (a query), or both."""

    lines: int | None = None
    since: Mapping[str, str] = field(default_factory=dict)

    @property
    def query(self) -> dict[str, str]:
        last = {} if self.lines is None else {"tailLines": str(self.lines)}
        return {**last, **self.since}


def extent(lines: int | None, since: str | None) -> Extent:
    """Read --lines and --since: without either, the last LINES of each container."""
    if since is None:
        return Extent(lines=LINES if lines is None else lines)
    return Extent(lines=lines, since=_since(since))


def _since(text: str) -> dict[str, str]:
    """A time ago is reckoned by the machine's clock, not by ours."""
    if (ago := _AGO.fullmatch(text)) and text:
        seconds = sum(int(n or 0) * unit for n, unit in zip(ago.groups(), _SECONDS, strict=True))
        return {"sinceSeconds": str(max(seconds, 1))}
    if (when := spell.moment(text)) is None:
        raise UserError(
            f"{text} is no time: give how long ago (30s, 10m, 2h, 1h30m, 1d), or when"
            f" {spell.TIMES}."
        )
    return {"sinceTime": when}


def is_over(pod: Object | None) -> bool:
    """Whether nothing will be said any more."""
    return pod is None or pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def parsed(source: Source, line: str) -> Line:
    """A line with its time stamp apart."""
    found = _STAMPED.fullmatch(line)
    if not found:
        return Line(source=source, time="", text=line)
    return Line(source=source, time=found[1], text=found[2])


@dataclass(slots=True)
class Memory:
    """Which lines are new: after a break the log is read again from a little before it."""

    newest: datetime | None = None
    _heard: dict[datetime, Counter[str]] = field(default_factory=dict)
    _again: Counter[str] = field(default_factory=Counter)

    def since(self) -> dict[str, str]:
        """How to ask after a break; what comes then may have been heard before."""
        if self.newest is None:
            return {}
        self._again = sum(self._heard.values(), Counter())
        return {"sinceTime": spell.instant(self.newest - OVERLAP)}

    def is_new(self, line: Line) -> bool:
        """Whether *line* was not heard yet; it is now."""
        if not line.time:
            return True
        mark = f"{line.time} {line.text}"
        if self._again[mark]:
            self._again[mark] -= 1
            return False
        self._note(datetime.fromisoformat(line.time).replace(microsecond=0), mark)
        return True

    def _note(self, second: datetime, mark: str) -> None:
        if self.newest is None or second > self.newest:
            self.newest = second
            kept = {at: heard for at, heard in self._heard.items() if at >= second - OVERLAP}
            self._heard = kept
        self._heard.setdefault(second, Counter())[mark] += 1


def as_data(line: Line) -> dict[str, str | bool]:
    """For -o json."""
    return {
        "time": line.time,
        "component": line.source.component,
        "pod": line.source.pod,
        **({"previous": True} if line.source.previous else {}),
        "line": line.text,
    }


# -- acting ---------------------------------------------------------------------------------


def pods(api: Api, app: AppState, component: str | None) -> list[Object]:
    """The pods of a program, or of one component of it."""
    wanted = {names.LABEL_APP: app.name} | ({names.LABEL_COMPONENT: component} if component else {})
    return api.items(pods_path(app.namespace, wanted))


def gathered(api: Api, of: Iterable[Source], wanted: Extent) -> list[Line]:
    """What is *wanted* of each, by time."""
    said = [
        parsed(one, text)
        for one in of
        for text in api.text(f"{one.path}/log", one.query(**wanted.query)).split("\n")
        if text
    ]
    return sorted(said, key=lambda line: line.time)


@dataclass(slots=True, kw_only=True)
class Following:
    """The logs of a program, each container's read by a thread until nothing more will come."""

    read: Read
    look: Callable[[], list[Object]]  # the pods that there are
    app: str
    wanted: Extent  # of each, to begin with
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _threads: dict[Source, threading.Thread] = field(default_factory=dict)
    _going: frozenset[Source] = frozenset()
    _said: queue.SimpleQueue[Line] = field(default_factory=queue.SimpleQueue)

    def run(self, say: Callable[[Line], None], has_ended: Callable[[], bool]) -> None:
        """Follow what there is and what comes, until the program has ended and all is said."""
        while True:
            was_last = has_ended()
            found = self.look()
            going = (pod for pod in found if not is_over(pod))
            self._going = frozenset(sources(going, self.app))
            for one in sources(found, self.app):
                self._start(one)
            is_quiet = not any(thread.is_alive() for thread in self._threads.values())
            self._tell(say)
            if was_last and is_quiet:
                return

    def _tell(self, say: Callable[[Line], None]) -> None:
        """Pass on what is said until it is time to look again."""
        end = self.clock() + LOOK_SECONDS
        with contextlib.suppress(queue.Empty):
            while (left := end - self.clock()) > 0:
                say(self._said.get(timeout=left))

    def _start(self, one: Source) -> None:
        if one not in self._threads:
            thread = threading.Thread(target=self._follow, args=(one,), daemon=True)
            self._threads[one] = thread
            thread.start()

    def _follow(self, one: Source) -> None:
        """Read on after each break, until the container is over and its log came to an end."""
        memory = Memory()
        while not self._hear(one, memory):
            self.sleep(AGAIN_SECONDS)

    def _hear(self, one: Source, memory: Memory) -> bool:
        """Read once; tell whether that was all."""
        was_over = one not in self._going
        how = memory.since() or self.wanted.query
        try:
            for text in self.read(f"{one.path}/log", one.query(follow="true", **how)):
                line = parsed(one, text)
                if memory.is_new(line):
                    self._said.put(line)
        except TransientError:
            return False
        return was_over

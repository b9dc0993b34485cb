"""Lines at a steady rate, into the light stack as it is on a node, while its parts are taken away.

VictoriaLogs and the collector are the publishers' own, with the chart's arguments; the kubelet's
files, their rotation included, are written here (`tests/cluster/lightstack.py`).
"""

import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.logs import goals
from bench.logs.goals import RATE
from tests.cluster.lightstack import Stack

AWAY_SECONDS: Final = 120.0
STEADY_SECONDS: Final = 60.0
RESTART_SECONDS: Final = 3.0  # until what was killed runs again
RECORDS: Final = 200_000
KILLS: Final = 5
TICK: Final = 0.05


@dataclass(slots=True)
class Writer:
    """A container of the pod *name* that says RATE numbered lines a second."""

    folder: Path
    name: str
    written: int = 0
    last: str = ""  # when the newest line was said
    _ends: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def _file(self) -> Path:
        return self.folder / f"default_{self.name}_{self.name.encode().hex()}/main/0.log"

    def run(self) -> None:
        """Write until the end, as many lines as are due."""
        self._file().parent.mkdir(parents=True)
        began = time.monotonic()
        while not self._ends.wait(TICK):
            self.write(int((time.monotonic() - began) * RATE) - self.written)

    def write(self, count: int) -> None:
        """Write so many lines."""
        lines = []
        for _ in range(count):
            second, rest = divmod(time.time_ns(), 10**9)
            self.last = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{rest:09d}Z"
            lines.append(f"{self.last} stdout F number {self.written}\n")
            self.written += 1
        with self._lock, self._file().open("a") as file:
            file.writelines(lines)

    def rotate(self) -> None:
        """Give the file another name, as the kubelet does; what comes is written into another."""
        with self._lock:
            stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
            self._file().rename(self._file().with_name(f"0.log.{stamp}"))

    @contextmanager
    def writing(self) -> Iterator["Writer"]:
        """Write while the block lasts."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield self
        finally:
            self._ends.set()
            thread.join()


@dataclass(slots=True)
class Bench:
    """The stack, and what was *taken* of it; moments are drawn, so that they vary."""

    stack: Stack
    tell: Callable[[str], None]
    taken: dict[str, Any] = field(default_factory=dict)
    chance: random.Random = field(default_factory=random.Random)

    def measure(self) -> None:
        """Measure everything, each with a pod of its own."""
        self._searchable()
        self.taken["alive"] = self._away("alive", kill=False)
        self.taken["killed"] = self._away("killed", kill=True)
        self._memory()
        self._store_killed()

    def writer(self, name: str) -> Writer:
        return Writer(self.stack.home / "pods", name)

    # -- what is there ----------------------------------------------------------------------------

    def _count(self, question: str) -> int:
        lines = list(self.stack.asked(f"{question} | stats count() records"))
        found = re.search(r'"records":"(\d+)"', "".join(lines))
        return int(found[1]) if found else 0

    def _numbers(self, name: str) -> Iterator[int]:
        for line in self.stack.asked(f'pod:="{name}" | fields _msg'):
            if found := re.search(r"number (\d+)", line):
                yield int(found[1])

    def _await(self, name: str, until: str, count: int, seconds: float) -> float | None:
        """Return how long it took until so many lines said *until* then are found; None: never."""
        began = time.monotonic()
        while (took := time.monotonic() - began) < seconds:
            if self._count(f'pod:="{name}" _time:<={until}') >= count:
                return took
            time.sleep(0.25)
        return None

    def _resident(self, part: str) -> float:
        pid = self.stack.running[part].pid
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        assert found, part
        return round(int(found[1]) / 1000, 1)

    # -- acts -------------------------------------------------------------------------------------

    def _searchable(self) -> None:
        """From the moment a line is in its file until it is found, again and again."""
        delays: list[float] = []
        memory: list[float] = []
        with self.writer("steady").writing() as writer:
            end = time.monotonic() + STEADY_SECONDS
            time.sleep(5)
            while time.monotonic() < end:
                number, began = writer.written - 1, time.monotonic()
                while not self._count(f'pod:="steady" _msg:="number {number}"'):
                    time.sleep(0.05)
                delays.append(round(time.monotonic() - began, 2))
                memory.append(self._resident("collector"))
        self.taken |= {"searchable_seconds": delays, "collector_mb": memory}
        self.tell(f"line to searchable: {len(delays)} times, at most {max(delays)} s")

    def _away(self, name: str, *, kill: bool) -> dict[str, Any]:
        """The store is stopped for two minutes; the log is rotated twice meanwhile."""
        moments = sorted(self.chance.uniform(10, AWAY_SECONDS - 10) for _ in range(2))
        plan = [(moment, "rotate") for moment in moments]
        if kill:
            plan.append((self.chance.uniform(5, AWAY_SECONDS - 5), "kill"))
        with self.writer(name).writing() as writer:
            time.sleep(5)
            self.stack.end("store")
            began = time.monotonic()
            for moment, what in sorted(plan):
                time.sleep(max(0.0, began + moment - time.monotonic()))
                if what == "rotate":
                    writer.rotate()
                else:
                    self.stack.end("collector", signal.SIGKILL)
                    time.sleep(RESTART_SECONDS)
                    self.stack.start_collector("collector")
            time.sleep(max(0.0, began + AWAY_SECONDS - time.monotonic()))
            self.stack.start_store()
            # One line a kill may be lost.
            until, due = writer.last, writer.written - int(kill)
            complete = self._await(name, until, due, 120)
            time.sleep(5)
        self._await(name, writer.last, writer.written, 20)
        count = goals.counted(writer.written, self._numbers(name))
        self.tell(f"{name}: {count}, complete after {complete} s")
        seconds = 1000.0 if complete is None else round(complete, 1)
        return {**asdict(count), "complete_seconds": seconds, "plan": sorted(plan)}

    def _memory(self) -> None:
        """What the programs hold when the store has 200,000 records."""
        missing = RECORDS - self._count("*")
        if missing > 0:
            writer = self.writer("more")
            writer.folder.joinpath("default_more_6d6f7265/main").mkdir(parents=True)
            writer.write(missing)
            self._await("more", writer.last, missing, 120)
        self.taken["memory_mb"] = {
            "records": self._count("*"),
            "store": self._resident("store"),
            "collector": self.taken.pop("collector_mb"),
        }
        self.tell(f"memory: {self.taken['memory_mb']['store']} MB the store")

    def _store_killed(self) -> None:
        """What a killed store had taken and not written; the collector lives."""
        lost = []
        for number in range(KILLS):
            name = f"struck{number}"
            with self.writer(name).writing() as writer:
                time.sleep(8 + self.chance.uniform(0, 4))
                self.stack.end("store", signal.SIGKILL)
                time.sleep(RESTART_SECONDS)
                self.stack.start_store()
                time.sleep(5)
            self._await(name, writer.last, writer.written, 30)
            lost.append(goals.counted(writer.written, self._numbers(name)).lost)
        self.taken["store_killed_lost"] = lost
        self.tell(f"store killed: {lost} lines lost")

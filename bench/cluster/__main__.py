"""`python -m bench.cluster [create] [life]`: how long a cluster's life takes, held to its goals.

create     `create` beside its longest path, and its calls at 1, 2 and 8 workers
life       its volume's server killed, its controller lost, a worker lost
(nothing)  both, in one region

Writes build/bench/create.json and build/bench/life.json; ends with 1 where a goal is missed.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.cluster import acts, goals, scale
from bench.cluster.acts import Cluster
from bench.operator import machine
from tests.region import story
from tests.region.region import RegionError

FOLDER: Final = Path(__file__).parents[2] / "build/bench"
REGION: Final = "crbench"
PARTS: Final = ("create", "life")
_TROUBLES: Final = (AssertionError, OSError, RegionError, StopIteration, ValueError, KeyError)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; return 1 where a goal is missed, or nothing could be measured."""
    parser = argparse.ArgumentParser(
        prog="bench.cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="create|life")
    chosen = parser.parse_args(argv).parts or PARTS
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    # As Ctrl-C does: what was started ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    bench = Bench(chosen)
    bench.run()
    met = bench.write()
    print(bench.table())
    return 0 if met else 1


class Bench:
    """One run: what is measured so far, so that a run that is broken off leaves what it had."""

    def __init__(self, parts: Sequence[str]) -> None:
        self.parts = parts
        self.about = {**machine.description(), "began": machine.now()}
        self.error = ""
        self.create: dict[str, Any] = {}
        self.life: dict[str, Any] = {}
        self.figures: dict[str, float] = {}

    def run(self) -> None:
        """Measure all; what goes wrong is told, and ends it."""
        try:
            if "create" in self.parts:
                self._count()
            with story.up(REGION) as region, tempfile.TemporaryDirectory() as folder:
                cluster = Cluster(
                    region=region, folder=Path(folder), tell=_tell, figures=self.figures
                )
                self._measure(cluster)
        except _TROUBLES as error:
            self.error = f"{type(error).__name__}: {error}"
            _tell(f"✗ {self.error}")

    def _count(self) -> None:
        counts = scale.measure()
        self.create["calls"] = {str(workers): calls for workers, calls in counts.items()}
        self.figures["calls_by_workers"] = max(counts.values()) - min(counts.values())
        _tell(f"calls that change something, by workers: {self.create['calls']}")

    def _measure(self, cluster: Cluster) -> None:
        if "create" in self.parts:
            # The first one makes our images, which the laptop keeps: told, and held to nothing.
            self._create(cluster, "first")
            self._destroy(cluster)
            self._create(cluster, goals.SHORT)
            self._destroy(cluster)
        cluster.region.aws("POST", "config", acts.SLOW)
        self._create(cluster, goals.SLOW if "create" in self.parts else "first")
        if "life" in self.parts:
            self._live(cluster)
        self._destroy(cluster)

    def _create(self, cluster: Cluster, name: str) -> None:
        cluster.region.aws("DELETE", "log")
        cluster.name = f"bench{len(self.create.get('runs', ()))}"
        made = cluster.create()
        self.create.setdefault("runs", {})[name] = made
        if name != "first":
            self.figures[name] = made["beyond_path_seconds"]
        _tell(f"  {made['seconds']} s; its longest path {made['path_seconds']} s")
        for one in made["path"]:
            _tell(f"    {one['seconds']:>7.2f} s  {one['step']} (late {one['late']} s)")
        self.write()

    def _live(self, cluster: Cluster) -> None:
        worker = cluster.begin()
        self._act("the volume's server is killed", cluster.kill_the_volumes_server, worker)
        self.life["controller"] = self._act(
            "the controller is lost", cluster.lose_the_controller, worker
        )
        self.life["lines"] = self._act("what was acknowledged", cluster.count_lines, worker)
        self.life["worker"] = self._act("a worker is lost", cluster.lose_a_worker)

    def _act(self, words: str, act: Callable[..., Any], *with_: Any) -> Any:
        _tell(f"━━ {words}")
        found = act(*with_)
        self.write()
        return found

    def _destroy(self, cluster: Cluster) -> None:
        cluster.typed("clusterous", "destroy", cluster.name, "--yes")
        if left := cluster.region.leftovers():
            raise ValueError(f"destroy left {', '.join(left)}")

    def write(self) -> bool:
        """Write what there is; tell whether every goal of the parts is met."""
        met = True
        for part, more in (("create", self.create), ("life", self.life)):
            if part in self.parts:
                judgement = goals.judged(goals.ALL[part], self.figures)
                met &= goals.is_met(judgement) and not self.error
                _write(FOLDER / f"{part}.json", self._document(judgement, more))
        return met

    def table(self) -> str:
        """Return what people read."""
        return goals.table(
            [one for part in self.parts for one in goals.judged(goals.ALL[part], self.figures)]
        )

    def _document(
        self, judgement: Sequence[Mapping[str, Any]], more: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "ok": goals.is_met(judgement) and not self.error,
            "error": self.error,
            "goals": judgement,
            **more,
            "machine": {**self.about, "written": machine.now()},
        }


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def _tell(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

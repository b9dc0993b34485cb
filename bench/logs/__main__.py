"""`python -m bench.logs [light] [region]`: central logging's light stack, held to its goals.

`light` takes the store and the collector away on this machine, `region` turns logging on in a
region's cluster (root); without a word, both. Writes build/bench/logging.json: every single value,
the figures made of them and the goals. Ends with 1 where a goal is missed or was not measured.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.cluster.goals import is_met, judged, table
from bench.logs import goals, turned_on
from bench.logs.acts import Bench
from bench.operator import machine
from tests.cluster import lightstack
from tests.cluster.lightstack import Stack
from tests.region.parts import parts
from tests.region.region import RegionError

RESULT: Final = Path(__file__).parents[2] / "build/bench/logging.json"
PARTS: Final = ("light", "region")


def main(wanted: Sequence[str]) -> int:
    """Measure; return 1 where a goal is missed."""
    said: dict[str, Any] = {**machine.description(), "began": machine.now()}
    taken: dict[str, Any] = {}
    for part in wanted or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                _measured(part, Path(folder), taken)
            except (AssertionError, OSError, RegionError) as error:
                # What was measured until then stays.
                said["error"] = f"{type(error).__name__}: {error}"
                _tell(f"✗ {said['error']}")
    judgement = judged(goals.ALL, goals.figures(taken))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    whole = {**said, "ended": machine.now(), "taken": taken, "goals": judgement}
    RESULT.write_text(json.dumps(whole, indent=2) + "\n")
    print(table(judgement))
    return 0 if is_met(judgement) else 1


def _measured(part: str, folder: Path, taken: dict[str, Any]) -> None:
    if part == "region":
        taken["on_seconds"] = turned_on.seconds(folder)
        return
    programs = parts.paths(["logs"], _tell)["logs"]
    with lightstack.started(Stack(home=folder, programs=programs)) as stack:
        Bench(stack, _tell, taken).measure()


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

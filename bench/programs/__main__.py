"""`python -m bench.programs`: daily work with programs, beside the plain tools, held to its goals.

It brings the simulated region up, makes a cluster there and types commands as a person does.
Writes build/bench/programs.json: every single time, the figures made of them and the goals. Ends
with 1 where a goal is missed or was not measured.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from bench.cluster.goals import is_met, judged, table
from bench.operator import machine
from bench.programs import goals
from bench.programs.acts import Desk
from tests.examples.programs import Laptop
from tests.region import story
from tests.region.parts import packages, parts
from tests.region.region import RegionError

RESULT: Final = Path(__file__).parents[2] / "build/bench/programs.json"
CLUSTER: Final = """\
name: bench
region: eu-west-1
controller: {type: t3.medium}
master: none
workers: {type: t3.medium, count: 2}
"""


def main() -> int:
    """Measure; return 1 where a goal is missed."""
    said: dict[str, Any] = {**machine.description(), "began": machine.now()}
    taken: dict[str, list[float]] = {}
    try:
        parts.paths(packages.needed("dask"), _tell)
        with story.up("crprog") as region, tempfile.TemporaryDirectory() as folder:
            laptop = Laptop(region, Path(folder))
            (laptop.folder / "cluster.yaml").write_text(CLUSTER)
            laptop.type("clusterous", "create", "cluster.yaml", "--yes")
            Desk(laptop, _tell, taken).measure()
            laptop.type("clusterous", "destroy", "--yes")
    except (AssertionError, IndexError, OSError, RegionError) as error:
        # What was measured until then stays.
        said["error"] = f"{type(error).__name__}: {error}"
        _tell(f"✗ {said['error']}")
    judgement = judged(goals.ALL, goals.figures(taken))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    whole = {**said, "ended": machine.now(), "seconds": taken, "goals": judgement}
    RESULT.write_text(json.dumps(whole, indent=2) + "\n")
    print(table(judgement))
    return 0 if is_met(judgement) else 1


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

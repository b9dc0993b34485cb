"""The examples as somebody at the laptop runs them, each to its end, and what comes of each."""

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.region import story
from tests.region.places import CHECKOUT
from tests.region.region import Region

FORMS: Final = ("app.yaml", "environment.yml")
CELL: Final = Path(__file__).with_name("cell.py")
PATIENCE: Final = 600.0


@dataclass(frozen=True, slots=True)
class Laptop:
    """A person in a folder of their own, who has a cluster."""

    region: Region
    folder: Path

    def type(self, *argv: str, text: str | None = None) -> str:
        """Run *argv*, which has to succeed, and return what it printed."""
        done = self.region.laptop_run(
            argv, cwd=self.folder, capture_output=True, text=True, input=text
        )
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
        return f"{done.stdout}{done.stderr}"

    def said(self, *argv: str) -> str:
        """Run *argv*, which may fail, and return what it wrote to stdout."""
        done = self.region.laptop_run(argv, cwd=self.folder, capture_output=True, text=True)
        return str(done.stdout)

    def succeeds(self, *argv: str) -> bool:
        done = self.region.laptop_run(argv, cwd=self.folder, capture_output=True)
        return bool(done.returncode == 0)

    def take(self, example: str) -> None:
        """Have the folder of *example*, as from a checkout."""
        target = self.folder / example
        if not target.exists():
            skipped = shutil.ignore_patterns("__pycache__")
            shutil.copytree(CHECKOUT / "examples" / example, target, ignore=skipped)

    def fetch(self, path: str) -> dict[str, Any]:
        """Get a result from the volume, as soon as it is there."""
        here = self.folder / Path(path).name
        here.unlink(missing_ok=True)
        got = lambda: self.succeeds("clusterous", "get", path, ".")  # noqa: E731
        story.until(got, f"{path} is on the volume", PATIENCE)
        found: dict[str, Any] = json.loads(here.read_text())
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """*result* is where it writes on the volume; *check* judges that, *page* what it shows.

    A *service* goes on until it is ended, a batch ends by itself. *goal* is how many seconds it may
    take from command to result with its image on the nodes; *large* is what is not tried each time.
    """

    check: Callable[[dict[str, Any]], None]
    result: str = ""
    page: Callable[[Laptop], dict[str, Any]] | None = None
    service: bool = False
    goal: float | None = None
    large: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How many *seconds* there were from command to result, and what `run` said."""

    seconds: float
    said: str


def run(laptop: Laptop, name: str, form: str) -> Ran:
    """Run *form* of an example to its result, which is judged, and end it."""
    program = PROGRAMS[name]
    laptop.take(name)
    if program.result:
        laptop.succeeds("clusterous", "rm", program.result, "--yes")
    began = time.monotonic()
    is_batch = form == FORMS[0] and not program.service
    wait = ("--until", "completed", "--no-connect") if is_batch else ()
    said = laptop.type("clusterous", "run", f"{name}/{form}", *wait)
    shown = program.page(laptop) if program.page and not is_batch else {}
    found = laptop.fetch(program.result) if program.result else shown
    took = time.monotonic() - began
    program.check(found)
    laptop.type("clusterous", "quit", name, "--confirm")
    return Ran(seconds=took, said=said)


# -- what comes of each -------------------------------------------------------------------


def check_mpi(found: dict[str, Any]) -> None:
    assert found["same_as_alone"]
    assert found["processes"] == len(found["hosts"]) == 2
    assert round(found["mean"], 6) == 4.122676


def check_dask(found: dict[str, Any]) -> None:
    known = {"start": 230_631, "steps": 442, "steps_of_all": 35_669_673}
    assert {key: found[key] for key in known} == known
    assert found["workers"] >= 2


ENGINES: Final = """\
import ipyparallel as ipp
engines = ipp.Client("/home/data/ipython/security/ipcontroller-client.json")
engines.wait_for_engines(2, timeout=300)
view = engines[:]
import json, socket
hosts = view.apply_sync(socket.gethostname)
squares = view.map_sync(lambda number: number**2, range(1000))
from IPython.paths import get_ipython_dir
from jupyter_core.paths import jupyter_data_dir, jupyter_runtime_dir
databases = [get_ipython_dir(), jupyter_data_dir(), jupyter_runtime_dir()]
print(json.dumps({"hosts": sorted(set(hosts)), "sum": sum(squares), "databases": databases}))
"""


def cell(laptop: Laptop) -> dict[str, Any]:
    """Let the engines compute something from a cell, over the tunnel."""

    def tokens() -> list[str]:
        said = laptop.type("clusterous", "logs", "jupyter")
        return re.findall(r"/lab\?token=([0-9a-f]{32,})", said)

    story.until(tokens, "JupyterLab says its token", PATIENCE)
    argv = (sys.executable, str(CELL), "http://localhost:8888/jupyter", tokens()[-1])
    found: dict[str, Any] = json.loads(laptop.type(*argv, text=ENGINES))
    return found


def check_spark(found: dict[str, Any]) -> None:
    assert found["most"] == "Friday"
    assert (found["counts"]["Friday"], sum(found["counts"].values())) == (688, 4800)
    assert len(found["hosts"]) == 2


def check_ray(found: dict[str, Any]) -> None:
    assert (found["size"], found["ways"]) == (10, 724)
    assert len(found["hosts"]) == 2


def shows(port: int, words: str) -> Callable[[Laptop], dict[str, Any]]:
    """Return what looks at the page behind a local *port*, which has to say *words*."""

    def look(laptop: Laptop) -> dict[str, Any]:
        argv = ("curl", "-sSL", "--max-time", "60", f"http://localhost:{port}")
        story.until(lambda: words in laptop.said(*argv), f"{words} at {port}", PATIENCE)
        return {}

    return look


def check_jupyter(found: dict[str, Any]) -> None:
    assert found["sum"] == sum(number**2 for number in range(1000))
    assert len(found["hosts"]) >= 2
    # SQLite, which is locked or slow where several machines mount it.
    assert not [one for one in found["databases"] if one.startswith("/home/data")]


PROGRAMS: Final[Mapping[str, Program]] = {
    "mpi": Program(check=check_mpi, result="mpi/result.json", goal=15),
    "dask": Program(
        check=check_dask, result="dask/result.json", page=shows(8787, "Dask Diagnostic"), goal=15
    ),
    "jupyter": Program(check=check_jupyter, page=cell, service=True, goal=20),
    "spark": Program(
        check=check_spark, result="spark/result.json", page=shows(8080, "Spark Master"), large=True
    ),
    "ray": Program(
        check=check_ray, result="ray/result.json", page=shows(8265, "Ray Dashboard"), large=True
    ),
}

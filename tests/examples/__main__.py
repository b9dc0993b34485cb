"""`python -m tests.examples [NAMES]`: the examples in a simulated region, each to its end.

build/examples.json says how long each took from command to result: with its image still to be
built, as an environment file, and with everything there already. The exit code is 1 if one came to
no result, or to a wrong one.

`--tutorial` types docs/tutorial.md instead, in an empty account; what it showed is in
build/tutorial.txt.
"""

import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from tests.examples import programs, tutorial
from tests.examples.programs import FORMS, PROGRAMS, Laptop
from tests.region import story
from tests.region.parts import packages, parts
from tests.region.places import CHECKOUT

RESULT: Final = CHECKOUT / "build" / "examples.json"
SHOWN: Final = RESULT.with_name("tutorial.txt")
# Ray's head alone needs 1.7 GB.
CLUSTER: Final = """\
name: examples
region: eu-west-1
controller: {{type: t3.medium}}
master: none
workers: {{type: {type}, count: 2}}
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1)
@click.option("--large", is_flag=True, help="Those that are large, instead.")
@click.option("--tutorial", "is_tutorial", is_flag=True, help="The tutorial, instead.")
def main(names: Sequence[str], large: bool, is_tutorial: bool) -> None:
    """Run the examples NAMES, or all that are not large, as a person does."""
    if is_tutorial:
        _type_the_tutorial()
        return
    chosen = names or [name for name, one in PROGRAMS.items() if one.large == large]
    if unknown := [name for name in chosen if name not in PROGRAMS]:
        raise click.UsageError(f"There is no example {unknown[0]}: {', '.join(PROGRAMS)}.")
    machine = "t3.large" if any(PROGRAMS[name].large for name in chosen) else "t3.medium"
    parts.paths([one for name in chosen for one in packages.needed(name)], _tell)
    with story.up("crex") as region, tempfile.TemporaryDirectory() as folder:
        laptop = Laptop(region, Path(folder))
        (laptop.folder / "cluster.yaml").write_text(CLUSTER.format(type=machine))
        laptop.type("clusterous", "create", "cluster.yaml", "--yes")
        seen = {name: _tried(laptop, name) for name in chosen}
        laptop.type("clusterous", "destroy", "--yes")
        left = region.leftovers()
    result = {
        "ok": not left and all("error" not in one for one in seen.values()),
        "programs": seen,
        "left": left,
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()},
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    _tell(f"build/examples.json says it all; {'good' if result['ok'] else 'NOT good'}")
    sys.exit(0 if result["ok"] else 1)


def _type_the_tutorial() -> None:
    with story.up("crtutor") as region, tempfile.TemporaryDirectory() as folder:
        shown = tutorial.typed(Laptop(region, Path(folder)))
        left = region.leftovers()
    SHOWN.parent.mkdir(exist_ok=True)
    SHOWN.write_text(shown)
    _tell(shown)
    if left:
        raise click.ClickException(f"left: {left}")


def _tried(laptop: Laptop, name: str) -> dict[str, Any]:
    """Run an example in both forms, then once more; what happened, in seconds."""
    seen: dict[str, Any] = {}
    turns = [("first", FORMS[0]), ("environment", FORMS[1]), ("warm", FORMS[0])]
    try:
        for turn, form in turns:
            seen[turn] = round(programs.run(laptop, name, form).seconds, 1)
            _tell(f"✓ {name}/{form}, {turn}: {seen[turn]} s")
    except Exception as error:  # the others are tried all the same
        _tell(f"✗ {name}/{form}: {error}")
        seen["error"] = "".join(traceback.format_exception(error))[-4000:]
        _keep_evidence(laptop, name)
        laptop.succeeds("clusterous", "quit", name, "--confirm")
    goal = PROGRAMS[name].goal
    if goal and "warm" in seen:
        seen["goal"] = {"warm": goal, "met": seen["warm"] <= goal}
    return seen


# What a person would look at who wonders why.
LOOKS: Final = (
    ("clusterous", "kubectl", "get", "capp,pods,services", "-o", "wide"),
    ("clusterous", "kubectl", "describe", "capp,pods"),
    ("clusterous", "kubectl", "get", "events", "--sort-by=.lastTimestamp"),
)


def _keep_evidence(laptop: Laptop, name: str) -> None:
    """Keep what the cluster says of an example, which goes away now: build/examples-NAME.txt."""
    looks = (("clusterous", "logs", name), *LOOKS)
    said = [f"$ {' '.join(argv)}\n{laptop.said(*argv)}" for argv in looks]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.with_name(f"examples-{name}.txt").write_text("\n".join(said))


def _tell(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()

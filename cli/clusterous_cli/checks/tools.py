"""Which programs of this machine a cluster is reached with."""

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from clusterous_api.errors import UserError
from clusterous_cli.checks.check import Check, Finding, Mark, Place
from clusterous_cli.system import shell


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program: what it is *needed* for, and how it tells its version."""

    needed: str
    argv: tuple[str, ...]
    mark: Mark = Mark.WARNING


TOOLS: Final[Mapping[str, Tool]] = {
    "ssh": Tool(needed="nothing else leads into the cluster", argv=("-V",), mark=Mark.FAILURE),
    "rsync": Tool(needed="put and get copy with it", argv=("--version",)),
    "aws": Tool(needed="run gets the password of the image registry by it", argv=("--version",)),
    "kubectl": Tool(
        needed="kubectl, shell and cp need it", argv=("version", "--client"), mark=Mark.OK
    ),
}
VERSION: Final = re.compile(r"(?<![\d.])(\d+\.\d+(?:\.\d+)?)")
SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The versions of what is there (empty where not asked or not told), and what is wrong."""

    python: str
    versions: Mapping[str, str]
    wrong: Mapping[str, str]


def look(place: Place) -> Facts:
    """Look for each program; their versions are asked only where they are to be shown."""
    versions, wrong = {}, {}
    for name, tool in TOOLS.items():
        try:
            shell.fitting(name) if name in shell.NEEDS else shell.program(name)
        except UserError as error:
            wrong[name] = str(error).removesuffix(" and try again.").rstrip(".")
        else:
            versions[name] = version(name, tool) if place.thorough else ""
    return Facts(python=platform.python_version(), versions=versions, wrong=wrong)


def version(name: str, tool: Tool) -> str:
    """Return what a program says that it is."""
    _, out, err = shell.outcome([name, *tool.argv], timeout=SECONDS)
    found = VERSION.search(f"{out}\n{err}")
    return found[1] if found else ""


def judge(facts: Facts) -> Finding:
    """The worst of them counts; each that is wrong says what to do."""
    there = [f"{name} {said}".rstrip() for name, said in facts.versions.items()]
    gone = [f"no {name} that serves" for name in facts.wrong]
    marks = {TOOLS[name].mark for name in facts.wrong}
    worst = next((one for one in (Mark.FAILURE, Mark.WARNING) if one in marks), Mark.OK)
    return Finding(
        mark=worst,
        says=", ".join([f"python {facts.python}", *there, *gone]),
        why="; ".join(f"{TOOLS[name].needed}" for name in facts.wrong),
        do="; ".join(facts.wrong.values()),
    )


CHECK: Final = Check(name="tools", look=look, judge=judge, remote=False)

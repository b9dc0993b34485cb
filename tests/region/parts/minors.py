"""Control planes of the minors of Kubernetes that `make k8s-minors` tries, beside the usual one.

Each is a recipe of its own, built only when it is asked for by name. Which release of a minor it
is stands in its .mod file; CLUSTEROUS_TEST_MINOR chooses a minor for all tests that start a control
plane.
"""

import os
import re
import subprocess
from functools import partial
from pathlib import Path
from typing import Final

from tests.region.parts.cache import Found, Recipe, Tell

GO: Final = Path(__file__).with_name("go-minors")
USUAL: Final = Path(__file__).with_name("go") / "go.mod"
MINORS: Final = ("1.34", "1.36", "1.37")
VARIABLE: Final = "CLUSTEROUS_TEST_MINOR"

_RELEASE: Final = re.compile(r"^\tk8s\.io/kubernetes v(\S+)$", re.MULTILINE)


def entry(minor: str) -> str:
    """Return the name of a minor's part in the cache."""
    return f"kube-{minor}"


def release(minor: str) -> str:
    """Return the release that a minor is tried in, such as 1.34.4."""
    return _named(GO / f"{minor}.mod")


def usual() -> str:
    """Return the release of all other tests, which is that of the simulated region."""
    return _named(USUAL)


def of(full: str) -> str:
    """Return the minor of a release."""
    return full.rsplit(".", 1)[0]


def chosen() -> str | None:
    """Return the minor that was chosen for this run of tests; None: the usual one."""
    minor = os.environ.get(VARIABLE) or None
    if minor is not None and minor not in MINORS:
        raise ValueError(f"{VARIABLE} is {minor}; known are {', '.join(MINORS)}")
    return minor


def recipes() -> tuple[Recipe, ...]:
    """Return how each minor's control plane is built."""
    return tuple(
        Recipe(
            name=entry(minor),
            build=partial(_build, minor),
            versions={"flags": " ".join(_stamp(release(minor)))},
            sources=(GO / "main.go", GO / f"{minor}.mod", GO / f"{minor}.sum"),
            estimate_seconds=300,
            heavy=True,
        )
        for minor in MINORS
    )


def _named(file: Path) -> str:
    found = _RELEASE.search(file.read_text())
    if found is None:
        raise ValueError(f"{file} names no release of Kubernetes")
    return found[1]


def _build(minor: str, target: Path, found: Found, tell: Tell) -> None:
    flags = ("-mod=readonly", "-trimpath", "-buildvcs=false", f"-modfile={minor}.mod")
    stamp = " ".join(("-s", "-w", *_stamp(release(minor))))
    done = subprocess.run(
        ["nice", "go", "build", *flags, "-ldflags", stamp, "-o", str(target / "kube"), "."],
        cwd=GO,
        env={**os.environ, "CGO_ENABLED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OSError(f"go build ended with {done.returncode}:\n{done.stdout[-3000:]}")


def _stamp(full: str) -> tuple[str, ...]:
    # As Kubernetes' own build does; without it /version says v0.0.0-master.
    major, minor, _ = full.split(".")
    said = {"gitVersion": f"v{full}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return tuple(f"-X k8s.io/component-base/version.{key}={value}" for key, value in said.items())

"""`make demo` and `make test` look at the machine before they build anything on it."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
IS_ROOT = os.geteuid() == 0
# As in an ordinary container. Who is not root has no capability that could be dropped.
WITHOUT = ("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin")


def make(
    *words: str, through: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run make; where the real one would start to build, it says BUILDS."""
    argv = [*through, "make", "--no-print-directory", "PY=echo BUILDS", "MAKE=echo", *words]
    return subprocess.run(
        argv,
        cwd=CHECKOUT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("target", ["demo", "test"])
def test_says_on_one_screen_what_is_missing_and_builds_nothing(target: str) -> None:
    done = make(target, through=WITHOUT if IS_ROOT else ())

    assert done.returncode != 0
    assert ("CAP_SYS_ADMIN" if IS_ROOT else "✗ root") in done.stderr
    assert f"`make {target}` needs what this machine lacks:" in done.stderr
    assert "Nothing was built, installed or changed." in done.stderr
    assert "BUILDS" not in done.stdout
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 24


@pytest.mark.parametrize(
    ("words", "starts"),
    [
        (("demo",), "BUILDS -m tests.region demo"),
        (("demo", "IN=vm"), "BUILDS -m tests.vm demo"),
        (("fresh",), "BUILDS -m tests.vm fresh"),
        (("test",), "BUILDS -m tests.region.parts"),
    ],
)
def test_starts_where_nothing_is_missing(tmp_path: Path, words: Sequence[str], starts: str) -> None:
    content = tmp_path / "python3"
    content.write_text("#!/bin/sh\nexit 0\n")
    content.chmod(0o755)

    done = make(*words, environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"})

    assert done.returncode == 0
    assert starts in done.stdout


def test_the_virtual_machine_needs_no_rights() -> None:
    done = make("demo", "IN=vm", through=WITHOUT if IS_ROOT else ())

    assert "CAP_SYS_ADMIN" not in done.stderr
    assert "root" not in done.stderr


def test_refuses_a_place_that_it_does_not_know() -> None:
    done = make("demo", "IN=cloud")

    assert done.returncode != 0
    assert "There is no IN=cloud" in done.stderr
    assert "BUILDS" not in done.stdout

"""A machine holds no name of a network namespace, and one may be taken away by two."""

import subprocess
from pathlib import Path

import pytest

from tests.region.machines import nspawn
from tests.region.net import netns

NAMELESS = Path(nspawn.__file__).with_name("nameless.sh")
NAME = "crname-one"
TWICE = "for _ in 1 2; do mount --rbind /run/netns /run/netns; done"
HELD = "! grep ' /run/netns' /proc/self/mounts"


@pytest.mark.region
@pytest.mark.parametrize("before", ["true", TWICE], ids=["once", "twice over itself"])
def test_names_are_given_up(before: str) -> None:
    netns.add(NAME)
    try:
        inside = ["unshare", "--mount", "--propagation", "private", "sh", "-euc"]
        done = subprocess.run(
            [*inside, f"{before}; {NAMELESS}; {HELD}"], capture_output=True, text=True
        )
    finally:
        netns.delete(NAME)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.region
def test_what_another_takes_away_meanwhile_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    netns.add(NAME)
    take = netns.command

    def late(argv: list[str]) -> str:
        take(argv)
        return take(argv)

    monkeypatch.setattr(netns, "command", late)
    netns.delete(NAME)

    assert not netns.exists(NAME)

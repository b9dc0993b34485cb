"""Commands by a serial port: the two sides understand each other, and silence is an error."""

import os
import pty
import re
import socket
import subprocess
import tty
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.vm import channel
from tests.vm.channel import Channel, Ended, Said, SilentError

GUEST = Path(channel.__file__).parent / "guest/usr/local/sbin/channel"


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("7: words: and = more", Said(7, "words: and = more")),
        ("7: ", Said(7, "")),
        ("7:", Said(7, "")),
        ("7= 0", Ended(7, 0)),
        ("12= 137", Ended(12, 137)),
        ("7= x", None),
        ("ready", None),
        ("[    3.1] a word of the kernel", None),
    ],
)
def test_lines_mean_what_the_machine_meant(line: str, meaning: Said | Ended | None) -> None:
    assert channel.parse(line) == meaning


@pytest.fixture
def guest() -> Iterator[Channel]:
    """The machine's side as it is, at a terminal in place of the serial port."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    near, far = socket.socketpair()
    process = subprocess.Popen([GUEST, os.ttyname(theirs)], stderr=subprocess.DEVNULL)
    pumps = [
        Thread(target=pump, args=ends) for ends in ((ours, far.fileno()), (far.fileno(), ours))
    ]
    for thread in pumps:
        thread.start()
    try:
        wire = Channel(wire=near, is_alive=lambda: process.poll() is None)
        wire.wait_until_ready(60)
        yield wire
    finally:
        process.kill()
        process.wait()
        os.close(theirs)
        near.close()
        for thread in pumps:
            thread.join()
        os.close(ours)
        far.close()


def pump(source: int, target: int) -> None:
    """Carry bytes until one end is gone."""
    try:
        while found := os.read(source, 4096):
            os.write(target, found)
    except OSError:
        return


def test_both_sides_understand_each_other(guest: Channel) -> None:
    heard: list[str] = []

    first = guest.run("echo 'one: ∑'; echo two >&2; exit 3", silence=60, hear=heard.append)
    second = guest.run("for n in $(seq 200); do echo line $n; done", silence=60, hear=heard.append)

    assert (first, second) == (3, 0)
    assert heard[:2] == ["one: ∑", "two"]
    assert heard[2:] == [f"line {n}" for n in range(1, 201)]


def test_a_command_gets_no_input_and_its_last_line_needs_no_end(guest: Channel) -> None:
    heard: list[str] = []

    code = guest.run("cat; printf unended", silence=60, hear=heard.append)

    assert (code, heard) == (0, ["unended"])


def test_a_machine_that_ends_is_noticed() -> None:
    near, far = socket.socketpair()
    with near, far:
        wire = Channel(wire=near, is_alive=lambda: True)
        far.sendall(b"1: half a li")
        far.shutdown(socket.SHUT_WR)

        with pytest.raises(SilentError, match="has ended"):
            wire.run("true", silence=60)


def test_slowness_is_no_silence(guest: Channel) -> None:
    heard: list[str] = []

    code = guest.run("for n in 1 2 3 4; do sleep 0.6; echo $n; done", silence=2, hear=heard.append)

    assert (code, heard) == (0, ["1", "2", "3", "4"])


def test_a_machine_that_says_nothing_is_given_up_and_meanwhile_told_about() -> None:
    now = iter(range(0, 100_000, 20))
    told: list[str] = []
    near, far = socket.socketpair()
    with near, far:
        wire = Channel(
            wire=near, is_alive=lambda: True, tell=told.append, clock=lambda: float(next(now))
        )

        with pytest.raises(SilentError, match="did not answer in time"):
            wire.run("true", silence=150)

    assert re.fullmatch(r" *\(no word for [12] min\)", told[0])

"""What people see: lines of progress where nothing can change in place, and on a terminal."""

import io

import pytest
from rich.console import Console

from clusterous_api.errors import UserError
from clusterous_cli.plan import converge
from clusterous_cli.plan.kinds.files import OBJECT
from clusterous_cli.plan.kinds.kind import Action, Step
from clusterous_cli.system import wait
from clusterous_cli.terminal import spell
from clusterous_cli.terminal.lines import LiveLines, TimedLines
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def screen(clock: Clock) -> tuple[Ui, io.StringIO]:
    err = io.StringIO()
    return Ui(Settings(), err=err, clock=clock), err


def steps(count: int) -> list[Step]:
    return [
        Step(action=Action.CREATE, key=f"s3:boot/{number}/file", kind=OBJECT)
        for number in range(count)
    ]


def test_without_a_terminal_a_part_says_its_begin_and_its_end() -> None:
    clock = Clock()
    shown, err = screen(clock)
    parts = converge.Parts(TimedLines(shown), steps(30))

    for step in steps(30):
        parts.tell(step, "begun")
    for step in steps(30):
        clock.now += 0.1
        parts.tell(step, "done")

    assert err.getvalue().splitlines() == [
        "[   0.0 s] files: 30 steps",
        "[   3.0 s] files: ✓ 30 steps after 3 s",
    ]


def test_without_a_terminal_a_long_part_is_heard_of_every_five_seconds() -> None:
    clock = Clock()
    shown, err = screen(clock)
    lines = TimedLines(shown)

    for second in range(12):
        clock.now = float(second)
        lines.set("workers", f"{second // 3} of 4 ready")

    said = [line.partition("] ")[2] for line in err.getvalue().splitlines()]
    assert said == ["workers: 0 of 4 ready", "workers: 1 of 4 ready", "workers: 3 of 4 ready"]


def test_without_a_terminal_half_a_minute_of_silence_ends_with_what_is_waited_for() -> None:
    clock = Clock()
    shown, err = screen(clock)
    lines = TimedLines(shown)
    parts = converge.Parts(lines, steps(2))
    parts.tell(steps(2)[0], "done")
    lines.set("access", "18 steps", done=True)

    for second in range(1, 70):
        clock.now = float(second)
        parts.tell(steps(2)[1], "begun")
        lines.remind()

    assert err.getvalue().splitlines()[2:] == [
        "[   5.0 s] files: 1 of 2 steps: file",
        "[  35.0 s] still waiting: files (1 of 2 steps: file)",
        "[  65.0 s] still waiting: files (1 of 2 steps: file)",
    ]


def test_a_failure_is_said_at_once_and_stays() -> None:
    clock = Clock()
    shown, err = screen(clock)
    lines = TimedLines(shown)
    parts = converge.Parts(lines, steps(2))

    parts.tell(steps(2)[0], "begun")
    parts.tell(steps(2)[0], "failed")
    parts.tell(steps(2)[1], "done")

    assert err.getvalue().splitlines()[1:] == ["[   0.0 s] files: ✗ file failed"]
    assert lines.unfinished == []


def test_on_a_terminal_long_words_are_cut_but_neither_names_nor_clocks() -> None:
    clock = Clock()
    shown, _ = screen(clock)
    lines = LiveLines(shown, width=60)
    lines.set("downloads", "a very long line " * 10)
    lines.set("network", "17 steps", done=True)
    clock.now = 72.0
    console = Console(file=io.StringIO(), width=60)

    console.print(lines.render())

    assert isinstance(console.file, io.StringIO)
    first, second = console.file.getvalue().splitlines()
    assert first.startswith(" · downloads  a very long")
    assert "…" in first
    assert first.rstrip().endswith("1 min 12 s")
    assert second.split() == ["✓", "network", "17", "steps"]
    assert lines.unfinished == ["downloads"]


def test_all_downloads_share_a_line_and_end_when_the_user_stops() -> None:
    clock = Clock()
    shown, err = screen(clock)
    pauses = wait.Pauses()
    downloads = converge.Downloads(TimedLines(shown), pauses)

    downloads.tell("k3s", 1 << 20, 2 << 20)
    clock.now = 6.0
    downloads.tell("images", 0, 6 << 20)
    pauses.stop()
    with pytest.raises(wait.Stopped):
        downloads.tell("k3s", 2 << 20, 2 << 20)

    assert [line.partition("] ")[2] for line in err.getvalue().splitlines()] == [
        "downloads: 1 MiB of 2 MiB: k3s",
        "downloads: 1 MiB of 8 MiB: k3s, images",
        "downloads: ✗ stopped after 6 s",
    ]


@pytest.mark.parametrize(
    ("count", "noun", "spelled"),
    [
        (1, "role", "1 role"),
        (3, "role", "3 roles"),
        (2, "image repository", "2 image repositories"),
        (2, "NAT gateway", "2 NAT gateways"),
    ],
)
def test_plurals(count: int, noun: str, spelled: str) -> None:
    assert spell.plural(count, noun) == spelled


HOSTILE = "\x1b]0;pwned\x07 a\rb \x9b31m \u202etxt.exe \u2028 \ud800"


def test_a_terminal_is_shown_words_and_obeys_none() -> None:
    shown, err = screen(Clock())
    out = io.StringIO()
    shown.out = out

    shown.warn(HOSTILE)
    TimedLines(shown).set("app", HOSTILE)
    shown.emit({}, lambda: spell.table([("app", HOSTILE)]))

    said = err.getvalue() + out.getvalue()
    assert not any(sign in said for sign in "\x1b\x07\r\x9b\u202e\u2028\ud800")
    assert said.count("a�b") == 3


def test_lines_that_change_in_place_obey_nothing_either() -> None:
    shown, _ = screen(Clock())
    lines = LiveLines(shown, width=200)
    lines.set("app", HOSTILE)
    console = Console(file=io.StringIO(), width=200)

    console.print(lines.render())

    assert isinstance(console.file, io.StringIO)
    assert "a�b" in console.file.getvalue()


def test_what_people_write_stays_as_it_is() -> None:
    text = "naïve 👩‍💻 日本語\n\t€\u00a0x"

    assert spell.plain(text) == text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("out", "settings", "expected"),
    [
        (Terminal(), Settings(), "\x1b[36mdb | \x1b[0mup\n"),
        (Terminal(), Settings(color=False), "db | up\n"),
        (io.StringIO(), Settings(), "db | up\n"),
    ],
    ids=["terminal", "no-color", "pipe"],
)
def test_a_lines_mark_has_its_colour_on_a_terminal_alone(
    out: io.StringIO, settings: Settings, expected: str
) -> None:
    Ui(settings, out=out).line("up", mark="db | ", color="36")

    assert out.getvalue() == expected


def test_what_a_program_says_colours_nothing() -> None:
    out = Terminal()

    Ui(Settings(), out=out).line("\x1b[31mred", mark="\x1b[5m", color="36")

    assert out.getvalue() == "\x1b[36m\ufffd[5m\x1b[0m\ufffd[31mred\n"


def test_an_answer_is_asked_for_and_has_a_usual_one() -> None:
    err = Terminal()
    shown = Ui(Settings(), err=err, inp=Terminal("\nlab\n"))

    usual, said = shown.ask("name", flag="--name", usual="default"), shown.ask("name", flag="-n")

    assert (usual, said) == ("default", "lab")
    assert err.getvalue() == "name [default]: name: "
    with pytest.raises(UserError, match="There is no terminal to answer on; say --name"):
        Ui(Settings(), err=io.StringIO(), inp=io.StringIO("x")).ask("name", flag="--name")


def test_elsewhere_than_on_a_terminal_progress_is_told_now_and_then() -> None:
    clock = Clock()
    shown, _ = screen(clock)
    said: list[str] = []
    tell = shown.now_and_then(said.append)

    for second in range(25):
        clock.now = float(second)
        tell(str(second))

    assert said == ["10", "20"]

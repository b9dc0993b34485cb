"""What rsync is asked, what it says, and that it goes on where its connection broke."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clusterous_api.errors import FailedError
from clusterous_cli.data import links, rsync
from clusterous_cli.data.rsync import Done, Progress, Wishes
from clusterous_cli.reach import ssh
from clusterous_cli.system import shell

ACCESS = ssh.Access(
    gateway=ssh.Host(name="gateway", address="198.51.100.10"),
    nodes=(ssh.Host(name="controller", address="10.40.128.10"),),
    user="clusterous",
    key=Path("/h/id"),
    known_hosts=Path("/h/known_hosts"),
    home=Path("/h"),
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            "  1,234,567  45%   12.34MB/s    0:00:05 (xfr#3, to-chk=5/10)",
            Progress(bytes=1234567, percent=45, rate="12.34MB/s", left="0:00:05"),
            id="rsync-3",
        ),
        pytest.param(
            "      1.234.567 100%  980,00kB/s    0:00:00",
            Progress(bytes=1234567, percent=100, rate="980,00kB/s", left="0:00:00"),
            id="another-language",
        ),
        pytest.param("sending incremental file list", None, id="other"),
    ],
)
def test_reads_progress(line: str, expected: Progress | None) -> None:
    assert rsync.progress(line) == expected


def test_names_can_hold_anything() -> None:
    argv = rsync.argv(ACCESS, ["./-rf", "./a:b"], rsync.remote("/home/data/x y/"))

    assert argv[-4:] == ["--", "./-rf", "./a:b", "controller:/home/data/x y/"]
    assert "--protect-args" in argv


def test_nothing_is_ever_deleted() -> None:
    argv = rsync.argv(ACCESS, ["a"], "b")

    assert not [option for option in argv if "delete" in option or "remove" in option]


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        pytest.param(
            11, ["rsync: write failed: No space left on device (28)"], "no space left here.\n"
        ),
        pytest.param(255, ["Connection closed"], "the same command goes on"),
        pytest.param(30, [], "the same command goes on"),
        pytest.param(23, ["rsync: permission denied"], "Not everything was copied"),
    ],
)
def test_explains_a_failure(status: int, said: list[str], expected: str) -> None:
    assert expected in rsync.failure(status, said, "here")


def test_what_rsync_does_not_understand_is_said_in_its_first_lines() -> None:
    said = ["rsync: unrecognized option `--info=progress2'", *(f"  usage {n}" for n in range(24))]

    told = rsync.failure(1, said, "here")

    assert said[0] in told
    assert "usage 23" not in told


def test_the_usual_is_to_delete_nothing_and_leave_nothing_out() -> None:
    assert Wishes().options == ()
    assert Wishes(exclude=("*.tmp", "/cache/"), delete=True, checksum=True).options == (
        "--exclude=*.tmp",
        "--exclude=/cache/",
        "--delete",
        "--checksum",
    )


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(50, "50 %  1 MiB of 2 MiB  9MB/s  0:00:05 left"), (0, "0 %  1 MiB  9MB/s  0:00:05 left")],
)
def test_says_how_much_of_how_much(percent: int, expected: str) -> None:
    assert str(Progress(bytes=1 << 20, percent=percent, rate="9MB/s", left="0:00:05")) == expected


STATS = """
Number of files: 1,204 (reg: 1,000, dir: 204)
Number of created files: 3 (reg: 3)
Number of deleted files: 2 (reg: 2)
Number of regular files transferred: 3
Total file size: 2,097,152 bytes
Total transferred file size: 1,536 bytes
Literal data: 1,536 bytes
Matched data: 0 bytes
File list size: 0
File list generation time: 0.001 seconds
Total bytes sent: 4,000
Total bytes received: 100
sent 4,000 bytes  received 100 bytes  8,200.00 bytes/sec
total size is 2,097,152  speedup is 511.50
"""


def heard(*lines: str) -> rsync.Heard:
    made = rsync.Heard()
    for line in lines:
        made.hear(line)
    return made


def test_counts_what_there_was_and_what_travelled() -> None:
    done = heard(*STATS.strip().splitlines()).ended(0)

    assert (done.files, done.bytes, done.sent, done.sent_bytes) == (1000, 2 << 20, 3, 1536)
    assert str(done) == "1000 files, 2 MiB; 3 new or changed (2 KiB), 2 deleted"
    assert str(Done(files=1, bytes=5)) == "1 file, 5 B; nothing new"


def test_what_it_counts_is_no_word_of_trouble() -> None:
    made = heard(*STATS.strip().splitlines(), "rsync: [sender] opendir failed", "rsync error: 23")

    assert made.words == ["rsync: [sender] opendir failed", "rsync error: 23"]


def test_what_it_would_do_is_listed_by_kind() -> None:
    done = heard(
        "name: cd+++++++++ in/",
        "name: <f+++++++++ in/a b",
        "name: <f.st...... in/c",
        "name: >f+++++++++ got",
        "name: cL+++++++++ in/l",
        "name: .d..t...... in/",
        "name: .f...p..... in/modes",
        "name: *deleting   in/old name",
        'ignoring unsafe symlink "x" -> "/etc"',
    ).ended(0)

    assert done.new == ("in/a b", "got", "in/l")
    assert done.changed == ("in/c",)
    assert done.gone == ("in/old name",)
    assert done.left == (links.Link(path="x", target="/etc"),)


def test_what_several_did_is_one() -> None:
    both = Done(files=1, sent=1, gone=("a",)) + Done(files=2, bytes=5, vanished=True, gone=("b",))

    assert (both.files, both.bytes, both.sent, both.vanished) == (3, 5, 1, True)
    assert both.gone == ("a", "b")


def play(monkeypatch: pytest.MonkeyPatch, *turns: tuple[int, list[str]]) -> None:
    """Let rsync end so, one time after the other."""
    left = iter(turns)

    def stream(argv: list[str], hear: Callable[[str], None], **_: object) -> int:
        status, said = next(left)
        for line in said:
            hear(line)
        return status

    monkeypatch.setattr(shell, "stream", stream)


def at(percent: int) -> str:
    return f"  1,000  {percent}%   1.00MB/s    0:00:01"


def test_a_connection_that_breaks_is_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    pauses: list[float] = []
    play(monkeypatch, (12, [at(10)]), (255, [at(60)]), (0, [at(100), *STATS.split("\n")]))

    done = rsync.run(["rsync"], told.append, "here", sleep=pauses.append)

    assert done.files == 1000
    assert pauses == [1.0, 1.0]
    assert "the connection broke; going on in 1 s" in told


def test_who_comes_no_further_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [(255, ["ssh: connect to host controller port 22: No route"])] * 6
    pauses: list[float] = []
    play(monkeypatch, *turns)

    with pytest.raises(FailedError, match="the same command goes on where it stopped") as caught:
        rsync.run(["rsync"], lambda text: None, "here", sleep=pauses.append)

    assert "No route" in str(caught.value)
    assert pauses == list(rsync.PAUSES)


@pytest.mark.parametrize("said", [[], ["write failed: No space left on device (28)"]])
def test_what_no_new_connection_mends_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    pauses: list[float] = []
    play(monkeypatch, (23 if not said else 12, said))

    with pytest.raises(FailedError):
        rsync.run(["rsync"], lambda text: None, "here", sleep=pauses.append)

    assert pauses == []


def test_files_that_go_while_they_are_read_are_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, (24, ["file has vanished: /home/data/x.tmp"]))

    assert rsync.run(["rsync"], lambda text: None, "here").vanished

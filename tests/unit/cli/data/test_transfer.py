"""Paths on the volume, rsync's words, and the command lines."""

from pathlib import Path

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.data import links, transfer
from clusterous_cli.data.transfer import Progress, Volume
from clusterous_cli.reach import ssh

ACCESS = ssh.Access(
    gateway=ssh.Host(name="gateway", address="198.51.100.10"),
    nodes=(ssh.Host(name="controller", address="10.40.128.10"),),
    user="clusterous",
    key=Path("/h/id"),
    known_hosts=Path("/h/known_hosts"),
    home=Path("/h"),
)


@pytest.mark.parametrize(
    ("path", "full"),
    [
        pytest.param(".", "/home/data/", id="root"),
        pytest.param("", "/home/data/", id="empty"),
        pytest.param("results", "/home/data/results", id="folder"),
        pytest.param("results/", "/home/data/results/", id="slash-stays"),
        pytest.param("a/../b", "/home/data/b", id="inside"),
        pytest.param("/home/data/x", "/home/data/x", id="absolute"),
        pytest.param("//home/data/x", "/home/data/x", id="two-slashes"),
        pytest.param("a b", "/home/data/a b", id="space"),
    ],
)
def test_finds_a_path_on_the_volume(path: str, full: str) -> None:
    assert transfer.volume_path(path) == full


@pytest.mark.parametrize("path", ["..", "../x", "a/../../x", "/etc", "/home/database", "/home"])
def test_refuses_a_path_outside(path: str) -> None:
    with pytest.raises(UserError, match="outside the shared volume"):
        transfer.volume_path(path)


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
    assert transfer.progress(line) == expected


def test_names_can_hold_anything() -> None:
    argv = transfer.rsync_argv(ACCESS, ["./-rf", "./a:b"], transfer.remote("/home/data/x y/"))

    assert argv[-4:] == ["--", "./-rf", "./a:b", "controller:/home/data/x y/"]
    assert "--protect-args" in argv


def test_nothing_is_ever_deleted() -> None:
    argv = transfer.rsync_argv(ACCESS, ["a"], "b")

    assert not [option for option in argv if "delete" in option or "remove" in option]


def test_the_script_quotes_what_it_is_given() -> None:
    script = transfer.prepare_script(Volume(server="10.0.0.1"), ["/home/data/a b"], ["/x;reboot"])

    assert "sh '/home/data/a b'\n" in script
    assert "inside '/x;reboot' || { echo outside '/x;reboot'; exit 0; }" in script
    assert "sudo test -e '/x;reboot' || echo missing 0" in script


def test_a_volume_of_the_controllers_own_is_mounted_by_nobody_else() -> None:
    script = transfer.prepare_script(Volume(server=None), [], [])

    assert "sudo mount" not in script
    assert "mountpoint -q /home/data || { echo the volume is not mounted" in script


@pytest.mark.parametrize(
    ("item", "name"),
    [
        *(("tools/inputs", "inputs"), ("tools/inputs/", "inputs"), ("/abs/x", "x")),
        *((".", "reef"), ("./", "reef"), ("in/..", "reef"), ("..", "work")),
    ],
)
def test_copies_under_the_last_segment(item: str, name: str) -> None:
    assert transfer.copied_as(Path("/work/reef"), item) == name


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
    assert expected in transfer.rsync_failure(status, said, "here")


def test_what_rsync_does_not_understand_is_said_in_its_first_lines() -> None:
    said = ["rsync: unrecognized option `--info=progress2'", *(f"  usage {n}" for n in range(24))]

    told = transfer.rsync_failure(1, said, "here")

    assert said[0] in told
    assert "usage 23" not in told


@pytest.mark.parametrize(
    ("path", "target", "out"),
    [
        ("a/b", "c", False),
        ("a/b", "../c", False),
        ("a/b", "../../c", True),
        ("a", "..", True),
        ("a", "/etc/passwd", True),
        ("a", "/home/data/x", False),
        ("a", "/home/database", True),
    ],
)
def test_knows_a_link_that_leads_out(path: str, target: str, out: bool) -> None:
    assert links.leads_out(path, target) is out


def test_counts_links_and_names_the_first() -> None:
    found = [links.Link(path=str(n), target="/x") for n in range(5)]

    assert links.spelled(found) == "5 links (0 → /x, 1 → /x, 2 → /x, …)"
    assert links.spelled(found[:1]) == "1 link (0 → /x)"

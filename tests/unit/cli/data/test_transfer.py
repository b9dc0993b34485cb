"""Paths on the volume, the script that makes it ready, and what leads out of it."""

import os
from pathlib import Path

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.data import links, transfer
from clusterous_cli.data.rsync import Wishes
from clusterous_cli.data.transfer import Volume


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


@pytest.mark.parametrize("sources", [["a", "b"], ["a.csv"]])
def test_deletes_only_where_one_folder_is_compared_with_one(sources: list[str]) -> None:
    with pytest.raises(UserError, match="--delete takes one folder"):
        transfer.check_delete(sources, is_folder=sources != ["a.csv"])


@pytest.mark.parametrize(
    "wishes", [Wishes(delete=True), Wishes(exclude=("*.tmp",)), Wishes(checksum=True)]
)
def test_what_only_rsync_can_do_is_refused_without_it(wishes: Wishes) -> None:
    transfer.check_wishes(Wishes(), has_rsync=False)
    transfer.check_wishes(wishes, has_rsync=True)

    with pytest.raises(UserError, match="The controller has no rsync"):
        transfer.check_wishes(wishes, has_rsync=False)


def test_what_is_neither_file_nor_folder_is_told(tmp_path: Path) -> None:
    """`put <(program)` names a pipe, of which nothing would arrive."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "file").touch()

    transfer.check_sources([str(tmp_path / "file"), str(tmp_path)])
    for source in (str(tmp_path / "pipe"), str(tmp_path / "link"), "/dev/null"):
        with pytest.raises(UserError, match="neither a file nor a folder"):
            transfer.check_sources([str(tmp_path / "file"), source])

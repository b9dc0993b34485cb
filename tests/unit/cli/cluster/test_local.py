"""What this machine keeps of clusters: each under its own uid, whatever it is called."""

import json
import shutil
from pathlib import Path

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.cluster import local
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import RECORD
from clusterous_cli.reach import ssh
from clusterous_cli.system import private

HERE = Identity(name="reef", account="111111111111", region="eu-west-1")
THERE = Identity(name="reef", account="111111111111", region="us-east-1")
OTHERS = Identity(name="reef", account="222222222222", region="eu-west-1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLUSTEROUS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def old_form(home: Path, who: Identity) -> Path:
    """A folder as releases before 2.1 kept it: under the bare name."""
    folder = home / "clusters" / who.name
    kept = {"name": who.name, "account": who.account, "region": who.region}
    private.write(folder / RECORD, json.dumps(kept))
    private.write(folder / "id_ed25519", "key")
    return folder


def test_clusters_of_one_name_have_folders_of_their_own() -> None:
    folders = {local.folder(who) for who in (HERE, THERE, OTHERS)}

    assert len(folders) == 3


def test_what_is_made_from_here_is_known(home: Path) -> None:
    for who in (HERE, THERE):
        local.remember(who)

    assert {one.who for one in local.known("reef")} == {HERE, THERE}
    assert [one.who for one in local.elsewhere(HERE)] == [THERE]
    assert local.known("red") == ()


def test_what_an_earlier_release_kept_moves_and_stays_reachable(home: Path) -> None:
    before = old_form(home, HERE)

    now = local.settle(HERE)

    assert (now / "id_ed25519").read_text() == "key"
    assert before.is_symlink()
    assert before.resolve() == now
    assert [one.who for one in local.known("reef")] == [HERE]
    assert local.find("reef") in (before, now)


def test_what_was_kept_of_another_cluster_stays_where_it_is(home: Path) -> None:
    before = old_form(home, HERE)

    local.settle(OTHERS)
    local.forget(OTHERS)

    assert (before / "id_ed25519").read_text() == "key"
    assert not before.is_symlink()


def test_forgets_only_the_very_cluster(home: Path) -> None:
    old_form(home, HERE)
    local.settle(HERE)
    local.remember(THERE)

    local.forget(HERE)

    assert [one.who for one in local.known()] == [THERE]
    assert sorted(path.name for path in (home / "clusters").iterdir()) == [f"reef-{THERE.uid}"]


def test_a_name_that_is_known_twice_means_none() -> None:
    for who in (HERE, OTHERS):
        local.remember(who)

    with pytest.raises(
        UserError, match=r"account 222222222222\) and reef in eu-west-1 \(account 1"
    ):
        local.find("reef")
    assert local.find(f"reef-{OTHERS.uid}") == local.folder(OTHERS)


def test_a_folder_that_says_nothing_is_no_cluster(home: Path) -> None:
    (home / "clusters/x").mkdir(parents=True)
    (home / "clusters/y").mkdir()
    (home / "clusters/y/record.json").write_text("[]")

    assert local.known() == ()


def test_the_folder_above_is_for_us_alone_too(home: Path) -> None:
    local.remember(HERE)

    for path in (home, home / "clusters", local.folder(HERE)):
        assert path.stat().st_mode & 0o777 == 0o700


def test_connections_of_clusters_of_one_name_do_not_meet() -> None:
    sockets = {ssh.socket_folder(local.folder(who)) for who in (HERE, THERE, OTHERS)}

    assert len(sockets) == 3


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff", b"[" * 100_000, b"5", b"[]", b"{}",
        b'{"name": 5, "account": [], "region": {}}',
        b'{"name": "../../x", "account": "a", "region": "b"}',
        b'{"name": "\\ud800", "account": "a", "region": "b"}',
    ],
)  # fmt: skip
def test_what_names_no_cluster_of_that_folder_is_none(content: bytes) -> None:
    local.remember(HERE)
    (local.folder(HERE) / RECORD).write_bytes(content)

    assert local.known() == ()


def test_a_copy_of_a_folder_is_no_second_cluster() -> None:
    local.remember(HERE)
    shutil.copytree(local.folder(HERE), local.root() / "reef-before")

    assert [one.folder for one in local.known()] == [local.folder(HERE)]


def test_a_choice_that_cannot_be_read_is_none(home: Path) -> None:
    local.remember(HERE)
    local.choose(HERE)
    (home / "clusters/current").write_bytes(b"\xff\xfe")

    assert local.current() is None

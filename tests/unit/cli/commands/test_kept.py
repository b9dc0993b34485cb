"""By which way a daily command begins: one that is open already, or by asking AWS."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.cluster import local
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import RECORD
from clusterous_cli.commands import kept, opening
from clusterous_cli.reach import kubeconfig, ssh, warm
from clusterous_cli.terminal.options import Settings

REEF = Identity(name="reef", account="123456789012", region="eu-west-1")
CONFIG = {"volume": {"type": "efs"}, "cidr": "10.40.0.0/16"}
RECORDED = {"format": 5, "name": "reef", "account": REEF.account, "region": REEF.region}


class Asked(Exception):
    """AWS was asked."""


@pytest.fixture(autouse=True)
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that opened the cluster before."""
    monkeypatch.setenv("CLUSTEROUS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    local.remember(REEF)
    folder = local.folder(REEF)
    (folder / RECORD).write_text(json.dumps({**RECORDED, "config": CONFIG}))

    def session_of(settings: Settings) -> None:
        raise Asked

    monkeypatch.setattr(opening, "session_of", session_of)
    return folder


def access(home: Path) -> ssh.Access:
    gateway = ssh.Host(name=ssh.GATEWAY, address="198.51.100.10")
    return ssh.Access(gateway=gateway, nodes=(), user="u", key=home, known_hosts=home, home=home)


def link(home: Path) -> kubeconfig.Link:
    return kubeconfig.Link(
        cluster="reef", port=1, access=access(home), certificate="", key="", server_ca=""
    )


@pytest.fixture
def is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways are open."""
    monkeypatch.setattr(warm, "access", access)
    monkeypatch.setattr(warm, "link", link)
    monkeypatch.setattr(kubeconfig, "api", lambda link: link)


def test_by_a_way_that_is_open_nobody_is_asked(laptop: Path, is_open: None) -> None:
    there, inside = kept.files(Settings()), kept.programs(Settings(cluster="reef"))

    assert (there.name, there.access.home, there.volume.server) == ("reef", laptop, "10.40.16.11")
    assert (inside.name, inside.home, inside.access.home) == ("reef", laptop, laptop)
    assert inside.environment["KUBECONFIG"] == str(laptop / "kubeconfig")


def test_without_one_aws_is_asked(laptop: Path) -> None:
    for begin in (kept.files, kept.programs):
        with pytest.raises(Asked):
            begin(Settings())


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(Settings(region="eu-west-2"), id="region"),
        pytest.param(Settings(profile="lab"), id="profile"),
        pytest.param(Settings(cluster="other"), id="another"),
    ],
)
def test_who_says_where_it_is_is_believed(is_open: None, settings: Settings) -> None:
    for begin in (kept.files, kept.programs):
        with pytest.raises(Asked):
            begin(settings)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format": 5}', '{"format": 99, "name": "reef"}', '{"format": 5, "name": 1}'],
)
def test_a_record_that_cannot_be_read_is_asked_for(laptop: Path, is_open: None, text: str) -> None:
    (laptop / RECORD).write_text(text)
    local.choose(REEF)

    with pytest.raises(Asked):
        kept.files(Settings())


def test_a_cluster_without_a_volume_is_told(laptop: Path, is_open: None) -> None:
    config: dict[str, Any] = {**CONFIG, "volume": {"type": "none"}}
    (laptop / RECORD).write_text(json.dumps({**RECORDED, "config": config}))

    with pytest.raises((UserError, Asked)):
        kept.files(Settings())


def test_a_file_that_is_about_another_region_goes_first(is_open: None, tmp_path: Path) -> None:
    (tmp_path / "clusterous.yaml").write_text("name: reef\nregion: eu-west-2\nworkers: 1\n")

    with pytest.raises(Asked):
        kept.files(Settings())


@pytest.mark.parametrize("words", [["ls"], ["du"], ["logs"], ["put", "x"]], ids=" ".join)
def test_what_speaks_to_aws_is_not_loaded(laptop: Path, tmp_path: Path, words: list[str]) -> None:
    """It takes longer to load than most of these commands take."""
    (tmp_path / "x").write_text("x")
    code = f"""
import sys
from clusterous_cli import main
from clusterous_cli.data import listing, transfer
from clusterous_cli.reach import kube, kubeconfig, ssh, warm
def access(home):
    return ssh.Access(gateway=ssh.Host(name="gateway", address="x"), nodes=(), user="u", key=home,
                      known_hosts=home, home=home)
warm.access = access
warm.link = lambda home: kubeconfig.Link(cluster="reef", port=1, access=access(home),
                                         certificate="", key="", server_ca="")
kubeconfig.api = lambda link: kube.Api(lambda *_: (200, '{{"items": []}}'))
listing.listed = lambda *_: "listed"
listing.measured = lambda *_: listing.Usage(parts=(), total=0)
transfer.prepare = lambda *_: transfer.Ready(has_rsync=True)
transfer.Course.run = lambda course, *_: transfer.Done()
code = main.run({words!r})
print(code, sorted({{"boto3", "botocore", "kubernetes"}} & set(sys.modules)))
"""
    argv = [sys.executable, "-c", code]

    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    assert said.splitlines()[-1] == f"{2 if words == ['logs'] else 0} []"

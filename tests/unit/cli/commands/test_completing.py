"""What TAB offers: quickly, from what is open or kept, and in silence."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete

from clusterous_cli import main
from clusterous_cli.cluster import local
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.commands import completing, kept
from clusterous_cli.reach import warm

REEF = Identity(name="reef", account="123456789012", region="eu-west-1")
APPS: list[dict[str, Any]] = [
    {"metadata": {"name": "sim"}, "spec": {"master": {}, "workers": {"aliases": ["engine"]}}},
    {"metadata": {"name": "lab"}, "spec": {"components": [{"name": "notebook"}]}},
]


@pytest.fixture(autouse=True)
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that knows one cluster, and may take its time."""
    monkeypatch.setenv("CLUSTEROUS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CLUSTEROUS_CLUSTER", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(completing, "SECONDS", 60.0)
    local.remember(REEF)
    return local.folder(REEF)


def offered(*words: str) -> list[str]:
    """What is offered for the last of *words*."""
    *before, incomplete = words
    found = ShellComplete(main.cli, {}, "clusterous", "_CLUSTEROUS_COMPLETE")
    return [
        item.value if item.type == "plain" else f"<{item.type}>"
        for item in found.get_completions(list(before), incomplete)
    ]


def test_offers_clusters_that_this_machine_knows(tmp_path: Path) -> None:
    local.remember(Identity(name="red", account="123456789012", region="eu-west-1"))

    assert offered("workon", "") == ["red", "reef"]
    assert offered("destroy", "ree") == ["reef"]
    assert offered("--cluster", "re") == ["red", "reef"]
    assert offered("status", "--cluster", "reef") == ["reef"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("suspend", ""), ["lab", "sim"]),
        (("logs", "s"), ["sim"]),
        (("logs", "sim", ""), ["master", "engine"]),
        (("logs", "lab", ""), ["notebook"]),
        (("shell", "n"), ["notebook"]),
        (("shell", "sim", ""), ["master", "engine"]),
        (("scale", "sim", "engine", ""), []),
        (("connect", ""), ["lab", "sim", "master", "engine", "notebook"]),
        (("cp", "m"), ["<file>", "master:"]),
        (("suspend", "--cluster", "reef", "l"), ["lab"]),
        (("suspend", "--cluster", "other", ""), []),
    ],
    ids=" ".join,
)
def test_offers_programs_and_components_that_were_seen_last(
    laptop: Path, words: tuple[str, ...], expected: list[str]
) -> None:
    warm.keep(laptop, APPS)

    assert offered(*words) == expected


def test_which_cluster_is_meant_is_as_commands_have_it(laptop: Path, tmp_path: Path) -> None:
    red = Identity(name="red", account="123456789012", region="eu-west-1")
    local.remember(red)
    assert kept.home(None) is None
    local.choose(red)
    assert kept.home(None) == local.folder(red)
    (tmp_path / "clusterous.yaml").write_text("name: reef\nworkers: 1\n")
    assert kept.home(None) == laptop
    assert kept.home("red") == local.folder(red)


@pytest.mark.parametrize(
    ("words", "asked", "expected"),
    [
        (("ls", "in"), "/home/data/", ["in/", "in puts"]),
        (("rm", "in/"), "/home/data/in", ["in/in/", "in/in puts", "in/x"]),
        (("get", "/home/data/x"), "/home/data", ["/home/data/x"]),
        (("get", "in", "x"), "/home/data/", ["<file>", "x"]),
        (("put", "x", "in"), "/home/data/", ["<file>", "in/", "in puts"]),
        (("put", "in"), None, ["<file>"]),
        (("ls", "/etc/"), None, []),
        (("ls", "../"), None, []),
    ],
)
def test_offers_paths_on_the_volume(
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    asked: str | None,
    expected: list[str],
) -> None:
    folders: list[str] = []

    def names_in(home: Path, folder: str) -> list[str]:
        folders.append(folder)
        return ["in/", "in puts", "x"]

    monkeypatch.setattr(warm, "names_in", names_in)

    assert offered(*words) == expected
    assert folders == ([asked] if asked else [])


def test_offline_nothing_is_offered_and_nothing_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(home: Path) -> list[Any]:
        raise RuntimeError("no network")

    monkeypatch.setattr(warm, "apps", fail)

    assert offered("suspend", "") == []
    assert offered("ls", "") == []
    assert capfd.readouterr() == ("", "")


def test_what_takes_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completing, "SECONDS", 0.01)
    never = threading.Event()

    try:
        assert completing.quickly(lambda: [str(never.wait())]) == []
    finally:
        never.set()


def test_profiles_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    (tmp_path / "config").write_text("[profile lab]\nregion = eu-west-1\n")
    keys = "{access_key_id: a, secret_access_key: b, region: eu-west-1}"
    (tmp_path / ".clusterous.yml").write_text(
        f"current_profile: own\nprofiles:\n  own: {{type: AWS, config: {keys}}}\n"
    )

    assert offered("--profile", "") == ["lab", "own"]
    assert offered("profile", "use", "") == ["own"]


HEAVY = {"boto3", "botocore", "rich", "kubernetes"}


def test_what_is_heavy_is_not_loaded(laptop: Path) -> None:
    warm.keep(laptop, APPS)
    code = (
        "import sys\nfrom clusterous_cli import main\n"
        "from click.shell_completion import ShellComplete\n"
        "made = ShellComplete(main.cli, {}, 'clusterous', 'X')\n"
        "made.get_completions(['suspend'], '')\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )

    argv = [sys.executable, "-c", code]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    assert said.strip() == "[]"


@pytest.mark.parametrize(
    ("answer", "expected", "is_open"),
    [
        ("plain,in puts", "in\\ puts", False),
        ("plain,in/", "in/", True),
        ("plain,master:", "master:", True),
        ("plain,a\nplain,b/", "a b/", False),
    ],
)
def test_the_script_for_bash_keeps_names_whole(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, answer: str, expected: str, is_open: bool
) -> None:
    assert main.run(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    (tmp_path / "answer").write_text(answer + "\n")
    (tmp_path / "say").write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    (tmp_path / "say").chmod(0o755)
    run = (
        f"compopt() {{ echo open; }}\n{script}\n"
        f"COMP_WORDS=(clusterous ls in) COMP_CWORD=2\n_clusterous_completion {tmp_path}/say\n"
        'echo "${COMPREPLY[@]}"'
    )

    said = subprocess.run(["bash", "-c", run], capture_output=True, text=True, check=True).stdout

    assert said.splitlines() == [*(["open"] if is_open else []), expected]


def test_every_argument_that_names_something_is_completed() -> None:
    for name in ("connect", "logs", "shell", "cp", "scale", "restart", "suspend", "resume"):
        command = main.cli.get_command(click.Context(main.cli), name)
        assert command is not None
        (first, *_) = [one for one in command.params if isinstance(one, click.Argument)]
        assert first._custom_shell_complete is not None, name

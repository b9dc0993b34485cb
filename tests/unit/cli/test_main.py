"""The command line's frame: quick help, lazy commands, exit codes."""

import ast
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clusterous_api.errors import LeftBehindError
from clusterous_cli import main
from clusterous_cli.system import signals
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui

HEAVY = {"boto3", "botocore", "yaml", "rich", "cryptography", "kubernetes", "ssl"}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from clusterous_cli.main import run; run(['--help'])\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stderr.strip() == "[]"
    assert "clusterous create" in said.stdout


_ALL = """
import importlib, pkgutil, sys
import clusterous_cli
for one in pkgutil.walk_packages(clusterous_cli.__path__, "clusterous_cli."):
    if one.name not in ("clusterous_cli.__main__", "clusterous_cli.reach.streams"):
        importlib.import_module(one.name)
print("boto3" in sys.modules, "kubernetes" in sys.modules)
"""


def test_kubernetes_is_loaded_to_follow_a_stream_and_for_nothing_else() -> None:
    said = subprocess.run([sys.executable, "-c", _ALL], capture_output=True, text=True, check=True)
    house = Path(main.__file__).parent
    users = [
        str(path.relative_to(house))
        for path in house.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and {"kubernetes", "streams"} & _named(node)
    ]

    assert said.stdout.split() == ["True", "False"]
    assert set(users) == {"reach/streams.py", "commands/logs.py"}


def _named(node: ast.Import | ast.ImportFrom) -> set[str]:
    module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
    return {module.partition(".")[0], *(one.name.partition(".")[0] for one in node.names)}


def test_every_listed_command_exists_and_explains_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in main.COMMANDS:
        assert main.run([name, "--help"]) == 0
        assert f"clusterous {name}" in capsys.readouterr().out


def test_an_unknown_command_is_told_with_a_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["destory"]) == 2
    assert "Did you mean destroy?" in capsys.readouterr().err


def test_errors_become_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise LeftBehindError("2 things would not go")

    monkeypatch.setattr(main.cli, "main", fail)

    assert main.run([]) == 3
    assert capsys.readouterr().err == "✗ 2 things would not go\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "no-such-file.yaml"],
        ["plan", "."],
        ["plan", "typo.yaml"],
        ["run", "nofile"],
        ["put", "nofile"],
        ["get", "result"],
        ["destroy"],
        ["create"],
        ["--region", "eu-wset-1", "status"],
        ["--profile", "nobody", "status"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_before_anything_is_asked(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: object,
) -> None:
    monkeypatch.chdir(str(tmp_path))
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "CLUSTEROUS_CLUSTER"):
        monkeypatch.delenv(name, raising=False)

    assert main.run(arguments) == 2
    assert capsys.readouterr().err.startswith("✗ ")


# -- the operating system -------------------------------------------------------------------


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(main.cli, "main", fail)


def test_what_the_operating_system_refuses_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, PermissionError(13, "Permission denied", "/srv/image/secret"))

    assert main.run([]) == 2
    assert capsys.readouterr().err == "✗ /srv/image/secret: Permission denied.\n"


def test_a_folder_of_ours_that_cannot_be_written_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLUSTEROUS_HOME", "/proc/nothing")
    failing(monkeypatch, FileNotFoundError(2, "No such file or directory", "/proc/nothing/x"))

    assert main.run([]) == 2
    assert "CLUSTEROUS_HOME names another folder" in capsys.readouterr().err


def test_a_disk_that_is_full_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, OSError(28, "No space left on device"))

    assert main.run([]) == 2
    assert capsys.readouterr().err == "✗ No space left on device.\n"


@pytest.mark.parametrize(
    "words", [["credential", "--cluster", "reef"], ["status", "--cluster", "r"]]
)
def test_a_user_without_a_home_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    for name in ("HOME", "CLUSTEROUS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)

    assert main.run(words) == 2
    assert "user 54321 has no entry in the list of users. Set CLUSTEROUS_HOME" in (
        capsys.readouterr().err
    )


def test_another_kind_of_system_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main, "SYSTEM", "nt")

    assert main.run(["put", "x"]) == 2
    assert "in WSL" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_lets_everything_be_tidied_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    tidied = []

    def work(**_: object) -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            tidied.append(number)

    monkeypatch.setattr(main.cli, "main", work)
    before = signal.signal(number, signal.SIG_DFL)  # who tests under nohup ignores one of them

    try:
        assert main.run([]) == 128 + number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert tidied == [number]
    assert capsys.readouterr().err == "✗ Stopped.\n"


def test_nohup_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(**_: object) -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    monkeypatch.setattr(main.cli, "main", work)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main.run([]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_does_what_ctrl_c_would_do_just_then() -> None:
    seen = []
    before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        with signals.as_interrupts() as received:
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)

    assert (seen, received) == ([signal.SIGINT], [signal.SIGTERM])


def test_a_terminal_that_lacks_our_signs_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setattr(main.cli, "main", lambda **_: print("✓ reef", flush=True))

    assert main.run([]) == 0
    assert raw.getvalue() == b"? reef\n"


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_a_stream_that_is_closed_ends_no_command(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    seen = []

    def work(**_: object) -> None:
        ui = Ui(Settings())
        seen.append((ui.can_ask, ui.live))
        ui.warn("said")
        ui.emit({"told": 1})

    monkeypatch.setattr(main.cli, "main", work)
    monkeypatch.setattr(sys, name, None)

    assert main.run([]) == 0
    getattr(sys, name).close()
    assert seen == [(False, False)]


def test_who_has_closed_all_of_them_is_served(tmp_path: Path) -> None:
    """The numbers that are free would be those of the next files that are opened."""
    code = (
        "import os, sys; from clusterous_cli import main; main._fill_streams();"
        f"os.write(os.open({str(tmp_path / 'x')!r}, os.O_CREAT | os.O_WRONLY), b'mine');"
        "print('out'); print('err', file=sys.stderr)"
    )
    shell = f'{sys.executable} -c "$0" <&- >&- 2>&-'

    assert subprocess.run(["sh", "-c", shell, code], check=False).returncode == 0
    assert (tmp_path / "x").read_text() == "mine"

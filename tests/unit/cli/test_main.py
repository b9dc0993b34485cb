"""The command line's frame: quick help, lazy commands, exit codes."""

import subprocess
import sys

import pytest

from clusterous_api.errors import LeftBehindError
from clusterous_cli import main

HEAVY = {"boto3", "botocore", "yaml", "rich", "cryptography", "kubernetes", "ssl"}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from clusterous_cli.main import run; run(['--help'])\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stderr.strip() == "[]"
    assert "clusterous create" in said.stdout


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

"""What a person meets at first, with nothing there yet: one clear message, the right exit code."""

from pathlib import Path

import pytest

from clusterous_cli import main
from tests.functional import cloud


@pytest.fixture
def world(account: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> cloud.World:
    monkeypatch.chdir(tmp_path)
    answers = cloud.outside()
    monkeypatch.setattr("clusterous_cli.plan.design.Outside", lambda: answers)
    Path("clusterous.yaml").write_text("name: reef\n")
    return account


@pytest.mark.parametrize(
    ("environment", "code", "says"),
    [
        pytest.param(
            {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}, 2,
            "AWS does not accept the credentials", id="unknown key",
        ),
        pytest.param(
            {"AWS_SECRET_ACCESS_KEY": "wrong"}, 2,
            "AWS does not accept the credentials", id="wrong secret",
        ),
        pytest.param(
            {"HTTPS_PROXY": "http://127.0.0.1:9"}, 75, "AWS cannot be reached", id="no way"
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["plan", "status"])
def test_a_first_try_that_cannot_work_says_why(
    world: cloud.World,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    code: int,
    says: str,
    command: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert main.run([command]) == code
    assert capsys.readouterr().err.startswith(f"✗ {says}")


@pytest.mark.parametrize(
    "command",
    [["get", "result"], ["put", "clusterous.yaml"], ["run", "app.yaml"], ["kubectl", "get", "pods"],
     ["connect"]],
    ids=lambda command: command[0],
)  # fmt: skip
def test_without_a_cluster_commands_say_how_to_make_one(
    world: cloud.World, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    Path("app.yaml").write_text(
        "apiVersion: clusterous.io/v1\nkind: ClusterousApp\nmetadata: {name: app}\n"
        "spec: {image: python, master: {command: [python]}}\n"
    )

    assert main.run(command) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("✗ ")
    assert "clusterous create FILE" in said.err


def test_destroying_what_is_not_there_is_done(
    world: cloud.World, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert main.run(["destroy", "--yes"]) == 0
        said = capsys.readouterr().err  # the file in this folder says which
        assert said == "There is nothing of reef in eu-west-1 (account 123456789012).\n"

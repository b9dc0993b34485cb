"""What was typed, for the command that goes on."""

import click
import pytest
from click.testing import CliRunner

from clusterous_cli import main
from clusterous_cli.terminal import options


@click.group(cls=options.Group)
def group() -> None:
    """All of it."""


@group.command("off", cls=options.Command)
@click.argument("name", required=False)
@click.option("--keep-data", is_flag=True)
@click.option("--count", type=int)
@click.option("--skip-check", "skipped", multiple=True)
@click.option("--confirm", is_flag=True)
@options.break_lock
@options.with_settings
def off(settings: options.Settings, **_: object) -> None:
    """Turn it off."""
    click.echo(options.also("count"))


@pytest.mark.parametrize(
    ("typed", "also"),
    [
        ("off reef", ""),
        ("off --keep-data", " --keep-data"),
        ("--region us-west-2 off --profile lab", " --region us-west-2 --profile lab"),
        ("off --skip-check 'quota: vCPUs' --skip-check clock",
         " --skip-check 'quota: vCPUs' --skip-check clock"),
        ("off --count 3 --keep-data reef", " --keep-data"),
        ("--cluster reef off -y -q --confirm --break-lock -o json", ""),
    ],
)  # fmt: skip
def test_what_goes_on_has_the_options_that_say_what_is_meant(typed: str, also: str) -> None:
    assert CliRunner().invoke(group, typed).output == f"{also}\n"


@pytest.mark.parametrize("typed", ["nan", "inf", "-inf", "1e999", "x", "-1"])
def test_what_cannot_be_reckoned_with_is_no_number(typed: str) -> None:
    with pytest.raises(click.BadParameter):
        options.Finite(min=0).convert(typed, None, None)


def test_every_number_of_an_option_can_be_reckoned_with() -> None:
    """A time without end, or a `nan` that nothing is before or after, is waited for for ever."""
    for name in main.COMMANDS:
        found = main.cli.get_command(click.Context(main.cli), name)
        assert found is not None
        for one in (found, *getattr(found, "commands", {}).values()):
            kinds = [parameter.type for parameter in one.params]
            reals = [kind for kind in kinds if isinstance(kind, click.types.FloatParamType)]
            assert all(isinstance(kind, options.Finite) for kind in reals), name


def test_a_number_is_read() -> None:
    assert options.Finite(min=0, max=9).convert("1.5", None, None) == 1.5


def taking() -> list[list[str]]:
    """Every command that takes words, of groups those of each verb, with an empty one."""
    found = []
    for name in main.COMMANDS:
        command = main.cli.get_command(click.Context(main.cli), name)
        assert command is not None
        verbs: dict[tuple[str, ...], click.Command] = {(name,): command}
        verbs |= {(name, key): one for key, one in getattr(command, "commands", {}).items()}
        for words, one in verbs.items():
            kinds = [p.type for p in one.params if isinstance(p, click.Argument)]
            if any(isinstance(kind, click.types.StringParamType) for kind in kinds):
                found.append([*words, *[""] * len(kinds)])
    return found


@pytest.mark.parametrize("words", taking(), ids=" ".join)
def test_a_word_that_is_empty_is_not_taken_for_none(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With `destroy "$NAME" --yes`, and no such variable, the only cluster would go."""
    assert main.run(words) == 2
    assert "is empty. Is a variable of your script not set?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["destroy", "--cluster", ""], ["--cluster", "", "quit"], ["status", "--region", ""],
        ["status", "--profile", ""], ["put", "x", ""], ["rm", "a", ""], ["image", "rm", "a", ""],
        ["logs", "--grep", ""], ["run", "x.yaml", "--name", ""],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_option_that_is_empty_is_not_taken_for_none(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(words) == 2
    assert "is empty. Is a variable of your script not set?" in capsys.readouterr().err


def test_a_variable_that_is_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTEROUS_CLUSTER", "")

    assert CliRunner().invoke(group, "off").exit_code == 0


def test_what_is_handed_on_to_kubectl_may_be_empty() -> None:
    command = main.cli.get_command(click.Context(main.cli), "kubectl")
    assert command is not None

    with command.make_context("kubectl", ["get", ""]) as ctx:
        assert ctx.params["arguments"] == ("get", "")

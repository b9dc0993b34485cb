"""Of each program that is looked for it is said which commands need it."""

from pathlib import Path

from clusterous_cli import commands
from clusterous_cli.checks import tools


def test_each_command_that_needs_kubectl_is_named() -> None:
    files = Path(commands.__file__).parent.glob("*.py")
    users = {one.stem for one in files if 'shell.program("kubectl")' in one.read_text()}

    said = tools.TOOLS["kubectl"].needed.replace(",", "").split()

    assert users
    assert users <= set(said)

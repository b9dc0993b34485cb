"""`clusterous completion SHELL`: the script that makes the shell complete commands and options."""

from typing import Final

import click
from click.shell_completion import get_completion_class

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings

# What click's script for bash lacks: names with spaces stay one word, and after a folder, or a
# component's colon, no space comes.
BASH: Final = (
    ("COMPREPLY+=($value)", 'COMPREPLY+=("$(printf %q "$value")")'),
    (
        "    return 0\n",
        "    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[/:] ]] && compopt -o nospace\n"
        "    return 0\n",
    ),
)


@click.command(cls=options.Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@options.with_settings
def command(settings: Settings, shell: str) -> None:
    """Print the completion script.

    It completes commands and options, clusters that this machine knows, programs and their
    components, and paths on the shared volume. The latter need a connection that is open already,
    as it is for ten minutes after most commands; offline, what was seen last is offered.

    \b
    bash:  clusterous completion bash > ~/.local/share/bash-completion/completions/clusterous
    zsh:   clusterous completion zsh  > "${fpath[1]}/_clusterous"
    fish:  clusterous completion fish > ~/.config/fish/completions/clusterous.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    group = click.get_current_context().find_root().command
    script = found(group, {}, "clusterous", "_CLUSTEROUS_COMPLETE").source()
    for theirs, ours in BASH if shell == "bash" else ():
        assert theirs in script
        script = script.replace(theirs, ours)
    click.echo(script)

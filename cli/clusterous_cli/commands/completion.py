"""`clusterous completion SHELL`: the script that makes the shell complete commands and options."""

import click
from click.shell_completion import get_completion_class

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@options.with_settings
def command(settings: Settings, shell: str) -> None:
    """Print the completion script.

    \b
    bash:  clusterous completion bash > ~/.local/share/bash-completion/completions/clusterous
    zsh:   clusterous completion zsh  > "${fpath[1]}/_clusterous"
    fish:  clusterous completion fish > ~/.config/fish/completions/clusterous.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    group = click.get_current_context().find_root().command
    click.echo(found(group, {}, "clusterous", "_CLUSTEROUS_COMPLETE").source())

"""Write docs/commands.md from the command line's own help: `make docs`. A test compares the two."""

from pathlib import Path

import click

from clusterous_cli import main

PAGE = Path(__file__).with_name("commands.md")
HEAD = """# The commands

Made from the command line's own help by `make docs`.
"""


def rendered() -> str:
    """Return the page as it should be."""
    top = click.Context(main.cli, info_name="clusterous", terminal_width=80, max_content_width=80)
    parts = [HEAD, _block("clusterous", top.get_help())]
    for name in main.cli.list_commands(top):
        command = main.cli.get_command(top, name)
        if command is None or name in main.HIDDEN:
            continue
        context = click.Context(
            command, info_name=name, parent=top, terminal_width=80, max_content_width=80
        )
        parts.append(_block(f"clusterous {name}", command.get_help(context)))
        for verb in command.list_commands(context) if isinstance(command, click.Group) else ():
            below = command.get_command(context, verb)
            assert below is not None
            inner = click.Context(
                below, info_name=verb, parent=context, terminal_width=80, max_content_width=80
            )
            parts.append(_block(f"clusterous {name} {verb}", below.get_help(inner)))
    return "\n".join(parts)


def _block(title: str, text: str) -> str:
    return f"## {title}\n\n```text\n{text.rstrip()}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(rendered())

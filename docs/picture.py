"""Draw docs/terminal.svg from docs/terminal.txt, which `make demo` showed: `make docs`."""

import io
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

HERE = Path(__file__).parent
STYLES = {"$": "bold white", "✓": "green", "✗": "red", "→": "cyan"}


def line(text: str) -> Text:
    """Colour a line by how it begins, as a terminal does."""
    return Text(text, style=STYLES.get(text.lstrip()[:1], ""))


def main() -> None:
    console = Console(record=True, width=96, file=io.StringIO(), force_terminal=True)
    for each in (HERE / "terminal.txt").read_text().splitlines():
        console.print(line(each))
    picture = console.export_svg(title="clusterous", theme=MONOKAI, unique_id="terminal")
    (HERE / "terminal.svg").write_text(picture)


if __name__ == "__main__":
    main()

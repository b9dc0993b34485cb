"""What the documents say is what the program does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def test_the_page_of_commands_is_what_help_says() -> None:
    # In a process of its own, for what other tests have imported changes what is listed.
    program = "import commands, sys; sys.stdout.write(commands.rendered())"
    argv = [sys.executable, "-c", program]
    said = subprocess.run(argv, cwd=CHECKOUT / "docs", capture_output=True, text=True, check=True)

    assert (CHECKOUT / "docs/commands.md").read_text() == said.stdout, "run make docs"


DOCUMENTS = sorted(
    [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("examples/**/*.md")]
)


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())

    broken = [link for link in links if not (page.parent / link).exists()]

    assert broken == []


def test_every_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^\$ make ([a-z-]+)", (CHECKOUT / "README.md").read_text(), re.M))

    made = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.M))

    assert targets
    assert targets <= made

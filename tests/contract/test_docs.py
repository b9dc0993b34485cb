"""What the documents say is what the program does."""

import importlib.util
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def test_the_page_of_commands_is_what_help_says() -> None:
    spec = importlib.util.spec_from_file_location("commands", CHECKOUT / "docs/commands.py")
    assert spec is not None
    assert spec.loader is not None
    commands = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(commands)

    assert commands.PAGE.read_text() == commands.rendered(), "run make docs"


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

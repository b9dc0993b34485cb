"""Recipes that build on other images of the person's own."""

from pathlib import Path

import pytest

from clusterous_cli.images import contexts
from clusterous_cli.images.context import bases, taken
from clusterous_cli.images.context.taken import Source

RECIPE = """\
# FROM registry:5000/comment
FROM --platform=linux/amd64 registry:5000/base:v1 AS one
from registry:5000/base:v1
FROM python:3.11
COPY --from=registry:5000/tool /bin/x /bin/x
COPY --chown=1 --from=one a b
RUN echo FROM registry:5000/text
"""


def test_finds_what_a_recipe_builds_on() -> None:
    assert bases.named(RECIPE) == ("registry:5000/base:v1", "registry:5000/tool")
    assert bases.named("FROM registry:5000/a") == ("registry:5000/a",)
    assert bases.named("FROM registry:5000/a:${X}\nFROM registry:5000/$Y\n") == ()


def test_puts_the_reference_in_its_place_and_nothing_else() -> None:
    known = {"registry:5000/base:v1": "r.example/base:src-1", "registry:5000/tool": "r.example/t:2"}

    assert bases.rebased(RECIPE, known).splitlines() == [
        "# FROM registry:5000/comment",
        "FROM --platform=linux/amd64 r.example/base:src-1 AS one",
        "from r.example/base:src-1",
        "FROM python:3.11",
        "COPY --from=r.example/t:2 /bin/x /bin/x",
        "COPY --chown=1 --from=one a b",
        "RUN echo FROM registry:5000/text",
    ]


@pytest.mark.parametrize("known", [(), (("registry:5000/base:v1", "r.example/base:src-1"),)])
def test_the_persons_own_recipe_is_left_as_it_is(
    tmp_path: Path, known: tuple[tuple[str, str], ...]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "Dockerfile").write_bytes(RECIPE.encode() + b"# \xff\n")
    before = (folder / "Dockerfile").read_bytes()

    with taken.copy(Source(folder=folder, bases=known), tmp_path) as copied:
        written = copied.recipe.read_bytes()
        inside = (copied.context / "Dockerfile").read_bytes()

    assert (b"r.example" in written) is bool(known)
    assert written.endswith(b"# \xff\n")
    assert (folder / "Dockerfile").read_bytes() == inside == before


@pytest.mark.parametrize(
    ("reference", "tag", "digest"),
    [
        ("r.example/c/base:src-1", "r.example/c/base:src-1", "r.example/c/base:src-1"),
        ("r:5000/base:v1@sha256:0", "r:5000/base:v1", "r:5000/base@sha256:0"),
        ("r:5000/base@sha256:0", "r:5000/base@sha256:0", "r:5000/base@sha256:0"),
    ],
)
def test_builders_are_given_a_tag_and_programs_a_digest(
    reference: str, tag: str, digest: str
) -> None:
    assert (bases.by_tag(reference), bases.by_digest(reference)) == (tag, digest)


def test_the_tag_knows_what_is_below(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM registry:5000/base\n")
    word = "registry:5000/base"

    tags = {
        contexts.plan_build("t", tmp_path, under).tag
        for under in ({}, {word: "r/c/base:src-1"}, {word: "r/c/base:src-2"})
    }

    assert len(tags) == 3
    # The same content has the same tag in every account.
    assert contexts.plan_build("t", tmp_path, {word: "other/x/base:src-1"}).tag in tags

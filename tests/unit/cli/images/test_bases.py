"""Recipes that build on other images of the person's own."""

from pathlib import Path

import pytest

from clusterous_cli.images import bases, builder, contexts
from clusterous_cli.images.builder import Builder, Kind

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
    assert bases.named("FROM registry:5000/a${X}\n") == ("registry:5000/a${X}",)


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


@pytest.mark.parametrize("known", [{}, {"registry:5000/base:v1": "r.example/base:src-1"}])
def test_the_persons_own_recipe_is_left_as_it_is(tmp_path: Path, known: dict[str, str]) -> None:
    (tmp_path / "Dockerfile").write_bytes(RECIPE.encode() + b"# \xff\n")
    (tmp_path / "Dockerfile.dockerignore").write_text("secret\n")
    before = (tmp_path / "Dockerfile").read_bytes()

    with bases.recipe(tmp_path, known) as recipe:
        assert (recipe == tmp_path / "Dockerfile") is not bool(known)
        assert (b"r.example" in recipe.read_bytes()) is bool(known)
        assert recipe.read_bytes().endswith(b"# \xff\n")
        assert Path(f"{recipe}.dockerignore").read_text() == "secret\n"

    assert (tmp_path / "Dockerfile").read_bytes() == before


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


@pytest.mark.parametrize("kind", list(Kind))
def test_only_what_builds_on_ours_shows_our_login(kind: Kind) -> None:
    made = Builder(kind=kind, state=Path("/s"))
    with_ours, without = (
        builder.build_argv(made, "r/t:1", Path("/f"), Path("/r"), pulls=pulls)
        for pulls in (True, False)
    )

    assert ("--authfile" in with_ours) is (kind is not Kind.DOCKER)
    assert "--authfile" not in without

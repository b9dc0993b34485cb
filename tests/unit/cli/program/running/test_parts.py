"""Which app and which component are meant by what is typed."""

from typing import Any

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.program.running import parts


def app(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


REEF = app("reef", master={}, workers={"aliases": ["engine"]}, components=[{"name": "db"}])
TILES = app("tiles", master={}, components=[{"name": "engine-2", "aliases": ["workers"]}])


@pytest.mark.parametrize(
    ("name", "app", "title"),
    [
        ("engine", None, "reef/workers"),
        ("db", None, "reef/db"),
        ("workers", None, "tiles/engine-2"),
        ("master", "tiles", "tiles/master"),
        ("master", "default/reef", "reef/master"),
    ],
)
def test_a_component_is_meant_by_its_own_name(name: str, app: str | None, title: str) -> None:
    found = parts.one_of(parts.parts([REEF, TILES]), name, app)

    assert f"{found.app}/{found.title}" == title


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody", r"There is no component nobody \(there are: master, engine, db, workers\)"),
        ("master", "clusterous shell reef master, clusterous shell tiles master"),
    ],
)
def test_who_is_not_clear_is_told(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parts.one_of(parts.parts([REEF, TILES]), name)


@pytest.mark.parametrize(
    ("words", "app", "titles"),
    [
        pytest.param([], "reef", "master workers db", id="the-only-one"),
        pytest.param(["reef"], "reef", "master workers db", id="app"),
        pytest.param(["default/reef"], "reef", "master workers db", id="with-its-namespace"),
        pytest.param(["Reef"], "reef", "master workers db", id="as-its-file-has-it"),
        pytest.param(["engine"], "reef", "workers", id="component"),
        pytest.param(["reef", "engine"], "reef", "workers", id="both"),
    ],
)
def test_words_mean_an_app_before_a_component(words: list[str], app: str, titles: str) -> None:
    found = parts.chosen([REEF] if not words else [REEF, TILES], words, "scale")

    assert found.body["metadata"]["name"] == app
    assert [one.title for one in found.parts] == titles.split()
    assert found.is_named == ("engine" in words)


@pytest.mark.parametrize(
    ("bodies", "words", "said"),
    [
        pytest.param([REEF, TILES], [], "several apps: default/reef, default/tiles", id="several"),
        pytest.param([], [], "There is no app on the cluster", id="none"),
        pytest.param([REEF], ["nobody"], "There is no component nobody", id="nobody"),
        pytest.param([REEF], ["nobody", "db"], "no component db of nobody", id="nobodys"),
        pytest.param([REEF, TILES], ["master"], "clusterous scale tiles master", id="both-have"),
    ],
)
def test_words_that_are_not_clear_are_told(
    bodies: list[dict[str, Any]], words: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        parts.chosen(bodies, words, "scale")

"""One story about minors of Kubernetes: what is promised, what is tried, what is refused."""

import re
from pathlib import Path

import pytest
import yaml

from clusterous_cli.cluster.config import DEFAULT_K3S
from clusterous_operator.client import skew
from tests.region.parts import cache, minors, parts

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operator.md").read_text()
BUILD = (minors.USUAL.parent / "build.sh").read_text()
FLOOR = ".".join(map(str, skew.MINIMUM))


def said(pattern: str, text: str) -> str:
    """Return what the *pattern* finds in the text, which says it once."""
    (found,) = re.findall(pattern, text)
    return str(found)


def promised() -> list[str]:
    """Return the minors that the page on the operator calls tested."""
    return re.findall(r"\d+\.\d+", said(r"tested\s+on\s+((?:\d+\.\d+[,\s]+(?:and\s+)?)+)", PAGE))


def test_what_is_called_tested_is_tried() -> None:
    tried = [minors.of(minors.usual()), *minors.MINORS]

    assert promised() == sorted(tried, key=_number)


def test_tried_minors_follow_each_other() -> None:
    numbers = [_number(minor) for minor in promised()]

    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) >= 3


def test_the_page_says_which_minor_make_test_has() -> None:
    assert said(r"(\d+\.\d+)\s+by\s+`make test`", PAGE) == minors.of(minors.usual())


def test_chart_operator_and_pages_refuse_the_same() -> None:
    chart = yaml.safe_load((ROOT / "charts" / "clusterous" / "Chart.yaml").read_text())
    decision = (ROOT / "docs" / "adr" / "0004-one-writer.md").read_text()

    assert chart["kubeVersion"] == f">={FLOOR}.0-0"
    assert said(r"needs Kubernetes (\S+) or newer", PAGE) == FLOOR
    assert said(r"Kubernetes is older than (\d+\.\d+)", decision) == FLOOR


def test_no_tested_minor_is_refused() -> None:
    assert min(map(_number, promised())) >= skew.MINIMUM[1]


def test_the_clusters_that_we_make_run_a_tested_minor() -> None:
    assert said(r"^v(\d+\.\d+)\.", DEFAULT_K3S) in promised()


def test_the_usual_build_says_the_release_that_it_is_made_of() -> None:
    assert said(r"(?m)^kubernetes=(\S+)$", BUILD) == minors.usual()
    assert said(r"gitMinor=(\d+)", BUILD) == minors.of(minors.usual()).split(".")[1]


@pytest.mark.parametrize("minor", minors.MINORS)
def test_a_minor_is_made_of_one_release(minor: str) -> None:
    modules = (minors.GO / f"{minor}.mod").read_text()
    release = minors.release(minor)

    replaced = set(re.findall(r"^\tk8s\.io/\S+ => k8s\.io/\S+ v0\.(\S+)$", modules, re.MULTILINE))

    assert minors.of(release) == minor
    assert replaced == {release.removeprefix("1.")}


def test_a_plain_run_of_the_tests_builds_none_of_them() -> None:
    usual = {entry for entry, _ in parts.PLACES.values()}
    needed = {recipe.name for recipe in cache.closure(parts.RECIPES, usual)}

    assert needed.isdisjoint(map(minors.entry, minors.MINORS))


def _number(minor: str) -> int:
    return int(minor.removeprefix("1."))

"""The manifests on the page about scaling hang together, and say what the page says of them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterous_api import models, names
from clusterous_api.models import ScaledBy

DOCS = Path(__file__).parents[2] / "docs"


def manifests(page: Path) -> list[dict[str, Any]]:
    """Return the Kubernetes objects in a page's YAML."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.M | re.S)
    found = [one for block in blocks for one in yaml.safe_load_all(block)]
    return [one for one in found if isinstance(one, dict) and "kind" in one]


OURS = manifests(DOCS / "scaling.md")
APPS = {one["metadata"]["name"]: one for one in OURS if one["kind"] == names.KIND}
SCALERS = [one for one in OURS if one["kind"] != names.KIND]


def test_the_page_has_all_its_recipes() -> None:
    kinds = [one["kind"] for one in SCALERS]

    assert kinds == ["HorizontalPodAutoscaler", "HorizontalPodAutoscaler", "ScaledObject"]
    assert len(APPS) == len(OURS) - len(SCALERS)


@pytest.mark.parametrize("scaler", SCALERS, ids=lambda one: one["metadata"]["name"])
def test_what_is_scaled_is_an_app_that_leaves_its_number_to_it(scaler: dict[str, Any]) -> None:
    target = scaler["spec"]["scaleTargetRef"]

    assert (target["apiVersion"], target["kind"]) == (names.API_VERSION, names.KIND)
    workers = models.parse(APPS[target["name"]]).workers
    assert workers is not None
    assert workers.scaled_by is ScaledBy.AUTOSCALER
    assert "replicas" not in APPS[target["name"]]["spec"]["workers"]


@pytest.mark.parametrize("name", sorted(set(APPS) - {one["metadata"]["name"] for one in SCALERS}))
def test_what_no_autoscaler_scales_is_the_operators(name: str) -> None:
    workers = models.parse(APPS[name]).workers

    assert workers is not None
    assert workers.scaled_by is ScaledBy.OPERATOR

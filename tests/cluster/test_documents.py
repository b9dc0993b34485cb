"""What the pages show, the API server takes, with no field that it does not know."""

from typing import Any

import pytest

from clusterous_api import names
from tests.cluster.conftest import APPS
from tests.cluster.controlplane import ControlPlane
from tests.contract.test_scaling_page import DOCS, manifests

pytestmark = pytest.mark.cluster

COLLECTIONS = {
    names.KIND: APPS.format("default"),
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
}
PAGES = sorted([*DOCS.glob("*.md"), DOCS.parent / "README.md"])
SHOWN = [
    pytest.param(one, id=f"{page.name}-{one['kind']}-{one['metadata']['name']}")
    for page in PAGES
    for one in manifests(page)
    if one["kind"] in COLLECTIONS
]


@pytest.mark.parametrize("manifest", SHOWN)
def test_the_api_server_takes_it(shared_plane: ControlPlane, manifest: dict[str, Any]) -> None:
    path = COLLECTIONS[manifest["kind"]] + "?dryRun=All&fieldValidation=Strict"
    metadata = {**manifest["metadata"], "namespace": "default"}

    shared_plane.api("POST", path, {**manifest, "metadata": metadata})

"""An object that has the name of one of ours is taken over only if we made it."""

from collections.abc import Mapping
from typing import Any

import pytest

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_operator.client.cluster import ConflictError
from clusterous_operator.manifests import Manifest
from tests.unit.operator.controller.test_deeds import Bench, Server

OURS = {**names.selector("sim", "master"), names.LABEL_MANAGED_BY: names.MANAGED_BY}
NOTED = {names.ANNOTATION_APPLIED: "hash"}
MINE = {"uid": "app-uid", "controller": True}


class Taken(Server):
    """An API server in which the Service's name is taken."""

    there: Mapping[str, Any]

    async def apply(self, manifest: Manifest, *, force: bool, sub: str = "") -> Mapping[str, Any]:  # type: ignore[override]
        if manifest["kind"] == "Service" and not force:
            raise ConflictError("conflict")
        return await super().apply(manifest, force=force, sub=sub)

    async def read(self, kind: str, namespace: str | None, name: str) -> Mapping[str, Any]:
        known = {"namespace": "lab", "name": name, "uid": "u", "resourceVersion": "7"}
        return {"metadata": known | self.there, "spec": {"clusterIP": "10.43.0.1"}}


def taken_over(metadata: Mapping[str, Any]) -> bool:
    bench = Bench(master={})
    server = Taken(bench.server.body, {})
    server.there = metadata
    bench.server = server
    bench.reconciler._cluster = server  # type: ignore[assignment]  # a fake
    bench.store.services.replace([], None, 10**9)
    try:
        written = bench.look()
    except UserError:
        return False
    return ("Service", "sim-master") in written


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"ownerReferences": [MINE]}, id="owned by this app"),
        pytest.param({"labels": OURS, "annotations": NOTED}, id="left by an earlier one"),
        pytest.param(
            {"labels": OURS, "annotations": NOTED, "ownerReferences": [{"uid": "x"}]},
            id="with an owner that controls nothing",
        ),
    ],
)
def test_takes_over_what_it_has_made(metadata: Mapping[str, Any]) -> None:
    assert taken_over(metadata)


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({}, id="plain"),
        pytest.param({"labels": OURS}, id="labels that kubectl expose has copied"),
        pytest.param({"ownerReferences": [{"uid": "x", "controller": True}]}, id="another's"),
        pytest.param({"ownerReferences": [{"uid": "x"}]}, id="another's, not controlled"),
    ],
)
def test_leaves_what_is_anothers(metadata: Mapping[str, Any]) -> None:
    assert not taken_over(metadata)

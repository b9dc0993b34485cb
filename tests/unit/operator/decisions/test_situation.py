"""The facts by which manifests are made: what is there stays as it is."""

import dataclasses
from typing import Any

import pytest

from clusterous_api import models, names
from clusterous_api.errors import UserError
from clusterous_operator import manifests
from clusterous_operator.decisions import situation
from clusterous_operator.decisions.counting import Size
from tests.unit.operator.making import (
    FakeApi,
    make_app,
    make_node,
    make_pod,
    settle,
    steps_of,
    summary,
)


@pytest.mark.parametrize("mode", ["ReadWriteOnce", "ReadWriteMany"])
@pytest.mark.parametrize("nodes", [1, 3])
def test_a_claim_that_is_there_keeps_its_mode_however_many_nodes_there_are(
    mode: str, nodes: int
) -> None:
    app, api = make_app(), FakeApi()
    settle(app, api)
    api.objects["PersistentVolumeClaim", "sim-data"]["spec"]["accessModes"] = [mode]

    api.nodes = tuple(make_node(f"n{number}") for number in range(nodes))

    facts = situation.facts(api.observe(app), Size())
    assert facts.single_node is (mode == "ReadWriteOnce")


@pytest.mark.parametrize(
    "text",
    ["- a", "hostPath: /x", "hostPath: {path: 5}", "hostPath: {type: Directory}",
     "nfs: x", "nfs: [a]", "nfs: {server: 5}", "nfs: {server: [x]}", "{{",
     "nfs: {server: a, path: 5}", "nfs: {server: a, mountOptions: hard}",
     "nfs: {server: a, mountOptions: [1]}", "nfs: {server: a, mountOptions: {hard: 1}}"],
)  # fmt: skip
def test_a_volume_of_the_cluster_in_another_shape_is_told(text: str) -> None:
    api = FakeApi()
    api.cluster = {names.CLUSTER_VOLUME_KEY: text}

    with pytest.raises(UserError, match=r"volume\.yaml in ConfigMap clusterous-cluster"):
        steps_of(api.observe(make_app()))


def run_by_an_older_operator(app: models.App) -> FakeApi:
    """Return a cluster whose operator knew of no machine for masters."""
    api = FakeApi()
    for _ in range(3):
        facts = situation.facts(api.observe(app), Size())
        for one in manifests.desired(app, dataclasses.replace(facts, masters_anywhere=True)):
            api.apply(one)
    api.run()
    return api


@pytest.mark.parametrize("run", ["Service", "Batch"])
def test_an_operator_that_knows_of_a_machine_for_masters_starts_none_anew(run: str) -> None:
    app = make_app(run=run)
    api = run_by_an_older_operator(app)
    api.pods = (make_pod(),)

    assert steps_of(api.observe(app)) == []
    told = summary(app, api)["conditions"]
    assert "next run" not in str(told)


@pytest.mark.parametrize("change", [{"suspend": True}, {"image": "other"}])
def test_a_master_wishes_for_its_machine_from_the_next_change_on(change: dict[str, Any]) -> None:
    api = run_by_an_older_operator(make_app())

    settle(make_app(**change), api)

    spec = api.objects["Deployment", "sim-master"]["spec"]["template"]["spec"]
    assert [one["key"] for one in spec["tolerations"]] == [names.MASTER_TAINT]
    assert steps_of(api.observe(make_app(**change))) == []

"""The facts by which manifests are made: what is there stays as it is."""

import pytest

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_operator.decisions import situation
from clusterous_operator.decisions.counting import Size
from tests.unit.operator.making import FakeApi, make_app, make_node, settle, steps_of


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

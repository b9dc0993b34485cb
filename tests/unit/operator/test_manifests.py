"""What an app wants: pods, services and volumes as the documentation promises them."""

from typing import Any

import pytest

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_api.models import App
from clusterous_operator import manifests
from clusterous_operator.manifests import Facts, Manifest
from tests.unit.operator.making import MASTER, make_app

READY = Facts(addresses={"master": "10.43.0.9"}, replicas={"master": 1, "workers": 2})
EFS = {"nfs": {"server": "10.0.0.5", "path": "/"}}


def wanted(app: App, facts: Facts = READY) -> dict[tuple[str, str], Manifest]:
    return {(one["kind"], one["metadata"]["name"]): one for one in manifests.desired(app, facts)}


def pod_of(app: App, component: str = names.MASTER, facts: Facts = READY) -> dict[str, Any]:
    found = app.component(component)
    assert found is not None
    return manifests.pod_template(app, found, facts)


def test_makes_a_deployment_a_service_and_a_claim() -> None:
    assert set(wanted(make_app())) == {
        ("PersistentVolumeClaim", "sim-data"),
        ("Service", "sim-master"),
        ("Deployment", "sim-master"),
    }


def test_workloads_wait_for_the_addresses_of_all_services() -> None:
    found = wanted(make_app(), Facts(replicas={"master": 1}))

    assert ("Deployment", "sim-master") not in found


def test_everything_but_data_belongs_to_the_app() -> None:
    owned = {
        kind
        for (kind, _), one in wanted(make_app()).items()
        if "ownerReferences" in one["metadata"]
    }

    assert owned == {"Deployment", "Service"}


def test_components_know_each_other_by_short_and_legacy_names() -> None:
    assert pod_of(make_app())["spec"]["hostAliases"] == [
        {"ip": "10.43.0.9", "hostnames": ["master", "sim-master", "master.marathon.mesos"]}
    ]


def test_tells_each_component_who_and_where_it_is() -> None:
    env = pod_of(make_app(workers={}), names.WORKERS)["spec"]["containers"][0]["env"]

    assert {item["name"]: item["value"] for item in env} == {
        "CLUSTEROUS_APP": "sim",
        "CLUSTEROUS_COMPONENT": "workers",
        "CLUSTEROUS_MASTER_HOST": "sim-master",
    }


def test_the_users_variable_wins() -> None:
    app = make_app(master={"env": [{"name": "CLUSTEROUS_APP", "value": "mine"}]})

    env = pod_of(app)["spec"]["containers"][0]["env"]

    assert [item["value"] for item in env if item["name"] == "CLUSTEROUS_APP"] == ["mine"]


def test_the_volume_is_mounted_at_home_data() -> None:
    spec = pod_of(make_app(sharedVolume={"subPath": "runs"}))["spec"]

    assert spec["containers"][0]["volumeMounts"] == [
        {"name": "data", "mountPath": "/home/data", "subPath": "runs"}
    ]
    assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "sim-data"}


def test_pods_get_no_rights_that_they_do_not_need() -> None:
    spec = pod_of(make_app())["spec"]

    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["containers"][0]["securityContext"] == {"allowPrivilegeEscalation": False}


def test_a_lost_node_is_given_up_after_ten_seconds() -> None:
    patience = {
        item["key"]: item["tolerationSeconds"] for item in pod_of(make_app())["spec"]["tolerations"]
    }

    assert patience == {"node.kubernetes.io/not-ready": 10, "node.kubernetes.io/unreachable": 10}


def test_the_users_patience_with_nodes_wins() -> None:
    theirs = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 99}
    app = make_app(master={"template": {"spec": {"tolerations": [theirs]}}})

    found = pod_of(app)["spec"]["tolerations"]

    assert [one["tolerationSeconds"] for one in found] == [99, 10]


def test_the_overlay_cannot_take_our_labels_away() -> None:
    labels = {names.LABEL_APP: "other", "team": "x"}
    app = make_app(master={"template": {"metadata": {"labels": labels}}})

    found = pod_of(app)["metadata"]["labels"]

    assert (found[names.LABEL_APP], found["team"]) == ("sim", "x")


def test_the_controller_is_tolerated_by_role() -> None:
    spec = pod_of(make_app(master={"placement": {"role": "controller"}}))["spec"]

    assert spec["nodeSelector"] == {names.LABEL_ROLE: "controller"}
    assert names.CONTROL_PLANE_TAINT in {one["key"] for one in spec["tolerations"]}


def test_masters_are_never_two_workers_roll() -> None:
    found = wanted(make_app(workers={}))

    assert found["Deployment", "sim-master"]["spec"]["strategy"] == {"type": "Recreate"}
    assert "strategy" not in found["Deployment", "sim-workers"]["spec"]


def test_a_batch_master_is_a_job() -> None:
    found = wanted(make_app(run="Batch"))

    assert found["Job", "sim-master"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert ("Deployment", "sim-master") not in found


def test_a_master_without_ports_is_found_by_its_name() -> None:
    found = wanted(make_app(master={}))

    assert found["Service", "sim-master"]["spec"]["clusterIP"] == "None"


def test_a_component_without_ports_has_no_service() -> None:
    assert ("Service", "sim-workers") not in wanted(make_app(workers={}))


def test_the_clusters_own_volume_is_nfs_for_the_whole_namespace() -> None:
    found = wanted(make_app(), Facts(on_cluster_volume=True, cluster_volume=EFS))

    volume = found["PersistentVolume", "clusterous.lab"]
    assert volume["spec"]["nfs"] == {"server": "10.0.0.5", "path": "/"}
    assert "noresvport" in volume["spec"]["mountOptions"]
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert volume["spec"]["claimRef"]["name"] == names.CLUSTER_CLAIM
    assert names.LABEL_APP not in volume["metadata"]["labels"]
    assert (
        found["PersistentVolumeClaim", names.CLUSTER_CLAIM]["spec"]["volumeName"]
        == "clusterous.lab"
    )


@pytest.mark.parametrize(
    ("configured", "has_own", "has_shared", "told"),
    [
        pytest.param(False, False, False, False, id="no cluster volume"),
        pytest.param(True, False, False, True, id="a cluster volume"),
        pytest.param(True, True, False, False, id="began before there was one"),
        pytest.param(False, False, True, True, id="its configuration vanished"),
    ],
)
def test_an_app_stays_with_the_volume_it_began_with(
    configured: bool, has_own: bool, has_shared: bool, told: bool
) -> None:
    found = manifests.on_cluster_volume(
        configured=configured, has_own=has_own, has_shared=has_shared
    )

    assert found is told


@pytest.mark.parametrize(
    ("single_node", "mode"), [(True, "ReadWriteOnce"), (False, "ReadWriteMany")]
)
def test_a_new_claim_is_shared_between_nodes_where_there_are_several(
    single_node: bool, mode: str
) -> None:
    claim = wanted(make_app(), Facts(single_node=single_node))["PersistentVolumeClaim", "sim-data"]

    assert claim["spec"] == {
        "accessModes": [mode],
        "resources": {"requests": {"storage": "20Gi"}},
    }


def test_a_claim_of_the_users_is_only_mounted() -> None:
    app = make_app(sharedVolume={"claimName": "mine"})

    assert not any(kind.startswith("Persistent") for kind, _ in wanted(app))
    assert manifests.claim_name(app, READY) == "mine"


def test_an_efs_is_found_by_its_name_in_the_region() -> None:
    app = make_app(sharedVolume={"existing": {"efs": {"fileSystemId": "fs-1"}}})

    volume = wanted(app, Facts(region="eu-west-1"))["PersistentVolume", "clusterous.lab.sim"]

    assert volume["spec"]["nfs"]["server"] == "fs-1.efs.eu-west-1.amazonaws.com"


def test_an_efs_without_address_is_refused_in_words() -> None:
    app = make_app(sharedVolume={"existing": {"efs": {"fileSystemId": "fs-1"}}})

    with pytest.raises(UserError, match=r"efs\.server"):
        wanted(app, Facts())


def test_what_is_kept_is_what_is_wanted() -> None:
    app = make_app(master=MASTER, workers={})
    children = {key for key in wanted(app) if not key[0].startswith("Persistent")}

    assert manifests.kept(app, READY) == children

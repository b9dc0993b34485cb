"""What the cluster itself runs: how it is spelled, marked, and told from what was before."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml

from clusterous_api import names
from clusterous_cli.addons import addon, cloudcontroller, operatorchart, registry, table
from clusterous_cli.addons.addon import Addon, Manifest, Mark, Setting
from clusterous_cli.boot import pki
from clusterous_cli.cluster import config
from clusterous_cli.cluster.payload import Blob
from clusterous_cli.system import assets

REEF = config.parse("name: reef\n")
SETTING = Setting(
    config=REEF,
    region="eu-west-1",
    operator=f"{operatorchart.IMAGE}:2",
    archives={
        "operator": Blob(key="boot/1/clusterous-operator-2.tar", sha256="1" * 64),
        "volume": Blob(key="boot/3/clusterous-volume-2.tar", sha256="3" * 64),
    },
    bucket="our-images",
    registry=pki.create("reef", datetime.now(UTC)).registry,
)


def objects(one: Addon, setting: Setting = SETTING) -> dict[tuple[str, str], Manifest]:
    """Return the objects of an add-on as they come to the cluster, by kind and name."""
    found = yaml.safe_load_all(addon.rendered(one, setting).manifest)
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def test_the_registry_is_told_nothing_by_names_of_services() -> None:
    found = objects(registry.ADDON)
    pod = found["Deployment", "registry"]["spec"]["template"]["spec"]

    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert "hostNetwork" not in pod  # so it does not reach the machine's own role


def test_the_registry_that_nodes_pull_from_changes_nothing_and_neither_remembers() -> None:
    files = objects(registry.ADDON)["Secret", "registry"]["stringData"]
    told = {name: json.loads(files[f"{name}.json"]) for name in registry.PORTS}

    reads, writes = told["read"], told["write"]
    assert reads["storage"]["maintenance"]["readonly"]["enabled"] is True
    assert reads["http"]["tls"]["clientcas"]
    assert "auth" not in reads
    assert "auth" in writes
    assert "clientcas" not in writes["http"]["tls"]
    for one in (reads, writes):
        # No cache: another cluster may have removed what it remembers.
        assert "cache" not in one["storage"]
        assert one["http"]["secret"] == SETTING.registry[pki.UPLOADS]
        assert one["storage"]["redirect"] == {"disable": False}
        assert one["storage"]["s3"]["bucket"] == "our-images"
    # What signs tokens is the command line's alone.
    assert not any(SETTING.registry[pki.PUSH[1]] in text for text in files.values())
    assert not any(SETTING.registry[pki.NODE[1]] in text for text in files.values())


def test_the_chart_is_packed_the_same_way_each_time() -> None:
    assert operatorchart.chart() == operatorchart.chart()


def test_the_operator_comes_with_its_definition_and_what_it_should_know() -> None:
    on_efs = replace(SETTING, config=config.parse("name: reef\nvolume: efs\n"))

    found = objects(operatorchart.ADDON, on_efs)

    # Definition and namespace first: what comes after is of the one and lies in the other.
    assert [kind for kind, _ in found] == [
        "CustomResourceDefinition",
        "Namespace",
        "ConfigMap",
        "HelmChart",
    ]
    known = found["ConfigMap", names.CLUSTER_CONFIG]["data"]
    assert known["name"] == "reef"
    assert yaml.safe_load(known["volume.yaml"])["nfs"]["server"] == "10.40.16.11"
    shipped = (assets.chart_folder() / "crds" / "clusterousapps.yaml").read_text()
    definition = found["CustomResourceDefinition", "clusterousapps.clusterous.io"]
    assert definition == yaml.safe_load(shipped)


def test_the_operator_hears_of_a_volume_that_every_node_has() -> None:
    served = replace(SETTING, config=config.parse("name: reef\nvolume: ebs\n"))

    known = objects(operatorchart.ADDON, served)["ConfigMap", names.CLUSTER_CONFIG]["data"]

    assert yaml.safe_load(known["volume.yaml"]) == {"hostPath": {"path": names.VOLUME_GATE}}


def test_without_a_volume_the_operator_hears_of_none() -> None:
    bare = replace(SETTING, config=config.parse("name: reef\nvolume: none\n"))

    found = objects(operatorchart.ADDON, bare)

    known = found["ConfigMap", names.CLUSTER_CONFIG]["data"]
    assert known == {"name": "reef", "region": "eu-west-1"}


def test_the_operator_is_selected_by_what_no_worker_can_call_itself() -> None:
    chart = objects(operatorchart.ADDON)["HelmChart", "clusterous"]

    values = yaml.safe_load(chart["spec"]["valuesContent"])

    assert values["nodeSelector"] == {"node-role.kubernetes.io/control-plane": "true"}


def test_a_new_operator_takes_the_place_of_the_old_one_on_a_controller_that_is_full() -> None:
    chart = objects(operatorchart.ADDON)["HelmChart", "clusterous"]

    values = yaml.safe_load(chart["spec"]["valuesContent"])

    assert values["surge"] is False
    assert values["priorityClassName"] == "system-cluster-critical"  # before any program's pod


def test_the_cloud_controller_does_one_thing_beside_the_controllers_own() -> None:
    found = objects(cloudcontroller.ADDON)
    pod = found["Deployment", cloudcontroller.NAME]["spec"]["template"]["spec"]

    assert "--controllers=cloud-node-lifecycle" in pod["containers"][0]["args"]
    assert pod["hostNetwork"] is True
    assert pod["nodeSelector"] == {"node-role.kubernetes.io/control-plane": "true"}
    may = found["ClusterRole", cloudcontroller.NAME]["rules"]
    assert not any("*" in [*rule["resources"], *rule["verbs"]] for rule in may)


@pytest.mark.parametrize("one", table.ALL, ids=[one.name for one in table.ALL])
def test_every_addon_marks_its_pods_with_its_digest(one: Addon) -> None:
    made = addon.rendered(one, replace(SETTING, config=config.parse("name: reef\nlogging: 1\n")))

    # Of a chart the pods are made in the cluster: it is given the mark.
    told = made.manifest.decode().replace('"', "")
    assert f"{names.ANNOTATION_ADDON}: {one.name}@{made.digest}" in told


def plain(setting: Setting, mark: Mark) -> list[Manifest]:
    meta = {"name": setting.config.name, "annotations": dict(mark)}
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}]


def test_the_digest_is_of_the_objects_and_the_images() -> None:
    one = Addon(name="one", noun="one", manifests=plain, images=("operator",))
    other_image = {"operator": Blob(key="boot/2/clusterous-operator-2.tar", sha256="2" * 64)}
    other_name = config.parse("name: atoll\n")

    digests = [
        addon.rendered(one, setting).digest
        for setting in (
            SETTING,
            replace(
                SETTING, operator=f"{operatorchart.IMAGE}:3"
            ),  # which changes nothing in this one
            replace(SETTING, archives=other_image),
            replace(SETTING, config=other_name),
        )
    ]

    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_the_table_names_images_before_the_objects_that_need_them() -> None:
    made = table.made(SETTING)

    lines = [line.split() for line in made.text.splitlines()]
    assert [(line[0], *line[2:4]) for line in lines] == [
        ("operator", "images", "addon-operator.tar"),
        ("operator", "manifests", "addon-operator.yaml"),
        ("cloud-controller", "manifests", "addon-cloud-controller.yaml"),
        ("volume-server", "images", "addon-volume.tar"),
        ("volume-server", "pods", "addon-volume-server.yaml"),
        ("app-names", "manifests", "addon-app-names.yaml"),
    ]
    assert [(blob.key, blob.sha256) for blob in made.blobs] == [tuple(line[4:]) for line in lines]
    # Whoever runs a worker need not know what the controller is given.
    assert all(line[4].startswith("server/") for line in lines if line[2] == "manifests")
    assert list(made.awaited) == ["operator"]

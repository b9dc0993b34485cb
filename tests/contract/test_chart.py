"""The chart: clean, no wider than needed, and wide enough for all that the operator does."""

import subprocess
from typing import Any

import pytest

from clusterous_api import names
from clusterous_operator.cache import observed
from clusterous_operator.client import cluster
from clusterous_operator.client.login import connection
from clusterous_operator.controller.runtime import Machine
from clusterous_operator.controller.settings import Settings
from tests.contract import charting

Right = tuple[str, str, str]  # group, resource, verb

MADE = (observed.DEPLOYMENT, observed.JOB, observed.SERVICE, observed.CLAIM, observed.VOLUME)
REMOVED = (observed.DEPLOYMENT, observed.JOB, observed.SERVICE)


def kinds(manifests: list[dict[str, Any]], *wanted: str) -> list[dict[str, Any]]:
    return [one for one in manifests if one["kind"] in wanted]


def granted(manifests: list[dict[str, Any]]) -> set[Right]:
    return {
        (group, resource, verb)
        for role in kinds(manifests, "Role", "ClusterRole")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def right(kind: str, verb: str, sub: str = "") -> Right:
    prefix, plural = cluster.PATHS[kind]
    parts = prefix.split("/")
    group = parts[2] if parts[1] == "apis" else ""
    return (group, plural + sub, verb)


def needed(settings: Settings) -> set[Right]:
    machine = Machine(settings, cluster.Cluster(connection), lambda: 0.0)
    watched = {right(one.kind, verb) for one in machine.watches() for verb in ("list", "watch")}
    made = {right(kind, verb) for kind in MADE for verb in ("get", "create", "patch")}
    removed = {right(kind, "delete") for kind in REMOVED}
    told = {
        right(names.KIND, "patch", "/status"),
        right("Event", "create"),
        right("Event", "patch"),
        right("Event", "list"),  # a Job tells by events only why it makes no pods
    }
    # kopf reads apps, too; owning children that block a deletion asks for the finalizers.
    more = {right(names.KIND, "get"), right(names.KIND, "update", "/finalizers")}
    more |= {right("CustomResourceDefinition", "get")}
    # What lookup.py asks, the marks on idle pods, and the first word to an autoscaler.
    more |= {right("StorageClass", "get"), right("PodMetrics", "list"), right("Pod", "patch")}
    more |= {right(names.KIND, "patch", "/scale")}
    held = {right("Lease", verb) for verb in ("get", "create", "patch")}
    return watched | made | removed | told | more | held | {right("ConfigMap", "get")}


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        pytest.param((), Settings(), id="the whole cluster"),
        pytest.param(("watchNamespaces={lab}",), Settings(namespaces=("lab",)), id="one namespace"),
        pytest.param(
            ("namespaceSelector=served=yes",),
            Settings(namespace_selector="served=yes"),
            id="labelled namespaces",
        ),
    ],
)
def test_grants_exactly_what_is_needed(values: tuple[str, ...], settings: Settings) -> None:
    assert granted(charting.render(*values)) == needed(settings)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        pytest.param(("replicas=2", "lease=false"), "need lease", id="two writers"),
        pytest.param(("watchNamespaces={a}", "namespaceSelector=b"), "not both", id="both ways"),
    ],
)
def test_refuses_what_contradicts_itself(values: tuple[str, ...], why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        charting.render(*values)


def test_in_namespaced_mode_apps_are_read_only_there() -> None:
    manifests = charting.render("watchNamespaces={lab,field}")

    (whole,) = kinds(manifests, "ClusterRole")
    assert {one for rule in whole["rules"] for one in rule["resources"]} == {
        "customresourcedefinitions",
        "nodes",
        "persistentvolumes",
        "storageclasses",
    }
    roles = {one["metadata"]["namespace"] for one in kinds(manifests, "Role")}
    assert roles == {"lab", "field", "clusterous-system"}


def test_the_lease_is_ours_only_where_we_live() -> None:
    manifests = charting.render("watchNamespaces={lab,field}")

    holders = {
        one["metadata"].get("namespace")
        for one in kinds(manifests, "Role", "ClusterRole")
        if any("leases" in rule["resources"] for rule in one["rules"])
    }
    assert holders == {"clusterous-system"}


@pytest.mark.parametrize(
    ("values", "strategy", "flag"),
    [
        pytest.param((), "RollingUpdate", "--lease=on", id="with the Lease"),
        pytest.param(("lease=false",), "Recreate", "--lease=off", id="without"),
    ],
)
def test_two_operators_overlap_only_under_the_lease(
    values: tuple[str, ...], strategy: str, flag: str
) -> None:
    (deployment,) = kinds(charting.render(*values), "Deployment")

    spec = deployment["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, strategy)
    assert flag in container["args"]
    assert {one["name"] for one in container["env"]} == {"POD_NAME", "POD_NAMESPACE"}


@pytest.mark.parametrize(("surge", "beside", "away"), [("true", 1, 0), ("false", 0, 1)])
def test_an_update_asks_for_room_for_both_or_for_none(surge: str, beside: int, away: int) -> None:
    (deployment,) = kinds(charting.render(f"surge={surge}"), "Deployment")

    rolling = deployment["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": beside, "maxUnavailable": away}


def test_standbys_run_on_other_nodes() -> None:
    (deployment,) = kinds(charting.render("replicas=2"), "Deployment")

    (spread,) = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert spread["labelSelector"]["matchLabels"].items() <= labels.items()


def test_grants_nothing_by_star() -> None:
    assert not any("*" in one for one in granted(charting.render()))


def test_fits_the_restricted_pod_security_standard() -> None:
    (deployment,) = kinds(charting.render(), "Deployment")

    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {kind for one in pod["volumes"] for kind in one if kind != "name"} == {"emptyDir"}


@pytest.mark.parametrize(
    ("values", "image"),
    [
        pytest.param((), "ghcr.io/clusterous/clusterous-operator:2.0.0.dev0", id="version"),
        pytest.param(("image.tag=x",), "ghcr.io/clusterous/clusterous-operator:x", id="tag"),
        pytest.param(
            ("image.repository=r", f"image.digest=sha256:{'0' * 64}"),
            f"r@sha256:{'0' * 64}",
            id="digest",
        ),
    ],
)
def test_runs_the_image_that_was_asked_for(values: tuple[str, ...], image: str) -> None:
    (deployment,) = kinds(charting.render(*values), "Deployment")

    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == image


def test_tells_the_operator_about_the_volume() -> None:
    manifests = charting.render("clusterConfig.volume.nfs.server=10.0.0.5")

    (config,) = kinds(manifests, "ConfigMap")
    assert config["metadata"]["name"] == names.CLUSTER_CONFIG
    assert "10.0.0.5" in config["data"][names.CLUSTER_VOLUME_KEY]


def test_refuses_values_that_it_does_not_know() -> None:
    with pytest.raises(AssertionError, match="workerz"):
        charting.render("workerz=3")


def test_passes_helms_own_check() -> None:
    command = [charting.helm(), "lint", "--strict", str(charting.CHART)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr

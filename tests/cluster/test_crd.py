"""What the API server accepts as a ClusterousApp and what it refuses, with which words.

Every field has a value that is accepted and one that is refused, every rule an app that breaks it:
the lists here are held against the CRD, so that a new field or rule needs its row.
"""

import copy
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterous_api import names
from tests import programs
from tests.cluster.conftest import APPS, Lab
from tests.cluster.controlplane import ApiError, ControlPlane

pytestmark = pytest.mark.cluster

FILE = Path(__file__).parents[2] / "crds" / "clusterousapps.yaml"
CRD: dict[str, Any] = yaml.safe_load(FILE.read_text())
SCHEMA: dict[str, Any] = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

PORT = {"name": "http", "port": 80}
MASTER: dict[str, Any] = {"master": {}}
DB: dict[str, Any] = {"components": [{"name": "db"}]}


def create(plane: ControlPlane, name: str = "sim", **spec: Any) -> dict[str, Any]:
    """Ask for an app without making it."""
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name},
        "spec": {"image": "example.org/sim:1", **spec},
    }
    return plane.api("POST", APPS.format("default") + "?dryRun=All", body)


def needs(*others: str) -> dict[str, Any]:
    return {"dependsOn": [{"name": other} for other in others]}


# Of each field: a value that is accepted, one that is refused, and the API server's words for that.
NOT_TEXT = (1, "must be of type string")
NOT_MAP = ("x", "must be of type object")
NOT_LIST = ("x", "must be of type array")
NOT_BOOL = ("yes", "must be of type boolean")
NEGATIVE = (-1, "greater than or equal to 0")
ZERO = (0, "greater than or equal to 1")
NO_PORT = (65536, "less than or equal to 65535")
EMPTY = ("", "at least 1 chars")
NONE: tuple[list[Any], str] = ([], "at least 1 items")
CHOICE = ("Maybe", "Unsupported value")
LONG = ("x" * 64, "may not be more than 63")
SHARE = ("some", "should match")
TWICE = (["a", "a"], "Duplicate value")

FIELDS: dict[str, tuple[Any, Any, str]] = {
    "image": ("example.org/x", *EMPTY),
    "run": ("Batch", *CHOICE),
    "batch": ({}, *NOT_MAP),
    "batch.backoffLimit": (0, *NEGATIVE),
    "batch.activeDeadlineSeconds": (1, *ZERO),
    "batch.ttlSecondsAfterFinished": (0, *NEGATIVE),
    "batch.successPolicy": ({"components": ["master"]}, {}, "components: Required value"),
    "batch.successPolicy.operator": ("Any", *CHOICE),
    "batch.successPolicy.components": (["workers"], *NONE),
    "suspend": (True, *NOT_BOOL),
    "idle": ({"afterSeconds": 30}, {}, "afterSeconds: Required value"),
    "idle.afterSeconds": (3600, 29, "greater than or equal to 30"),
    "idle.cpu": (0.5, "half", "should match"),
    "failurePolicy": ({"rules": [{"action": "Fail", "exitCodes": [1]}]}, {}, "rules: Required"),
    "failurePolicy.maxRestarts": (0, *NEGATIVE),
    "failurePolicy.rules": ([{"action": "Ignore", "reasons": ["Evicted"]}], *NONE),
    "failurePolicy.rules[].components": (["workers"], *NONE),
    "failurePolicy.rules[].exitCodes": ([1, 255], [0], "greater than or equal to 1"),
    "failurePolicy.rules[].reasons": (["OOMKilled"], [""], "at least 1 chars"),
    "failurePolicy.rules[].action": ("RestartApp", *CHOICE),
    "imagePullSecrets": ([{"name": "a"}, {"name": "b"}], [{"name": "a"}] * 2, "Duplicate value"),
    "imagePullSecrets[].name": ("registry", *EMPTY),
    "logging": ({}, *NOT_MAP),
    "logging.enabled": (False, *NOT_BOOL),
    "logging.format": ("JSON", *CHOICE),
    "master": ({}, *NOT_MAP),
    "master.strategy": ({}, *NOT_MAP),
    "master.strategy.paused": (True, *NOT_BOOL),
    "workers": ({}, *NOT_MAP),
    "workers.replicas": (0, *NEGATIVE),
    "workers.scaledBy": ("Autoscaler", *CHOICE),
    "workers.min": (0, *NEGATIVE),
    "workers.max": (1, *ZERO),
    "workers.image": ("own", *EMPTY),
    "workers.command": (["sh", "-c", "x"], *NOT_LIST),
    "workers.args": (["x"], [1], "must be of type string"),
    "workers.env": ([{"name": "A"}, {"name": "B"}], [{"name": "A"}] * 2, "Duplicate value"),
    "workers.env[].name": ("B", *EMPTY),
    "workers.env[].value": ("$(A)", *NOT_TEXT),
    "workers.env[].valueFrom": ({"fieldRef": {"fieldPath": "status.hostIP"}}, *NOT_MAP),
    "workers.resources": ({}, *NOT_MAP),
    "workers.resources.requests": (
        {"cpu": 0.5, "memory": "1.5Gi", "nvidia.com/gpu": 1},
        {"cpu": "lots"},
        "should match",
    ),
    "workers.resources.limits": ({"cpu": "1e3", "memory": 1e9}, {"memory": "1 GB"}, "should match"),
    "workers.ports": ([PORT, {"name": "b", "port": 80}], [PORT, PORT], "Duplicate value"),
    "workers.ports[].name": ("a-1", "a_1", "should match"),
    "workers.ports[].port": (65535, *NO_PORT),
    "workers.ports[].targetPort": (1, *ZERO),
    "workers.ports[].protocol": ("UDP", *CHOICE),
    "workers.aliases": (["shard", "my.db"], ["My_DB"], "should match"),
    "workers.headless": (True, *NOT_BOOL),
    "workers.placement": ({}, *NOT_MAP),
    "workers.placement.role": ("controller", *CHOICE),
    "workers.placement.pool": ("gpu", *LONG),
    "workers.placement.nodeSelector": ({"a": "b"}, {"a": "x" * 64}, "may not be more than 63"),
    "workers.placement.tolerations": ([{"operator": "Exists"}], *NOT_LIST),
    "workers.placement.tolerations[].key": ("gpu", "x" * 317, "may not be more than 316"),
    "workers.placement.tolerations[].operator": ("Exists", *CHOICE),
    "workers.placement.tolerations[].value": ("yes", *LONG),
    "workers.placement.tolerations[].effect": ("NoExecute", *CHOICE),
    "workers.placement.tolerations[].tolerationSeconds": (0, "1", "must be of type integer"),
    "workers.placement.spread": (["Node", "Zone"], ["Rack"], "Unsupported value"),
    "workers.placement.priorityClassName": ("high", *EMPTY),
    "workers.dependsOn": ([{"name": "db"}], [{"name": "db"}] * 2, "Duplicate value"),
    "workers.dependsOn[].name": ("db", "x" * 21, "may not be more than 20"),
    "workers.dependsOn[].until": ("Complete", *CHOICE),
    "workers.template": ({}, *NOT_MAP),
    "workers.template.metadata": ({}, *NOT_MAP),
    "workers.template.metadata.labels": ({"a": "b"}, {"a": 1}, "must be of type string"),
    "workers.template.metadata.annotations": ({"a": "b"}, {"a": 1}, "must be of type string"),
    "workers.template.spec": ({"anything": {"goes": [1]}}, *NOT_MAP),
    "workers.securityContext": ({}, *NOT_MAP),
    "workers.securityContext.runAsUser": (0, *NEGATIVE),
    "workers.securityContext.runAsGroup": (0, *NEGATIVE),
    "workers.securityContext.runAsNonRoot": (True, *NOT_BOOL),
    "workers.securityContext.fsGroup": (0, *NEGATIVE),
    "workers.securityContext.supplementalGroups": ([1, 2], [1, 1], "Duplicate value"),
    "workers.drain": ({"httpGet": {"port": 80}}, *NOT_MAP),
    "workers.drain.httpGet": ({"port": 80}, {}, "port: Required value"),
    "workers.drain.httpGet.path": ("/drain", "drain", "should match"),
    "workers.drain.httpGet.port": (1, *NO_PORT),
    "workers.drain.exec": ({"command": ["x"]}, {}, "command: Required value"),
    "workers.drain.exec.command": (["sh", "-c", "x"], *NONE),
    "workers.drain.deadlineSeconds": (604800, *ZERO),
    "workers.strategy": ({}, *NOT_MAP),
    "workers.strategy.type": ("Recreate", *CHOICE),
    "workers.strategy.maxSurge": ("10%", *SHARE),
    "workers.strategy.maxUnavailable": (1, *SHARE),
    "workers.strategy.paused": (True, *NOT_BOOL),
    "components": ([{"name": "a"}, {"name": "b"}], [{"name": "a"}] * 2, "Duplicate value"),
    "components[].name": ("a-1", "A", "should match"),
    "components[].replicas": (3, *NEGATIVE),
    "components[].fill": (True, *NOT_BOOL),
    "components[].min": (1, *NEGATIVE),
    "components[].max": (1, *ZERO),
    "sharedVolume": ({}, *NOT_MAP),
    "sharedVolume.claimName": ("mine", *EMPTY),
    "sharedVolume.size": ("16Ti", "20G", "should match"),
    "sharedVolume.accessMode": ("ReadWriteOnce", "ReadOnlyMany", "Unsupported value"),
    "sharedVolume.retentionPolicy": ("Delete", "Recycle", "Unsupported value"),
    "sharedVolume.fsGroup": (1000, *NEGATIVE),
    "sharedVolume.storageClassName": ("gp3", *EMPTY),
    "sharedVolume.existing": ({"nfs": {"server": "h"}}, *NOT_MAP),
    "sharedVolume.existing.nfs": ({"server": "h"}, {}, "server: Required value"),
    "sharedVolume.existing.nfs.server": ("10.0.0.1", *EMPTY),
    "sharedVolume.existing.nfs.path": ("/a", "a", "should match"),
    "sharedVolume.existing.efs": ({"fileSystemId": "fs-0123abcd"}, {}, "fileSystemId: Required"),
    "sharedVolume.existing.efs.fileSystemId": ("fs-0123abcd", "fs-1", "should match"),
    "sharedVolume.existing.efs.server": ("10.0.0.1", *EMPTY),
    "sharedVolume.existing.efs.path": ("/a", "a", "should match"),
    "sharedVolume.subPath": ("a/b", *NOT_TEXT),
    "expose": ([{"name": "p", "component": "db", "port": 1}], [{}], "Required value"),
    "expose[].name": ("notebook", *EMPTY),
    "expose[].component": ("db", "x" * 21, "may not be more than 20"),
    "expose[].port": ("http", 1.5, "must be of type"),
    "expose[].localPort": (8080, *NO_PORT),
    "expose[].message": ("Open {url}", "x" * 2049, "may not be more than 2048"),
}
# What else must stand beside a field for the API server to look at nothing but that.
BESIDE: dict[str, dict[str, Any]] = {
    "batch": {"run": "Batch"},
    "batch.successPolicy": {"batch.successPolicy.components": ["master"]},
    "idle": {"idle.afterSeconds": 60},
    "failurePolicy": {"failurePolicy.rules": [{"action": "Fail", "exitCodes": [1]}]},
    "workers.env[]": {"workers.env[].name": "A"},
    "workers.ports[]": {"workers.ports[].name": "http", "workers.ports[].port": 80},
    "workers.dependsOn[]": {"workers.dependsOn[].name": "db"},
    "workers.drain": {"workers.drain.httpGet": {"port": 80}},
    "workers.drain.exec": {"workers.drain": {"exec": {"command": ["x"]}}},
    "components[].min": {"components[].fill": True},
    "components[].max": {"components[].fill": True},
    "sharedVolume.existing.nfs": {"sharedVolume.existing.nfs.server": "h"},
    "sharedVolume.existing.efs": {"sharedVolume.existing.efs.fileSystemId": "fs-0123abcd"},
    "expose[]": {"expose": [{"name": "p", "component": "db", "port": 80}]},
}


def around(field: str) -> dict[str, Any]:
    """Return a spec with everything that *field* needs beside it."""
    spec: dict[str, Any] = {"master": {}, "workers": {}, "components": [{"name": "db"}]}
    spec["image"] = "example.org/sim:1"
    for start, values in BESIDE.items():
        if field == start or field.startswith((f"{start}.", f"{start}[")):
            for path, value in values.items():
                put(spec, path, copy.deepcopy(value))
    return spec


def put(spec: dict[str, Any], path: str, value: Any) -> None:
    """Set a field; `a[].b` is b of the first item of a."""
    *above, last = path.split(".")
    for name in above:
        if name.endswith("[]"):
            spec = spec.setdefault(name[:-2], [{}])[0]
        else:
            spec = spec.setdefault(name, {})
    spec[last] = value


def walk(schema: dict[str, Any], start: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all fields below a schema, by path."""
    for name, inner in schema.get("properties", {}).items():
        path = f"{start}.{name}" if start else name
        yield path, inner
        if inner.get("type") == "array":
            yield f"{path}[]", inner["items"]
            yield from walk(inner["items"], f"{path}[]")
        else:
            yield from walk(inner, path)


def same_as_workers(path: str) -> str:
    """Return the path of a field of any component as one of the workers, who have most of them."""
    for start in ("master.", "components[]."):
        as_workers = path.replace(start, "workers.", 1)
        if path.startswith(start) and as_workers in FIELDS and path not in FIELDS:
            return as_workers
    return path


def test_every_field_has_its_row() -> None:
    fields = {path for path, _ in walk(SCHEMA["properties"]["spec"]) if not path.endswith("[]")}

    assert {same_as_workers(path) for path in fields} == set(FIELDS)


@pytest.mark.parametrize("field", FIELDS)
def test_accepts(shared_plane: ControlPlane, field: str) -> None:
    spec, good = around(field), FIELDS[field][0]
    put(spec, field, good)

    made = create(shared_plane, **spec)["spec"]

    for name in field.split("."):
        made = made[name[:-2]][0] if name.endswith("[]") else made[name]
    assert made == good or isinstance(good, dict | list)  # with defaults


@pytest.mark.parametrize("field", FIELDS)
def test_refuses(shared_plane: ControlPlane, field: str) -> None:
    spec, (_, bad, words) = around(field), FIELDS[field]
    put(spec, field, bad)

    with pytest.raises(ApiError, match=words) as refused:
        create(shared_plane, **spec)

    assert refused.value.status == 422
    where = field.replace("[]", "[0]")
    assert f"spec.{where}" in str(refused.value)


BATCH: dict[str, Any] = {"run": "Batch", **MASTER}
DRAIN = {"drain": {"httpGet": {"port": 1}, "exec": {"command": ["x"]}}}
SURGE = {"strategy": {"type": "Recreate", "maxSurge": 1}}
STUCK = {"strategy": {"maxSurge": "0%", "maxUnavailable": 0}}
FAIL = {"action": "Fail", "exitCodes": [1], "components": ["db"]}


def expose(component: str) -> dict[str, Any]:
    return {"expose": [{"name": "p", "component": component, "port": 80}]}


def component(**changes: Any) -> dict[str, Any]:
    return {"components": [{"name": "db", **changes}]}


# Of each rule of the CRD, where it stands and what it says: apps that break it.
BROKEN: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("", "the name must start with a letter"): [{"name": "1st", **MASTER}, {"name": "a.b"}],
    ("", "the name may have at most 40"): [{"name": "x" * 41, **MASTER}],
    ("", "give at least one of master"): [{}, {"components": []}],
    ("", "run Batch needs a master"): [{"run": "Batch", "workers": {}}],
    ("", "batch needs run Batch"): [{**MASTER, "batch": {}}],
    ("", "idle needs run Service"): [{**BATCH, "idle": {"afterSeconds": 60}}],
    ("", "successPolicy names a component"): [
        {**BATCH, "batch": {"successPolicy": {"components": [name]}}} for name in ("workers", "db")
    ],
    ("", "failurePolicy names a component"): [{**MASTER, "failurePolicy": {"rules": [FAIL]}}],
    ("", "master has no image"): [{"image": None, **MASTER}],
    ("", "workers have no image"): [{"image": None, "workers": {}}],
    ("", "a component has no image"): [{"image": None, **DB}],
    ("", "master depends on a component"): [{"master": needs(name)} for name in ("db", "master")],
    ("", "workers depend on a component"): [
        {"workers": needs(name)} for name in ("master", "workers")
    ],
    ("", "a component depends on itself"): [component(**needs(name)) for name in ("db", "b")],
    ("", "expose names a component"): [{**MASTER, **expose("db")}, {**DB, **expose("master")}],
    ("failurePolicy.rules[]", "give exitCodes or reasons"): [
        {**MASTER, "failurePolicy": {"rules": [{"action": "Fail"}]}}
    ],
    ("master.drain", "give one of httpGet"): [{"master": DRAIN}, {"master": {"drain": {}}}],
    ("workers", "min must not be greater"): [{"workers": {"min": 3, "max": 2}}],
    ("workers", "replicas must not be greater"): [{"workers": {"max": 2, "replicas": 3}}],
    ("workers", "replicas must not be less"): [{"workers": {"min": 2, "replicas": 1}}],
    ("workers.drain", "give one of httpGet"): [{"workers": DRAIN}],
    ("workers.strategy", "need type RollingUpdate"): [{"workers": SURGE}],
    ("workers.strategy", "must not both be 0"): [{"workers": STUCK}],
    ("components[]", "master and workers have fields"): [
        component(name="master"),
        component(name="workers"),
    ],
    ("components[]", "min must not be greater"): [component(fill=True, min=3, max=2)],
    ("components[]", "give one of replicas and fill"): [component(fill=True, replicas=1)],
    ("components[]", "min and max need fill"): [component(min=1), component(max=1, fill=False)],
    ("components[].drain", "give one of httpGet"): [component(**DRAIN)],
    ("components[].strategy", "need type RollingUpdate"): [component(**SURGE)],
    ("components[].strategy", "must not both be 0"): [component(**STUCK)],
    ("sharedVolume", "give one of claimName"): [
        {**MASTER, "sharedVolume": {"claimName": "c", "size": "1Gi"}},
        {**MASTER, "sharedVolume": {"claimName": "c", "existing": {"nfs": {"server": "h"}}}},
    ],
    ("sharedVolume", "are for a new claim only"): [
        {**MASTER, "sharedVolume": {"claimName": "c", "retentionPolicy": "Delete"}},
        {**MASTER, "sharedVolume": {"claimName": "c", "accessMode": "ReadWriteOnce"}},
    ],
    ("sharedVolume.size", "16Ti at most"): [{**MASTER, "sharedVolume": {"size": "17Ti"}}],
    ("sharedVolume.existing", "give one of nfs and efs"): [
        {**MASTER, "sharedVolume": {"existing": {}}}
    ],
    ("sharedVolume.subPath", "relative and without"): [
        {**MASTER, "sharedVolume": {"subPath": path}} for path in ("../x", "/x", "a/..")
    ],
}
OF_CHANGES = ("sharedVolume.size", "a volume cannot shrink")
BREACHES = [(where, words, spec) for (where, words), specs in BROKEN.items() for spec in specs]


def rules() -> list[tuple[str, str]]:
    """Return where each rule of the CRD stands and what it says."""
    spec = SCHEMA["properties"]["spec"]
    places = [("", SCHEMA), ("", spec), *walk(spec)]
    return [
        (where, rule["message"])
        for where, schema in places
        for rule in schema.get("x-kubernetes-validations", ())
    ]


def test_every_rule_has_its_row() -> None:
    known = [*BROKEN, OF_CHANGES]

    rows = [[row for row in known if row[0] == at and row[1] in says] for at, says in rules()]

    assert all(len(found) == 1 for found in rows)
    assert {row for found in rows for row in found} == set(known)


@pytest.mark.parametrize(("where", "words", "spec"), BREACHES)
def test_refuses_what_breaks_a_rule(
    shared_plane: ControlPlane, where: str, words: str, spec: dict[str, Any]
) -> None:
    with pytest.raises(ApiError, match=words) as refused:
        create(shared_plane, **spec)

    assert refused.value.status == 422


def test_a_volume_may_grow_but_not_shrink(lab: Lab) -> None:
    lab.create(master={}, suspend=True, sharedVolume={"size": "10Gi"})
    path = lab.path("clusterousapps", "sim") + "?dryRun=All"

    lab.plane.api("PATCH", path, {"spec": {"sharedVolume": {"size": "1Ti"}}})
    with pytest.raises(ApiError, match=OF_CHANGES[1]):
        lab.plane.api("PATCH", path, {"spec": {"sharedVolume": {"size": "9Gi"}}})


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"workers": {"min": 2, "max": 2, "replicas": 2}}, id="bounds"),
        pytest.param(
            {"workers": {"scaledBy": "Autoscaler", "min": 2, "max": 3, "replicas": 9}}, id="scaled"
        ),
        pytest.param({"image": None, "master": {"image": "m"}}, id="own-image"),
        pytest.param({**MASTER, "workers": needs("master")}, id="worker-needs-master"),
        pytest.param({"master": needs("db"), **DB}, id="master-needs-db"),
        pytest.param({"workers": {"strategy": {"maxSurge": 0}}}, id="no-surge"),
        pytest.param({"workers": {"strategy": {"type": "Recreate"}}}, id="recreate"),
        pytest.param(component(fill=True, min=1, max=2), id="fill"),
        pytest.param(
            {**BATCH, **DB, "batch": {"successPolicy": {"components": ["db"]}}}, id="success"
        ),
    ],
)
def test_accepts_what_goes_together(shared_plane: ControlPlane, spec: dict[str, Any]) -> None:
    assert create(shared_plane, **spec)["spec"]["run"] in ("Service", "Batch")


def test_prunes_what_it_does_not_know(shared_plane: ControlPlane) -> None:
    made = create(shared_plane, **MASTER, fancy=1)

    assert "fancy" not in made["spec"]


def kubectl(plane: ControlPlane, *argv: str) -> str:
    command = [str(programs.path("kubectl")), f"--kubeconfig={plane.kubeconfig}", *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@programs.needs("kubectl")
@pytest.mark.parametrize(
    "path",
    ["batch.successPolicy.operator", "workers.drain.httpGet.path", "sharedVolume.existing.efs"],
)
def test_kubectl_explains_fields(shared_plane: ControlPlane, path: str) -> None:
    described = dict(walk(SCHEMA["properties"]["spec"]))[path]["description"]

    told = kubectl(shared_plane, "explain", f"capp.spec.{path}")

    assert " ".join(described.split()) in " ".join(told.split())


@programs.needs("kubectl")
def test_explains_every_field_of_spec(shared_plane: ControlPlane) -> None:
    told = kubectl(shared_plane, "explain", "capp.spec", "--recursive")

    fields = {path.split(".")[-1] for path, _ in walk(SCHEMA["properties"]["spec"])}
    assert {one for one in fields if not one.endswith("[]")} <= set(told.split())


@programs.needs("kubectl")
def test_a_plain_apply_takes_the_crd(shared_plane: ControlPlane) -> None:
    """Client-side apply keeps the whole CRD in an annotation, which may hold 256 KiB."""
    kubectl(shared_plane, "apply", "-f", str(FILE))

    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" + CRD["metadata"]["name"]
    kept = shared_plane.api("GET", path)["metadata"]["annotations"]
    assert json.loads(kept["kubectl.kubernetes.io/last-applied-configuration"])["spec"]

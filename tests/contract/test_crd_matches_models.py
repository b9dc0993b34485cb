"""The CRD and the models say the same, and the status that is written fits into the schema."""

import dataclasses
import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterous_api import conditions, models, names
from clusterous_operator.objects.failure import Failure, Fallen
from clusterous_operator.objects.idle import State
from tests.unit.operator.making import NOW, FakeApi, make_app, make_pod, settle, summary

ROOT = Path(__file__).parents[2]
CRD: dict[str, Any] = yaml.safe_load((ROOT / "crds" / "clusterousapps.yaml").read_text())
VERSION = CRD["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]["properties"]
SPEC = SCHEMA["spec"]["properties"]


def fields_of(kind: type, *without: str) -> set[str]:
    return {
        re.sub(r"_(\w)", lambda match: match[1].upper(), field.name)
        for field in dataclasses.fields(kind)
        if field.name not in without
    }


def properties(schema: dict[str, Any]) -> set[str]:
    return set(schema["properties"])


def test_names() -> None:
    assert CRD["spec"]["group"] == names.GROUP
    assert VERSION["name"] == names.VERSION
    assert CRD["spec"]["names"]["kind"] == names.KIND
    assert CRD["spec"]["names"]["plural"] == names.PLURAL
    assert CRD["spec"]["names"]["shortNames"] == [names.SHORT]
    assert CRD["metadata"]["name"] == f"{names.PLURAL}.{names.GROUP}"


OF_SOME = ("name", "replicas", "min", "max", "scaled_by")
ITEM = SPEC["components"]["items"]


@pytest.mark.parametrize(
    ("schema", "fields"),
    [
        pytest.param(SPEC["master"], fields_of(models.Component, *OF_SOME), id="master"),
        pytest.param(SPEC["workers"], fields_of(models.Component, "name"), id="workers"),
        pytest.param(ITEM, fields_of(models.Component, "scaled_by") | {"fill"}, id="component"),
        pytest.param(ITEM["properties"]["ports"]["items"], fields_of(models.Port), id="port"),
        pytest.param(
            ITEM["properties"]["dependsOn"]["items"], fields_of(models.Dependency), id="dependency"
        ),
        pytest.param(ITEM["properties"]["placement"], fields_of(models.Placement), id="placement"),
        pytest.param(SPEC["expose"]["items"], fields_of(models.Exposure), id="expose"),
        pytest.param(ITEM["properties"]["strategy"], fields_of(models.Strategy), id="strategy"),
        pytest.param(ITEM["properties"]["drain"], fields_of(models.Drain), id="drain"),
        pytest.param(SPEC["batch"], fields_of(models.Batch), id="batch"),
        pytest.param(
            SPEC["batch"]["properties"]["successPolicy"],
            fields_of(models.SuccessPolicy),
            id="success",
        ),
        pytest.param(SPEC["failurePolicy"], fields_of(models.FailurePolicy), id="failurePolicy"),
        pytest.param(
            SPEC["failurePolicy"]["properties"]["rules"]["items"], fields_of(models.Rule), id="rule"
        ),
        pytest.param(SPEC["idle"], fields_of(models.Idle), id="idle"),
        pytest.param(SPEC["logging"], fields_of(models.Logging), id="logging"),
    ],
)
def test_fields(schema: dict[str, Any], fields: set[str]) -> None:
    assert properties(schema) == fields


def test_top_fields() -> None:
    of_metadata = ("namespace", "name", "uid", "generation", "labels", "annotations", "created")
    ours = fields_of(models.App, *of_metadata, "volume", "components")

    assert set(SPEC) == ours | {"image", "master", "workers", "components", "sharedVolume"}


def test_choices() -> None:
    until = ITEM["properties"]["dependsOn"]["items"]["properties"]["until"]

    assert SPEC["run"]["enum"] == list(models.Run)
    assert until["enum"] == list(models.Until)
    assert SPEC["run"]["default"] == models.Run.SERVICE


def defaults_in_lists(schema: dict[str, Any], where: str, *, inside: bool) -> Iterator[str]:
    """Return the fields with a default somewhere below the items of a list."""
    if inside and "default" in schema:
        yield where
    for name, one in schema.get("properties", {}).items():
        yield from defaults_in_lists(one, f"{where}.{name}", inside=inside)
    if "items" in schema:
        yield from defaults_in_lists(schema["items"], f"{where}[]", inside=True)


def test_nothing_is_filled_in_inside_of_a_list() -> None:
    """A three-way merge takes a list for one value: it would find a difference for ever."""
    found = list(defaults_in_lists(SCHEMA["spec"], "spec", inside=False))

    assert found == []


def test_the_models_fill_in_what_the_crd_does_not() -> None:
    spec = {
        "image": "example.org/sim:1",
        "components": [
            {
                "name": "a",
                "ports": [{"name": "p", "port": 1}],
                "drain": {"httpGet": {"port": 1}},
                "strategy": {"maxSurge": 1},
            },
            {"name": "b", "dependsOn": [{"name": "a"}]},
        ],
    }

    one, other = models.parse({"metadata": {"name": "sim"}, "spec": spec}).components

    assert one.ports[0].protocol == "TCP"
    assert one.drain is not None
    assert one.drain.deadline_seconds == 300
    assert (one.strategy.type, one.strategy.paused) == (models.Replace.ROLLING, False)
    assert other.depends_on[0].until is models.Until.READY


CHOICES = {
    "workers.scaledBy": models.ScaledBy,
    "workers.strategy.type": models.Replace,
    "workers.placement.spread": models.Spread,
    "batch.successPolicy.operator": models.Quorum,
    "failurePolicy.rules.action": models.Action,
    "logging.format": models.LogFormat,
}


@pytest.mark.parametrize("where", CHOICES)
def test_choices_are_the_models(where: str) -> None:
    schema = dict(walk(SPEC, "spec"))[f"spec.{where}"]

    assert schema.get("items", schema)["enum"] == list(CHOICES[where])


def test_components_may_not_take_the_names_of_ours() -> None:
    rule = ITEM["x-kubernetes-validations"][0]["rule"]

    assert f"'{names.MASTER}'" in rule
    assert f"'{names.WORKERS}'" in rule


def test_every_condition_is_explained() -> None:
    told = SCHEMA["status"]["properties"]["conditions"]["description"]

    assert all(str(one) in told for one in conditions.Type)


def test_every_field_of_spec_is_described() -> None:
    bare = [where for where, schema in walk(SPEC, "spec") if not schema.get("description")]

    assert bare == []


def walk(found: dict[str, Any], where: str) -> list[tuple[str, dict[str, Any]]]:
    paths = []
    for name, schema in found.items():
        paths.append((f"{where}.{name}", schema))
        inner = schema.get("items", schema)
        paths += walk(inner.get("properties", {}), f"{where}.{name}")
    return paths


def unknown(value: Any, schema: dict[str, Any], where: str) -> list[str]:
    """Return what the API server would prune, and what would then be written again and again."""
    if isinstance(value, list):
        return [one for item in value for one in unknown(item, schema["items"], f"{where}[]")]
    if not isinstance(value, dict):
        return []
    known = schema.get("properties", {})
    return [f"{where}.{key}" for key in value if key not in known] + [
        one
        for key, item in value.items()
        if key in known
        for one in unknown(item, known[key], f"{where}.{key}")
    ]


def test_the_status_that_is_written_fits_into_the_schema() -> None:
    expose = [{"name": "p", "component": "master", "port": 8080, "localPort": 1, "message": "m"}]
    app, api = make_app(workers={"replicas": 2}, expose=expose), FakeApi()
    settle(app, api)
    api.pods = (make_pod(trouble=("Crash", "crashed")),)
    status = summary(app, api)
    status["conditions"] = list(status["conditions"].values())

    assert unknown(status, SCHEMA["status"], "status") == []


def test_what_the_status_remembers_fits_into_the_schema() -> None:
    policy = {"maxRestarts": 3, "rules": [{"action": "RestartGroup", "exitCodes": [3]}]}
    app = make_app(run="Batch", failurePolicy=policy, workers={"replicas": 1})
    api = FakeApi()
    settle(app, api)
    failures = (Failure(code=3, reason="Error"),)
    api.pods = (make_pod("workers", fallen=Fallen(attempt=0, owner="", failures=failures)),)
    api.end_job("sim-master", at=NOW)
    api.idle = State(since=datetime.fromisoformat(NOW), suspended=True, resumed="1")
    status = summary(app, api)
    status["conditions"] = list(status["conditions"].values())

    assert {"run", "completionTime", "restarts", "idle"} <= status.keys()
    assert any("policyRestarts" in one for one in status["components"])
    assert unknown(status, SCHEMA["status"], "status") == []


def test_the_scale_subresource_has_all_its_paths() -> None:
    scale = VERSION["subresources"]["scale"]

    for path in (scale["statusReplicasPath"], scale["labelSelectorPath"]):
        assert path.removeprefix(".status.") in SCHEMA["status"]["properties"]
    assert scale["specReplicasPath"] == ".spec.workers.replicas"


def test_is_small_enough_for_a_plain_apply() -> None:
    assert len(json.dumps(CRD)) < 256 * 1024


def test_the_charts_crd_is_the_crd() -> None:
    chart = ROOT / "charts" / "clusterous" / "crds" / "clusterousapps.yaml"

    assert chart.read_bytes() == (ROOT / "crds" / "clusterousapps.yaml").read_bytes()


# What a schema of a CRD may hold, as far as ours does (apiextensions.k8s.io/v1, JSONSchemaProps).
KNOWN = {
    *("type", "description", "properties", "items", "required", "default", "enum", "pattern"),
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties"),
    *("additionalProperties", "format", "nullable", "anyOf", "oneOf"),
}


def unknown_keys(schema: Any, path: str = "") -> list[str]:
    """List keys that are no part of a schema: a comma in an unquoted description makes one."""
    if not isinstance(schema, dict):
        return []
    here = [f"{path}.{key}" for key in schema if key not in KNOWN and not key.startswith("x-")]
    nested = [*schema.get("properties", {}).items(), ("items", schema.get("items"))]
    nested.append(("additionalProperties", schema.get("additionalProperties")))
    return [*here, *(bad for name, each in nested for bad in unknown_keys(each, f"{path}.{name}"))]


def test_the_schema_holds_nothing_that_a_strict_server_refuses() -> None:
    assert unknown_keys(VERSION["schema"]["openAPIV3Schema"]) == []

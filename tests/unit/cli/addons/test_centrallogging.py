"""Central logging on a cluster: which objects, with which values, and what they are held to."""

import base64
import io
import json
import tarfile
from typing import Any

import jsonschema
import pytest
import yaml

from clusterous_api import names
from clusterous_cli.addons import addon, centrallogging, table
from clusterous_cli.addons.addon import Setting
from clusterous_cli.cluster import config
from clusterous_cli.system import assets

SCHEMA = json.loads((assets.chart_folder(centrallogging.NAME) / "values.schema.json").read_text())
LIGHT = "logging: {store: light, level: 2, days: 3, size: 5}"
EFK = "logging: 1"
YOURS = "logging: {url: 'https://logs.example.org:9200'}"
OPEN = "logging: {store: opensearch, url: 'https://logs.example.org'}"


def setting(text: str) -> Setting:
    return Setting(
        config=config.parse(f"name: reef\n{text}\n"), region="x", operator="x:1", archives={}
    )


def objects(text: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(addon.rendered(centrallogging.ADDON, setting(text)).manifest))


def charts(text: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one["spec"] for one in objects(text)}


def values(text: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(charts(text)["clusterous-logging"]["valuesContent"])
    return read


@pytest.mark.parametrize("text", [LIGHT, EFK, YOURS, OPEN])
def test_the_chart_takes_the_values(text: str) -> None:
    jsonschema.validate(values(text), SCHEMA)


def test_the_file_says_what_is_collected_and_for_how_long() -> None:
    told = values(LIGHT)

    assert (told["store"], told["level"]) == ("light", 2)
    assert (told["retentionDays"], told["sizeGiB"]) == (3, 5)


def test_a_cluster_that_does_not_ask_has_none() -> None:
    assert centrallogging.ADDON not in table.wanted(setting("").config)
    assert centrallogging.manifests(setting(""), {}) == []


def test_elastics_operator_comes_with_efk_alone_and_from_elastic() -> None:
    assert set(charts(EFK)) == {"eck-operator", "clusterous-logging"}
    assert charts(EFK)["eck-operator"]["repo"] == "https://helm.elastic.co"
    assert all(set(charts(one)) == {"clusterous-logging"} for one in (LIGHT, YOURS, OPEN))


def test_what_was_collected_is_no_part_of_what_goes_with_it() -> None:
    for text in (LIGHT, EFK):
        assert {one["kind"] for one in objects(text)} == {"HelmChart"}
        assert charts(text)["clusterous-logging"]["createNamespace"] is True


@pytest.mark.parametrize(
    ("text", "flavor", "url"),
    [
        (YOURS, "elasticsearch", "https://logs.example.org:9200"),
        (OPEN, "opensearch", "https://logs.example.org"),
    ],
)
def test_a_store_of_yours_is_asked_as_what_it_is(text: str, flavor: str, url: str) -> None:
    told = values(text)

    assert told["store"] == "yours"
    assert told["yours"] == {"url": url, "secret": "clusterous-logs-store", "flavor": flavor}


@pytest.mark.parametrize("store", ["light", "efk"])
def test_a_pool_of_that_name_is_for_the_store(store: str) -> None:
    pools = "pools: {logging: {count: 1, taints: ['logs=yes:NoSchedule']}, cpu: 1}"

    told = values(f"logging: {{store: {store}}}\n{pools}")

    assert told[store] == {
        "nodeSelector": {names.LABEL_POOL: "logging"},
        "tolerations": [{"key": "logs", "operator": "Exists"}],
    }


def test_the_light_store_likes_the_controller_which_outlives_the_workers() -> None:
    (wish,) = values(LIGHT)["light"]["affinity"]["nodeAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]

    (term,) = wish["preference"]["matchExpressions"]
    assert term["key"] == "node-role.kubernetes.io/control-plane"


def test_the_chart_that_is_sent_is_the_chart() -> None:
    packed = base64.b64decode(charts(LIGHT)["clusterous-logging"]["chartContent"])

    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        inside = set(archive.getnames())
    folder = assets.chart_folder(centrallogging.NAME)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert inside == {f"clusterous-logging/{path}" for path in there}

"""The JSON Schema of the cluster file says of a file what its reader says."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from jsonschema.protocols import Validator

from clusterous_api.errors import UserError
from clusterous_cli.cluster import config
from clusterous_cli.cluster.file import fields, schema
from tests.contract import clusterfiles

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs/cluster-file.md").read_text()
# What takes sums, or to know which network lies in which: the reader alone knows.
BEYOND = (
    r"network\.cidr: .* is too small for",
    r"network\.cidr: .* overlaps",
    r"network\.cidr: .* belongs to the internet",
    r"network\.cidr: .* must be between",  # of a mask that is spelled as an address
    r"is no IPv4 network",
    r"gateway\.allow: .* lets \(nearly\) the whole world in",
    r"volume\.iops is .* have at most",
    r"volume\.throughput is .* which takes",
    r"pools are .* machines together",
)


def by_the_rules_of_editors(_: Validator, pattern: str, instance: object, __: object) -> Any:
    """A pattern as JavaScript has it: `$` is the end, and not before a last new line."""
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


SCHEMA = schema.schema()
VALIDATOR = jsonschema.validators.extend(
    jsonschema.Draft202012Validator, {"pattern": by_the_rules_of_editors}
)(SCHEMA)


def mistakes(content: object) -> list[str]:
    """Return what the reader says is wrong."""
    try:
        config.parse(yaml.safe_dump(content, allow_unicode=True), "x")
    except UserError as error:
        return str(error).splitlines()[:-1] or [str(error)]
    return []


def is_beyond(mistake: str) -> bool:
    return any(re.search(one, mistake) for one in BEYOND)


def test_it_is_a_schema_of_its_dialect() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@settings(max_examples=60)
@given(clusterfiles.RIGHT | clusterfiles.WRONG)
def test_it_and_the_reader_are_of_one_mind(content: dict[str, object]) -> None:
    told = mistakes(content)

    if VALIDATOR.is_valid(content):
        assert [one for one in told if not is_beyond(one)] == []
    else:
        assert told, list(VALIDATOR.iter_errors(content))


@pytest.mark.parametrize(
    "example",
    [
        *re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL),
        "name: a\ngateway: {allow: ['10.0.0.0/255.0.0.0', 203.0.113.7]}\n",
        "name: a\nworkers: {taints: ['gpu=true:NoSchedule', 'a:NoExecute']}\npools: {b: 1}\n",
        "name: a\nvolume: {id: fs-01234567}\ntags: {Ämter: zwölf, b: ''}\n",
        "name: a\nworkers: 1\npools: {}\n",
    ],
)
def test_what_is_right_is_right(example: str) -> None:
    assert mistakes(yaml.safe_load(example)) == []
    VALIDATOR.validate(yaml.safe_load(example))


@pytest.mark.parametrize(
    "wrong",
    [
        "version: 2",
        "name: Reef",
        "name: 7",
        "region: europe",
        "image: ubuntu",
        "image: ami-1",
        "k3s: v1.35",
        "network: {cidr: 10.0.0.0/8}",
        "network: {cidr: 300.0.0.0/16}",
        "network: {zone: ab}",
        "network: {}\nnetwrok: {}",
        "gateway: {type: t4g.nano}",
        "gateway: {disk: 7}",
        "gateway: {allow: [0.0.0.0/0]}",
        "gateway: {allow: 10.0.0.0/8}",
        "controller: {disk: 16385}",
        "controller: {count: 2}",
        "workers: 251",
        "workers: {count: -1}",
        "workers: {labels: {kubernetes.io/os: x}}",
        "workers: {labels: {x: 2}}",
        "workers: {taints: ['node.kubernetes.io/x:NoExecute']}",
        "pools: {}",
        "pools: {nat: 1}",
        "pools: {cpu: {tpye: t3.large}}",
        "pools: {worker: 1}\nworkers: 1",
        "volume: nfs",
        "volume: {type: efs, size: 20}",
        "volume: {type: efs, id: vol-01234567}",
        "volume: {id: fs-01234567, iops: 3000}",
        "volume: {id: vol-1}",
        "volume: {size: 16385}",
        "tags: {'aws:x': y}",
        "tags: {Name: x}",
        "tags: {clusterous.io/uid: x}",
        "tags: {owner: 'a\tb'}",
        "tags: {owner: 7}",
        "key_pair: x",
    ],
)
def test_what_is_wrong_is_wrong(wrong: str) -> None:
    content = {"name": "reef", **yaml.safe_load(wrong)}

    assert mistakes(content)
    assert not VALIDATOR.is_valid(content)


def test_it_says_the_defaults_of_the_reader() -> None:
    usual = config.parse("name: reef\n")
    said = SCHEMA["properties"]
    pool = said["workers"]["anyOf"][1]["properties"]

    assert (said["image"]["default"], said["k3s"]["default"]) == (usual.image, usual.k3s)
    assert said["network"]["properties"]["cidr"]["default"] == usual.cidr
    assert said["volume"]["default"] == usual.volume.type
    for section in ("gateway", "controller"):
        keys = said[section]["properties"]
        assert {name: keys[name]["default"] for name in ("type", "disk")} == {
            name: getattr(usual.pool(section), name) for name in ("type", "disk")
        }
    assert {name: pool[name]["default"] for name in ("type", "count", "disk")} == {
        name: getattr(usual.pool("worker"), name) for name in ("type", "count", "disk")
    }


def test_every_key_has_a_word_on_it_and_on_its_change() -> None:
    plain = [key for key in config.KEYS if key not in config.SECTIONS]
    nested = [f"{name}.{key}" for name, keys in config.SECTIONS.items() for key in keys]

    assert set(fields.FIELDS) == {*plain, *nested}


def test_the_files_that_are_made_of_it_are_as_the_program_makes_them() -> None:
    program = "import cluster_file, json; print(json.dumps(" \
              "{path.name: text for path, text in cluster_file.made().items()}))"  # fmt: skip
    argv = [sys.executable, "-c", program]
    said = subprocess.run(argv, cwd=CHECKOUT / "docs", capture_output=True, text=True, check=True)

    for name, text in json.loads(said.stdout).items():
        assert (CHECKOUT / "docs" / name).read_text() == text, "run make docs"

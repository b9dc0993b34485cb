"""Cluster parameters files of the predecessor, as clusters of today."""

import contextlib
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterous_api.errors import UserError
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.file.centrallogging import CentralLogging, Store
from clusterous_cli.program.former import clusterfile

USUAL = """\
cluster_name: Reef_Survey
parameters: {master_instance_type: m3.medium, worker_instance_type: c3.xlarge, worker_count: 3}
"""
NAMED = """\
cluster_name: reef-survey
central_logging_level: 1
shared_volume_size: 75
controller_instance_type: c3.2xlarge
environment_file: apps/tiles.yml
parameters:
  hub_type: m3.medium
  farm_type: c3.xlarge
  farm_total: 9
"""
TILES = """\
name: tiles
cluster:
  master: {type: $hub_type, count: 1}
  Farm_A: {type: $farm_type, count: $farm_total - 1}
  worker: {type: c3.large, count: 2}
environment: {components: {}}
"""


def read(folder: Path, text: str, environment: str | None = None) -> clusterfile.Former:
    (folder / "apps").mkdir(exist_ok=True)
    (folder / "old.yml").write_text(dedent(text))
    if environment is not None:
        (folder / "apps/tiles.yml").write_text(environment)
    return clusterfile.read(folder / "old.yml")


def machines(config: ClusterConfig) -> dict[str, tuple[str, int]]:
    return {one.name: (one.type, one.count) for one in config.pools if one.name != "gateway"}


def test_the_built_in_layout_is_a_master_and_workers(tmp_path: Path) -> None:
    found = read(tmp_path, USUAL)

    assert found.config.name == "reef-survey"
    assert machines(found.config) == {
        "controller": ("t3.medium", 1),
        "master": ("m3.medium", 1),
        "worker": ("c3.xlarge", 3),
    }
    assert (found.config.volume.size, found.environment, found.notes) == (20, None, ())


def test_groups_are_machines_and_pools_of_today(tmp_path: Path) -> None:
    found = read(tmp_path, NAMED, TILES)

    assert machines(found.config) == {
        "controller": ("c3.2xlarge", 1),
        "master": ("m3.medium", 1),
        "worker": ("c3.large", 2),
        "farm-a": ("c3.xlarge", 8),
    }
    assert found.config.volume.size == 75
    assert found.environment == tmp_path / "apps/tiles.yml"
    assert found.config.logging == CentralLogging(level=1, store=Store.LIGHT)
    assert found.notes == (clusterfile.LIGHT,)


def test_an_environment_without_machines_takes_the_built_in_ones(tmp_path: Path) -> None:
    text = f"environment_file: apps/tiles.yml\n{USUAL}"
    found = read(tmp_path, text.replace("3}", "3, cpus: 2}"), (
        "name: x\nenvironment: {components: {a: {machine: master, cpu: $cpus, image: i}}}"
    ))  # fmt: skip

    assert machines(found.config)["worker"] == ("c3.xlarge", 3)


def test_machines_without_a_master_or_workers(tmp_path: Path) -> None:
    one = "name: x\ncluster: {hub: {type: c3.large, count: 2}}\nenvironment: {components: {}}"
    text = "cluster_name: a\nparameters: {}\nenvironment_file: apps/tiles.yml"

    found = read(tmp_path, text, one)
    several = read(tmp_path, text, one.replace("hub", "master"))

    assert machines(found.config) == {"controller": ("t3.medium", 1), "hub": ("c3.large", 2)}
    assert machines(several.config)["master"] == ("c3.large", 2)
    assert machines(several.config)["worker"][1] == 0


@pytest.mark.parametrize(
    ("text", "count"), [("instance_count: 3", 2), ("worker_count: 3", 3), ("worker_count: 0", 0)]
)
def test_before_05_the_master_was_counted(tmp_path: Path, text: str, count: int) -> None:
    found = read(tmp_path, USUAL.replace("worker_count: 3", text))

    assert machines(found.config)["worker"][1] == count


def test_an_existing_volume_has_its_size(tmp_path: Path) -> None:
    more = "shared_volume_id: vol-0123456789abcdef0\nshared_volume_size: 30\n"

    found = read(tmp_path, USUAL + more)

    assert (found.config.volume.id, found.config.volume.size) == ("vol-0123456789abcdef0", None)
    assert found.notes == ("shared_volume_size is not used: the volume has its size",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("- reef: {instance_type: m3.medium}", "the file is a list", id="0.2"),
        pytest.param("cluster_name: a", "parameters is missing", id="no-parameters"),
        pytest.param("parameters: {}", "cluster_name is missing", id="no-name"),
        pytest.param("cluster_name: a b\nparameters: {}", "cluster_name 'a b'", id="name"),
        pytest.param("cluster_name: 3\nparameters: {}", "cluster_name must be text", id="number"),
        pytest.param(f"{USUAL}zone: a", "zone is not a key here", id="unknown"),
        pytest.param(f"{USUAL}environment_file:", "environment_file has no value", id="null"),
        pytest.param(f"{USUAL}central_logging_level: 3", "from 0 to 2", id="level"),
        pytest.param(f"{USUAL}shared_volume_size: -1", "from 0 to 16384", id="size"),
        pytest.param(
            "cluster_name: a\nparameters: {x: [1]}", "must be text or a number", id="list"
        ),
        pytest.param(
            "cluster_name: a\nparameters: {workers: 3}",
            "parameters: master_instance_type, worker_instance_type, worker_count missing",
            id="missing",
        ),
        pytest.param(USUAL.replace("3}", "3, spare: 1}"), "nothing asks for spare", id="spare"),
        pytest.param(USUAL.replace("3}", "²}"), "must be a whole number", id="strange-digit"),
        pytest.param(USUAL.replace("3}", "9" * 5000 + "}"), "must be a whole", id="many-digits"),
        pytest.param(USUAL.replace("c3.xlarge", "large"), "is not an EC2 type", id="type"),
        pytest.param(f"{USUAL}environment_file: no.yml", "no.yml cannot be read", id="no-file"),
    ],
)
def test_refuses_a_file(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        pytest.param("{}", "cluster.master.type is .hub_type, which has no value; give one under"),
        pytest.param(
            "{hub_type: a, farm_type: b, farm_total: 2, x: 1}", "which the file does not use"
        ),
        pytest.param("{hub_type: a, farm_type: b, farm_total: 0}", "a whole number above 0"),
    ],
)
def test_every_variable_of_the_machines_needs_a_value(
    tmp_path: Path, parameters: str, words: str
) -> None:
    text = f"cluster_name: a\nparameters: {parameters}\nenvironment_file: apps/tiles.yml"

    with pytest.raises(UserError, match=words):
        read(tmp_path, text, TILES)


@pytest.mark.parametrize(
    ("text", "is_former"),
    [
        (USUAL, True),
        ("parameters: {}", True),
        ("- a: {instance_type: b}", True),
        ("name: reef\nkey_pair: x", False),
        ("name: reef\ncluster_name: x", False),
        ("- a", False),
        ("a: [", False),
        ('cluster_name: "\\UFFFFFFFF"', False),
        ("", False),
    ],
)
def test_knows_files_of_the_predecessor(text: str, is_former: bool) -> None:
    assert clusterfile.is_former(text) is is_former


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(clusterfile.KEYS), VALUES))
def test_any_file_is_read_or_refused(document: dict[str, object]) -> None:
    text = yaml.safe_dump(document)
    with contextlib.suppress(UserError):
        clusterfile.as_today(clusterfile.parse(text, "f", Path("/nowhere")), None, "f")

"""The cluster file: small files suffice, and every mistake is told with its place."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.cluster import config
from clusterous_cli.system import assets


def test_three_lines_are_enough() -> None:
    found = config.parse("name: reef\nworkers:\n  count: 2\n")

    assert (found.name, found.pool("worker").count, found.cidr) == ("reef", 2, "10.40.0.0/16")
    assert config.ClusterConfig.from_record(found.to_record()) == found


# Merge keys that lead from one to the next, each a line of its own: deep, and nested nowhere.
CHAIN = "\n".join(["k0: &a0 {x: 1}", *(f"k{n}: &a{n} {{<<: *a{n - 1}}}" for n in range(1, 3000))])
CHAIN += "\n<<: *a2999\nname: reef\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("name: reef\nworkers:\n  cuont: 2\n", "3:3  workers.cuont", id="unknown"),
        pytest.param("name: reef\nworkers:\n  cuont: 2\n", "did you mean count?", id="near"),
        pytest.param("name: Reef\n", "1:7  name: 'Reef' is not a name", id="name"),
        pytest.param("workers: 2\n", "name is missing", id="no-name"),
        pytest.param("name: a\nworkers: 900\n", "workers is 900; the largest is 250", id="many"),
        pytest.param("name: a\nworkers: {count: two}\n", "must be a whole number", id="word"),
        pytest.param("name: a\nworkers: {disk: 20000}\n", "20000 GiB; the largest", id="disk"),
        pytest.param("name: a\nnetwork: {cidr: 10.0.0.0/8}\n", "between /16 and /24", id="wide"),
        pytest.param("name: a\nnetwork: {cidr: 10.40.1.0/16}\n", "did you mean 10.40.0.0/16?"),
        pytest.param("name: a\nnetwork: {cidr: 10.42.0.0/16}\n", "which the pods use", id="pods"),
        pytest.param("name: a\nnetwork: {cidr: 8.8.0.0/16}\n", "internet", id="public"),
        pytest.param("name: a\nnetwork: {cidr: 127.1.0.0/16}\n", "for themselves", id="loopback"),
        pytest.param("name: a\nnetwork: {cidr: 0.1.0.0/16}\n", "nobody can use", id="this-one"),
        pytest.param("name: a\nnetwork: {cidr: 240.0.0.0/16}\n", "nobody can use", id="reserved"),
        pytest.param("name: a\ncontroller: {type: large}\n", "is not an EC2 type", id="type"),
        pytest.param("name: a\ncontroller: {type: t4g.nano}\n", "ARM", id="arm"),
        pytest.param("name: a\ngateway: {allow: [0.0.0.0/0]}\n", "whole world", id="world"),
        pytest.param("name: a\nimage: ubuntu-24.4\n", "did you mean ubuntu-24.04?", id="image"),
        pytest.param("name: [\n", "this is not YAML", id="yaml"),
        pytest.param('name: "\\UFFFFFFFF"\n', "this is not YAML", id="no-character"),
        pytest.param('name: "a\\0b"\n', "no text can have", id="nul"),
        pytest.param('environment_file: "\\ud800"\n', "no text can have", id="half"),
        pytest.param(CHAIN, "nested too deep", id="chain"),
        pytest.param("name: a\npools:\n  x:\n    tpye: t3.nano\n", "4:5  pools.x.tpye", id="pool"),
        pytest.param("name: a\npools: {gateway: 1}\n", "are the cluster's own", id="reserved"),
        pytest.param("name: a\npools: {Big_One: 1}\n", "is not a pool's name", id="pool-name"),
        pytest.param("name: a\npools: {x: {count: 251}}\n", "pools.x.count is 251", id="pool-many"),
        pytest.param("name: a\npools: {x: 200, y: 51}\n", "251 machines together", id="together"),
        pytest.param("name: a\nmaster: nobody\n", "master: 'nobody' is not known", id="master"),
        pytest.param("name: a\nmaster: {count: 2}\n", "master.count is not a key", id="masters"),
        pytest.param("name: a\npools: {master: 1}\n", "are the cluster's own", id="pool-master"),
        pytest.param("name: a\npools: {}\n", "has no pool in it", id="no-pool"),
        pytest.param("name: a\nworkers: 1\npools: {worker: 1}\n", "is this pool already"),
        pytest.param("name: a\npools: {x: {type: big}}\n", "pools.x.type: 'big' is not", id="x"),
        pytest.param(
            "name: a\nnetwork: {cidr: 10.40.0.0/24}\npools: {x: 60, y: 60}\n",
            "is too small for 120 workers",
            id="pools-and-network",
        ),
        pytest.param("name: a\nworkers: {labels: {-x: a}}\n", "not a label's name", id="label"),
        pytest.param("name: a\nworkers: {labels: {a..b/x: c}}\n", "not a label's name", id="dots"),
        pytest.param("name: a\nworkers: {labels: {a.-b/x: c}}\n", "not a label's name", id="dash"),
        pytest.param(
            f"name: a\nworkers: {{labels: {{{'a.' * 127}a/x: c}}}}\n",
            "not a label's name",
            id="long",
        ),
        pytest.param("name: a\nworkers: {labels: {x: 'a b'}}\n", "is not a value", id="value"),
        pytest.param("name: a\nworkers: {labels: {x: 2}}\n", 'write "2"', id="number"),
        pytest.param("name: a\nworkers: {labels: {kubernetes.io/os: x}}\n", "own to give"),
        pytest.param(
            "name: a\nworkers: {labels: {clusterous.io.node-restriction.kubernetes.io/pool: x}}\n",
            "own to give",
            id="restricted",
        ),
        pytest.param("name: a\nworkers: {taints: [gpu]}\n", "is not a taint", id="taint"),
        pytest.param("name: a\nworkers: {taints: ['a=b:Never']}\n", "is not a taint", id="effect"),
        pytest.param("name: a\nworkers: {taints: ['node.kubernetes.io/x:NoExecute']}\n", "own to"),
        pytest.param("name: a\nworkers: {taints: ['a..b/c=d:NoExecute']}\n", "is not a taint"),
        pytest.param(
            "name: a\nworkers: {taints: ['a=b:NoExecute', 'a=c:NoExecute']}\n",
            "a=c:NoExecute is beside a=b:NoExecute",
            id="taints-alike",
        ),
        pytest.param(
            "name: a\nworkers: {taints: [&x 'a:NoExecute', *x]}\n", "is beside", id="taint-twice"
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        config.parse(text, "reef.yaml")

    assert told in str(error.value)
    assert str(error.value).startswith("reef.yaml:")


POOLS = """\
name: reef
pools:
  cpu: {type: c7i.xlarge, count: 4}
  big:
    type: m6i.large
    count: 1
    disk: 200
    labels: {tier: big, example.org/x: ""}
    taints: ["gpu=true:NoSchedule", "slow:PreferNoSchedule"]
"""


def test_pools_are_read_and_kept() -> None:
    read = config.parse(POOLS)

    cpu, big = read.workers
    assert (cpu.name, cpu.type, cpu.count, cpu.disk) == ("cpu", "c7i.xlarge", 4, 20)
    assert (big.name, big.type, big.count, big.disk) == ("big", "m6i.large", 1, 200)
    assert big.labels == (("example.org/x", ""), ("tier", "big"))
    assert big.taints == ("gpu=true:NoSchedule", "slow:PreferNoSchedule")
    kept = json.loads(json.dumps(read.to_record()))
    assert config.ClusterConfig.from_record(kept) == read


@pytest.mark.parametrize(
    ("text", "pools"),
    [
        pytest.param("name: a\n", [("worker", 2)], id="nothing said"),
        pytest.param("name: a\nworkers: 3\n", [("worker", 3)], id="short"),
        pytest.param("name: a\npools: {cpu: 4}\n", [("cpu", 4)], id="pools alone"),
        pytest.param("name: a\nworkers: 1\npools: {b: 1, a: 2}\n",
                     [("worker", 1), ("b", 1), ("a", 2)], id="both"),
        pytest.param("name: a\npools: {worker: 5}\n", [("worker", 5)], id="by its name"),
    ],
)  # fmt: skip
def test_workers_are_the_short_form_of_one_pool(text: str, pools: list[tuple[str, int]]) -> None:
    assert [(one.name, one.count) for one in config.parse(text).workers] == pools


def test_there_is_a_machine_for_masters_unless_there_shall_be_none() -> None:
    plain = config.parse("name: reef\n")
    larger = config.parse("name: reef\nmaster: {type: m6i.large}\n")
    none = config.parse("name: reef\nmaster: none\n")

    assert plain.pool("master").taints == (f"{names.MASTER_TAINT}=true:NoSchedule",)
    assert [one.name for one in plain.agents] == ["master", "worker"]
    assert larger.pool("master").type == "m6i.large"
    assert [one.name for one in none.agents] == ["worker"]
    assert all([one.name for one in each.workers] == ["worker"] for each in (plain, none))


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(UserError, match="3 mistakes, nothing was created"):
        config.parse("name: Reef\nworkers: -1\nvolum: efs\n")


KEYS = st.sampled_from([*config.KEYS, "cuont", "type", "cidr", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_no_mapping_makes_a_traceback(content: dict[str, object]) -> None:
    import yaml

    _parse(yaml.safe_dump(content))


@given(st.text(max_size=60))
def test_no_text_makes_a_traceback(text: str) -> None:
    _parse(text)


def _parse(text: str) -> None:
    with contextlib.suppress(UserError):
        config.parse(text)


def test_a_file_may_say_its_form() -> None:
    assert config.parse("version: 1\nname: reef\n") == config.parse("name: reef\n")


def test_of_a_newer_form_nothing_is_guessed() -> None:
    with pytest.raises(UserError) as told:
        config.parse("version: 2\nname: reef\nworkers: {spot: true}\n", "reef.yaml")

    (words, count) = str(told.value).splitlines()
    assert words.startswith("reef.yaml:1:10  version is 2: the file is for a newer clusterous than")
    assert f"({assets.version()}), which reads up to version 1. Install a release" in words
    assert count == "1 mistake, nothing was created."


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("key_pair: ocean", "key_pair is of the predecessor's files: each cluster has SSH keys of"),
        ("key_file: ~/.ssh/ocean.pem", "key_file is of the predecessor's files: each cluster has"),
        ("cluster_name: reef", "it is `name` now"),
        ("shared_volume_size: 75", "it is `volume: {size: …}` now"),
    ],
)
def test_keys_of_the_predecessor_are_refused_with_the_reason(line: str, words: str) -> None:
    with pytest.raises(UserError) as told:
        config.parse(f"name: reef\n{line}\nworkers: -1\n", "reef.yaml")

    mistakes = str(told.value).splitlines()
    assert mistakes[0].startswith("reef.yaml:2:1  ")
    assert words in mistakes[0]
    assert "workers is -1" in mistakes[1]  # all at once, as ever


def test_reads_tags() -> None:
    read = config.parse("name: reef\ntags: {owner: ocean, cost-centre: '4711'}\n")

    assert read.tags == (("cost-centre", "4711"), ("owner", "ocean"))
    kept = json.loads(json.dumps(read.to_record()))
    assert config.ClusterConfig.from_record(kept) == read


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ("{clusterous.io/uid: x}", "is clusterous' own"),
        ("{Name: x}", "is clusterous' own"),
        ("{name: x}", "is clusterous' own"),
        ("{Clusterous.IO/uid: x}", "is clusterous' own"),
        ("{Owner: a, team: b, owner: a}", "Owner and owner are one name to IAM"),
        ("{aws:x: y}", "not a tag's name"),
        ("{owner: 7}", "must be text"),
        ("{owner: 'a\tb'}", "is not a value"),
        ("[owner]", "must be a mapping"),
        ("{" + ", ".join(f"t{n}: x" for n in range(41)) + "}", "the most are 40"),
    ],
)
def test_tags_that_cannot_be_are_told(tags: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        config.parse(f"name: reef\ntags: {tags}\n")

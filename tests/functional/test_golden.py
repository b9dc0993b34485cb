"""The exact parameters of every call that changes something in AWS, held to files that people read.

What the simulated AWS lets pass may still be wrong: a group that lets in too much, a disk without
encryption, a machine whose metadata any container can read. So each parameter is written down in
tests/functional/golden, and a change of one is a change of that file, to be looked at like code.
After a wanted change: CLUSTEROUS_RENEW_GOLDEN=1 pytest tests/functional/test_golden.py, then read
the difference.
"""

import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.plan import inventory
from clusterous_cli.plan.kinds import table
from clusterous_cli.system import assets
from tests.functional import cloud

GOLDEN = Path(__file__).parent / "golden"
READS = ("Describe", "Get", "List", "Head")
REEF = config.parse("name: reef\nworkers:\n  count: 2\nvolume: efs\n")
# What another volume is: only what differs is in files of its own.
ON_EBS = config.parse(
    "name: reef\nworkers:\n  count: 2\nvolume: {size: 100, iops: 4000, throughput: 250}\n"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud.World]:
    with cloud.running(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture(scope="module")
def story(world: cloud.World) -> dict[str, str]:
    """Create and destroy once; return both stories as the golden files tell them."""
    return lived(world, REEF)


def lived(world: cloud.World, wanted: config.ClusterConfig) -> dict[str, str]:
    with listened(world) as created:
        world.converge(wanted).execute()
    who = Identity(name="reef", account=world.cloud.account, region="eu-west-1")
    ids: dict[str, str] = {}
    for one in inventory.take(world.cloud, who):
        for id in one.id.split():
            if re.fullmatch(r"[a-z]+-[0-9a-f]{8,}", id):
                ids.setdefault(id, f"<{one.key}>")  # a group's rules have the group's own id
    with listened(world) as removed:
        world.destroy("reef")
    names = {**ids, who.uid: "<uid>", who.account: "<account>", assets.version(): "<version>"}
    return {"create": told(created, names), "destroy": told(removed, names)}


@pytest.mark.parametrize("verb", ["create", "destroy"])
def test_calls_are_those_that_were_reviewed(story: Mapping[str, str], verb: str) -> None:
    held_to(f"{verb}-calls", story[verb])


@pytest.mark.parametrize("verb", ["create", "destroy"])
def test_calls_for_a_volume_on_ebs_are_those_that_were_reviewed(
    world: cloud.World, story: Mapping[str, str], verb: str
) -> None:
    usual = yaml.safe_load(story[verb])
    calls = [one for one in yaml.safe_load(lived(world, ON_EBS)[verb]) if one not in usual]

    held_to(f"{verb}-calls-ebs", yaml.safe_dump(calls, sort_keys=False, width=96))


def held_to(name: str, said: str) -> None:
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("CLUSTEROUS_RENEW_GOLDEN"):
        path.write_text(said)

    assert said == path.read_text(), f"see {Path(__file__).name} on how to renew {path.name}"


def test_what_waits_for_what_was_reviewed(world: cloud.World) -> None:
    """AWS would refuse most wrong orders only for a while; but secrets would be in an open bucket,

    and the record gone before what it tells of.
    """
    held_to("order", order_of(world, REEF))


def test_what_waits_for_a_volume_on_ebs_was_reviewed(world: cloud.World) -> None:
    usual = yaml.safe_load(order_of(world, REEF))["create"]
    order = yaml.safe_load(order_of(world, ON_EBS))["create"]
    other = {key: needs for key, needs in order.items() if usual.get(key) != needs}

    held_to("order-ebs", yaml.safe_dump(other, sort_keys=False, width=96))


def order_of(world: cloud.World, wanted: config.ClusterConfig) -> str:
    steps = world.design(wanted).plan.steps
    version = {assets.version(): "<version>"}
    order = {
        "create": {
            symbolic(one.key, version): [symbolic(key, version) for key in one.needs]
            for one in steps
        },
        "gone before": {str(kind): list(kind.after) for kind in table.ALL if kind.after},
    }
    ordered = {part: {key: sorted(set(order[part][key])) for key in sorted(order[part])}
               for part in order}  # fmt: skip
    return yaml.safe_dump(ordered, sort_keys=False, width=96)


UNORDERED = ("IpPermissions", "UserIdGroupPairs", "Objects", "RouteTableIds", "InstanceIds")
Call = tuple[str, Mapping[str, Any]]


@contextmanager
def listened(world: cloud.World) -> Iterator[list[Call]]:
    """Collect what goes to AWS below everything of ours, uploads of files included."""
    calls: list[Call] = []
    lock = threading.Lock()

    def listen(params: Mapping[str, Any], model: Any, **rest: Any) -> None:
        if not model.name.startswith(READS):
            with lock:
                calls.append((f"{model.service_model.service_name}:{model.name}", dict(params)))

    services = [
        world.cloud.client(service, reads=reads)
        for service in ("ec2", "iam", "s3", "efs", "ecr")
        for reads in (False, True)
    ]
    for client in services:
        client.meta.events.register("provide-client-params", listen, unique_id="golden")
    try:
        yield calls
    finally:
        for client in services:
            client.meta.events.unregister("provide-client-params", unique_id="golden")


def told(calls: list[Call], names: Mapping[str, str]) -> str:
    """Spell calls as YAML, sorted, each once: what runs at the same time has no order."""
    spelled = {
        yaml.safe_dump(
            [{"call": name, **{key: plain(key, value, names) for key, value in params.items()}}],
            sort_keys=False, width=96, allow_unicode=True,
        )
        for name, params in calls
    }  # fmt: skip
    return "".join(sorted(spelled))


def plain(key: str, value: Any, names: Mapping[str, str]) -> Any:
    """Give what differs from run to run a name, and open what is JSON in a string."""
    if key in ("ClientToken", "Body"):
        return f"<{key}>"
    if isinstance(value, Mapping):
        return {str(k): plain(str(k), item, names) for k, item in value.items()}
    if isinstance(value, list | tuple):
        items = [plain("", item, names) for item in value]
        if key in ("Tags", "TagSet"):
            return {item["Key"]: item["Value"] for item in items}
        # Sorted by ids and digests, which differ from run to run.
        return sorted(items, key=str) if key in UNORDERED else items
    if isinstance(value, str) and value.startswith("{"):
        return plain("", json.loads(value), names)
    return symbolic(value, names) if isinstance(value, str) else value


def symbolic(text: str, names: Mapping[str, str]) -> str:
    """Replace ids, digests and keys in *text*."""
    for id, name in names.items():
        text = text.replace(id, name)
    text = re.sub(r"content: H4s[A-Za-z0-9+/=]+", "content: <gzip>", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "<sha256>", text)
    return re.sub(r"ssh-ed25519 [A-Za-z0-9+/=]+", "<ssh key>", text)

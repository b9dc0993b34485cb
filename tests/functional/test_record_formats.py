"""A cluster that another version of the program made: opened if older, left alone if newer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.cluster import config, record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import RECORD
from clusterous_cli.cluster.records import formats
from tests.functional import cloud

REEF = config.parse("name: reef\nworkers: 1\nmaster: none\nvolume: none\n")
POOLS = {"gateway": "gateway", "controller": "controller", "workers": "worker"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud.World]:
    with cloud.running(tmp_path_factory.mktemp("aws")) as running:
        running.create(REEF)
        yield running


def rewrite(world: cloud.World, **changes: Any) -> None:
    who = Identity(name="reef", account=world.cloud.account, region="eu-west-1")
    kept = record.read_json(world.cloud, who, RECORD)
    assert kept is not None
    body = json.dumps({**kept, **changes}).encode()
    world.cloud.call("s3", "put_object", Bucket=who.bucket, Key=RECORD, Body=body)


def test_an_older_record_is_read_and_written_anew(world: cloud.World, tmp_path: Path) -> None:
    kept = {**REEF.to_record(), "volume": "none"}
    pools = kept.pop("pools")
    old = {name: dict(pools[pool]) for name, pool in POOLS.items()}
    for pool in old.values():
        del pool["role"]
    rewrite(world, format=1, config={**kept, **old})

    assert record.open_cluster("reef", world.cloud).record["config"]["pools"] == pools
    assert [step.key for step in world.design(REEF).plan.pending] == ["s3:record.json"]


def test_a_record_that_is_none_is_told(world: cloud.World) -> None:
    who = Identity(name="reef", account=world.cloud.account, region="eu-west-1")
    kept = record.read_object(world.cloud, who, RECORD)
    assert kept is not None
    try:
        world.cloud.call("s3", "put_object", Bucket=who.bucket, Key=RECORD, Body=b"{")

        with pytest.raises(UserError, match="not what clusterous wrote there"):
            record.open_cluster("reef", world.cloud)
        with pytest.raises(UserError, match="not what clusterous wrote there"):
            world.design(REEF)
    finally:
        world.cloud.call("s3", "put_object", Bucket=who.bucket, Key=RECORD, Body=kept)


def test_a_newer_record_stops_everything_but_destroy(world: cloud.World) -> None:
    rewrite(world, format=formats.FORMAT + 1, clusterous="9.1.0")
    before = world.mutating()

    with pytest.raises(UserError, match=r"newer clusterous \(9\.1\.0\)"):
        world.design(REEF)
    with pytest.raises(UserError, match="Nothing was changed"):
        record.open_cluster("reef", world.cloud)

    assert world.mutating() == before
    world.destroy("reef")
    assert world.server.leftovers() == []

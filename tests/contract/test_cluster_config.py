"""What the command line tells of a cluster, the operator understands."""

from collections.abc import Mapping
from typing import Any

import pytest

from clusterous_api import mounts, names
from clusterous_cli.addons import operatorchart
from clusterous_cli.addons.addon import Setting
from clusterous_cli.cluster import config
from clusterous_cli.cluster.payload import Blob
from clusterous_operator import manifests
from clusterous_operator.decisions import situation
from clusterous_operator.decisions.counting import Size
from tests.unit.operator.making import FakeApi, make_app


def told() -> dict[str, str]:
    """Return the data of the ConfigMap that comes with the operator."""
    image = Blob(key="boot/1/operator.tar", sha256="1" * 64)
    setting = Setting(
        config=config.parse("name: reef\nvolume: efs\n"),
        region="eu-west-1",
        operator="ghcr.io/x/y:2",
        archives={"operator": image},
    )
    found = operatorchart.manifests(setting, {})
    (data,) = (one["data"] for one in found if one["metadata"]["name"] == names.CLUSTER_CONFIG)
    return dict(data)


@pytest.mark.parametrize(
    ("volume", "server"),
    [
        pytest.param({}, "10.40.16.11", id="the cluster's own"),
        pytest.param(
            {"existing": {"efs": {"fileSystemId": "fs-0123456789"}}},
            "fs-0123456789.efs.eu-west-1.amazonaws.com",
            id="a file system of the region",
        ),
    ],
)
def test_volumes_are_found_by_it(volume: Mapping[str, Any], server: str) -> None:
    api, app = FakeApi(), make_app(sharedVolume=volume)
    api.cluster = told()

    wanted = manifests.desired(app, situation.facts(api.observe(app), Size()))

    (spec,) = (one["spec"] for one in wanted if one["kind"] == "PersistentVolume")
    assert spec["nfs"]["server"] == server
    assert tuple(spec["mountOptions"]) == mounts.EFS_OPTIONS

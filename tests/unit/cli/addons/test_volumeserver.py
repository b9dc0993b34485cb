"""The volume server's pod, and that it and the keeper within speak of the same places."""

import re
from pathlib import Path
from typing import Any

import pytest

from clusterous_cli.addons import volumeserver
from images.volume import keeper

FOLDER = Path(keeper.__file__).parent
CONF = (FOLDER / "ganesha.conf").read_text()


def container(name: str) -> dict[str, Any]:
    pod = volumeserver.pod("example.org/volume:1", {"a": "b"})
    (found,) = [one for one in pod["spec"]["containers"] if one["name"] == name]
    return dict(found)


def mounts(name: str) -> dict[str, str]:
    return {
        one["mountPath"]: one.get("mountPropagation", "None")
        for one in container(name)["volumeMounts"]
    }


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("marked", [True, False])
def test_the_keeper_reads_the_order_that_is_spelled(given: bool, marked: bool) -> None:
    text = volumeserver.order("vol-0abc", given=given, marked=marked)

    assert keeper.ordered(text) == keeper.Order(volume="vol-0abc", given=given, marked=marked)


def test_both_sides_know_the_same_places() -> None:
    assert Path(volumeserver.ORDER) == keeper.ORDER
    assert Path(volumeserver.STATUS) == keeper.STATUS
    assert Path(volumeserver.RUN) == keeper.RUN
    assert Path(volumeserver.STATE) == keeper.STATE
    assert Path(volumeserver.HOME) == keeper.PLACE.parent
    assert set(mounts("keeper")) >= {"/dev", "/home", "/etc/clusterous", volumeserver.STATE}


def test_ganesha_serves_the_place_and_remembers_where_the_keeper_reserves() -> None:
    said = dict(re.findall(r"^\s+(\w+) = (.+);$", CONF, re.MULTILINE))

    assert Path(said["Path"]) == keeper.PLACE
    assert Path(said["RecoveryRoot"]) == keeper.RECOVERY
    assert int(said["NFS_Port"]) == keeper.PORT
    assert (said["Lease_Lifetime"], said["Grace_Period"]) == ("20", "30")
    assert (said["Dir_Chunk"], said["Attr_Expiration_Time"]) == ("0", "0")


def test_every_reason_is_known_to_who_reads_the_status() -> None:
    text = Path(keeper.__file__).read_text()
    raised = set(re.findall(r'RefusedError\(\s*"([a-z ]+)"|reason(?:: str)?="([a-z ]+)"', text))
    given = {one or other for one, other in raised} | {"failed"}

    assert given == set(volumeserver.REASONS)


def test_the_image_is_never_pulled_and_the_pod_goes_last() -> None:
    spec = volumeserver.pod("example.org/volume:1", {})["spec"]

    assert {one["imagePullPolicy"] for one in spec["containers"]} == {"Never"}
    assert {one["image"] for one in spec["containers"]} == {"example.org/volume:1"}
    assert spec["priorityClassName"] == "system-node-critical"
    assert spec["hostNetwork"] is True


def test_who_is_reached_over_the_network_can_open_no_device_and_has_few_rights() -> None:
    server = container("server")

    assert server["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert "SYS_ADMIN" not in server["securityContext"]["capabilities"]["add"]
    assert "MKNOD" not in server["securityContext"]["capabilities"]["add"]
    assert "privileged" not in server["securityContext"]
    (devices,) = [one for one in server["volumeMounts"] if one["mountPath"] == "/dev"]
    assert devices["readOnly"] is True
    assert mounts("server")["/home"] == "HostToContainer"
    assert mounts("keeper")["/home"] == "Bidirectional"


def test_the_pod_says_whose_it_is() -> None:
    assert volumeserver.pod("x:1", {"a": "b"})["metadata"]["annotations"] == {"a": "b"}

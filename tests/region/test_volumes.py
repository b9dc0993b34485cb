"""Volumes in a whole region: what the API says of them is what machines have."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.region import audit
from tests.region.aws import images
from tests.region.region import Region
from tests.region.storage import ebs

pytestmark = pytest.mark.region


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    with Region("crvol").held() as made:
        yield made


def aws(region: Region, *argv: str) -> Any:
    words = region.laptop_run(["aws", "ec2", *argv], capture_output=True, text=True)
    assert words.returncode == 0, words.stderr
    return json.loads(words.stdout or "null")


def launched(region: Region) -> str:
    kind = ("--instance-type", "t3.micro", "--image-id", images.IMAGES[0].id("eu-west-1"))
    place = ("--placement", "AvailabilityZone=eu-west-1a")
    return str(aws(region, "run-instances", *kind, *place)["Instances"][0]["InstanceId"])


def until(check: Callable[[], object], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"not in {seconds} s: {what}"
        time.sleep(0.2)


def says(region: Region, instance: str, script: str) -> str:
    done = region.exec(instance, ["sh", "-ec", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return str(done.stdout).strip()


def is_up(region: Region, instance: str) -> bool:
    found = [one for one in region.instances() if one["id"] == instance and one["pid"]]
    return bool(found) and found[0]["state"] == "running"


def attach(region: Region, volume: str, instance: str) -> str:
    """Attach, and answer the device once the machine has it."""
    aws(region, "wait", "volume-available", "--volume-ids", volume)
    where = ("--instance-id", instance, "--device", "/dev/sdf")
    aws(region, "attach-volume", "--volume-id", volume, *where)
    path = f"/dev/{ebs.BY_ID}/{ebs.LINK}{volume.replace('-', '')}"
    until(lambda: region.exec(instance, ["test", "-b", path]).returncode == 0, "the device")
    return path


def state(region: Region, volume: str) -> str:
    [shown] = aws(region, "describe-volumes", "--volume-ids", volume)["Volumes"]
    return next((str(each["State"]) for each in shown["Attachments"]), str(shown["State"]))


def test_a_volume_outlives_its_machine_with_what_was_flushed(region: Region) -> None:
    first, second = launched(region), launched(region)
    until(lambda: is_up(region, first) and is_up(region, second), "the machines run")
    wanted = ("--availability-zone", "eu-west-1a", "--size", "1", "--volume-type", "gp3")
    volume = aws(region, "create-volume", *wanted)["VolumeId"]
    device = attach(region, volume, first)
    says(region, first, f"mkfs.ext4 -q {device} && mount {device} /mnt && echo kept > /mnt/kept")
    says(region, first, "sync -f /mnt/kept && echo lost > /mnt/lost")

    # Detached while it is mounted it stays, until it is given up.
    aws(region, "detach-volume", "--volume-id", volume)
    until(lambda: state(region, volume) == "busy", "the machine holds it")
    assert says(region, first, "cat /mnt/kept") == "kept"
    says(region, first, "umount /mnt")
    until(lambda: state(region, volume) == "available", "the machine has let go")
    device = attach(region, volume, first)
    # ext4 flushes every 5 s by itself, which a slow machine would wait for.
    mounted = f"mount -o commit=600 {device} /mnt"
    says(region, first, f"{mounted} && cat /mnt/lost && echo gone > /mnt/gone")

    region.terminate(first)
    device = attach(region, volume, second)

    assert says(region, second, f"mount {device} /mnt && ls /mnt").split() == [
        "kept",
        "lost",
        "lost+found",
    ]
    os.kill(region.facts()["pid"], signal.SIGKILL)
    region.down()
    assert audit.host(region.places) == []

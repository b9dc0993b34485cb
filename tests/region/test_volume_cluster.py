"""A cluster whose shared volume is on EBS: its own machines, its own server, its own packets."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterous_cli.images import maker
from tests.region.parts import parts, volume_image
from tests.region.region import Region

pytestmark = pytest.mark.region

CLUSTER = """\
name: tide
region: eu-west-1
controller: {type: t3.medium}
workers: {type: t3.medium, count: 1}
volume: {size: %d}
"""
PROGRAM = """\
apiVersion: clusterous.io/v1
kind: ClusterousApp
metadata: {name: writer}
spec:
  image: rancher/mirrored-library-busybox:1.36.1
  master:
    command: [sh, -c, "echo of a pod on $HOSTNAME >/home/data/pod; sleep 3600"]
  workers:
    replicas: 1
    command: [sh, -c, "echo of a worker >/home/data/worker; sleep 3600"]
"""


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    made = Region("crtide")
    made.up(tell=print)
    # The region has no mirror of Debian's: the image is made as on the laptop, but before.
    kept = Path(made.laptop_env()["HOME"]) / ".cache/clusterous/images"
    kept.mkdir(parents=True)
    archive = parts.ensure(["volume_image"]).volume_image
    shutil.copy(archive, kept / maker.plan(volume_image.FOLDER).filename)
    try:
        yield made
    finally:
        made.down(tell=print)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laptop")


def clusterous(region: Region, folder: Path, *argv: str) -> str:
    done = region.laptop_run(("clusterous", *argv), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def on(region: Region, role: str, script: str) -> str:
    (machine,) = (
        each for each in region.instances() if each["tags"].get("clusterous.io/role") == role
    )
    done = region.exec(machine["id"], ["sh", "-c", script], capture_output=True, text=True)
    return f"{done.stdout}{done.stderr}".strip()


def until(check: Callable[[], Any], what: str, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(1.0)


def test_a_cluster_is_made_with_its_volume(region: Region, folder: Path) -> None:
    (folder / "tide.yaml").write_text(CLUSTER % 2)

    clusterous(region, folder, "create", "tide.yaml", "--yes")

    status = json.loads(clusterous(region, folder, "status", "-o", "json"))
    assert status["volume"]["state"] == "serving"
    assert on(region, "controller", "stat -c %a /home/data") == "1777"
    until(lambda: on(region, "worker", "readlink /run/clusterous/data"), "the worker mounts it")


def test_what_is_put_is_seen_by_workers_and_pods_write_to_the_same(
    region: Region, folder: Path
) -> None:
    (folder / "words").write_text("of the laptop\n")
    clusterous(region, folder, "put", "words")
    assert on(region, "worker", "cat /home/data/words") == "of the laptop"

    (folder / "app.yaml").write_text(PROGRAM)
    clusterous(region, folder, "kubectl", "apply", "-f", "app.yaml")

    until(lambda: on(region, "controller", "cat /home/data/pod").startswith("of a pod"), "a pod")
    until(lambda: on(region, "controller", "cat /home/data/worker") == "of a worker", "a worker")


def test_it_grows_while_it_is_used(region: Region, folder: Path) -> None:
    (folder / "tide.yaml").write_text(CLUSTER % 3)

    clusterous(region, folder, "create", "tide.yaml", "--yes")

    blocks = int(
        on(region, "controller", "stat -f -c %b*%S /home/data | sed 's/.*/echo $((&))/' | sh")
    )
    assert blocks > 2.8 * (1 << 30)


def test_destroy_leaves_nothing(region: Region, folder: Path) -> None:
    clusterous(region, folder, "destroy", "tide", "--yes")

    assert region.leftovers() == []

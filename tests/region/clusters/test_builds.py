"""Images built on the cluster by a laptop that has no builder: BuildKit itself, in its pod.

One cluster serves the whole module; the tests run in the order in which they stand here.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterous_cli.addons import builder
from tests.region import story
from tests.region.region import Region
from tests.region.story import clusterous, on, until

pytestmark = pytest.mark.region

CLUSTER = """\
name: kiln
region: eu-west-1
controller: {type: t3.medium}
master: none
workers: {type: t3.medium, count: 1}
volume: {size: 1}
"""
# What is random says, by staying as it was, that a step was not taken again.
RECIPE = """\
FROM docker.io/library/python:3.11-slim
RUN head -c 32 /dev/urandom >/random
COPY app.py /
CMD ["python", "/app.py"]
"""
PROGRAM = """\
apiVersion: clusterous.io/v1
kind: ClusterousApp
metadata:
  name: pot
  annotations: {clusterous.io/build.pot: image/}
spec:
  image: pot
  workers: {replicas: 1}
"""
APP = "import time\nprint('made of {0}', flush=True)\ntime.sleep(10**6)\n"
# Whether it sees the processes of the pod, which it does; then what it can read of them.
SPY = """\
FROM docker.io/library/python:3.11-slim
COPY spy.sh /
RUN sh /spy.sh
"""
SPYING = """\
grep -qs buildctl /proc/[0-9]*/comm || { echo no process is seen; exit 1; }
for one in /proc/[0-9]*; do
    tr '\\0' '\\n' <$one/environ 2>/dev/null
    cat $one/root@SECRETS@/*/config.json $one/cwd/config.json 2>/dev/null
    tr '\\0' '\\n' <$one/cmdline 2>/dev/null
done >/told
cat @SECRETS@/*/config.json /var/run/secrets/kubernetes.io/*/* >>/told 2>/dev/null
grep -E '"auths"|^DOCKER_CONFIG=|^BUILDKIT_HOST=' /told && exit 1
echo it knows nothing
"""


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    with story.up("crkiln") as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("laptop")
    (made / "kiln.yaml").write_text(CLUSTER)
    (made / "pot.yaml").write_text(PROGRAM)
    (made / "image").mkdir()
    (made / "image/Containerfile").write_text(RECIPE)
    write(made, "clay")
    return made


def write(folder: Path, word: str) -> None:
    (folder / "image/app.py").write_text(APP.format(word))


def typed(region: Region, folder: Path, *argv: str) -> Any:
    """Type what may fail, where builds go to the cluster."""
    env = {"CLUSTEROUS_BUILDER": "cluster"}
    return region.laptop_run(
        ("clusterous", *argv), cwd=folder, env=env, capture_output=True, text=True
    )


def built(region: Region, folder: Path, name: str, image: str = "image") -> str:
    """Build a folder on the cluster, and return the image's digest."""
    done = typed(region, folder, "build-image", image, name)
    assert done.returncode == 0, done.stderr
    return str(done.stdout.strip().rpartition("@")[2])


def pod(region: Region, folder: Path) -> dict[str, Any] | None:
    argv = ("kubectl", "-n", builder.SPACE, "get", "pods", "-o", "json")
    return next(iter(json.loads(clusterous(region, folder, *argv))["items"]), None)


def inside(region: Region, folder: Path, script: str) -> str:
    """Return what a script says in the builder's pod."""
    there = pod(region, folder)
    assert there
    where = ("-n", builder.SPACE, "exec", there["metadata"]["name"])
    return clusterous(region, folder, "kubectl", *where, "--", "sh", "-c", script)


def layers(region: Region, folder: Path, name: str, digest: str) -> list[str]:
    argv = ("aws", "ecr", "batch-get-image", "--repository-name", f"clusterous/kiln/{name}")
    said = story.run(region, folder, *argv, "--image-ids", f"imageDigest={digest}")
    manifest = json.loads(json.loads(said)["images"][0]["imageManifest"])
    return [one["digest"] for one in manifest["layers"]]


def test_a_program_is_built_on_the_cluster_and_runs(region: Region, folder: Path) -> None:
    clusterous(region, folder, "create", "kiln.yaml", "--yes")

    done = typed(region, folder, "run", "pot.yaml")

    assert done.returncode == 0, done.stderr
    assert "builds on the cluster" in done.stderr
    logs = "/var/log/pods/default_pot-*/*/*.log"
    until(lambda: "made of clay" in on(region, "worker", f"cat {logs}"), "the program speaks")


def test_the_builder_has_no_rights_and_bounds(region: Region, folder: Path) -> None:
    there = pod(region, folder)
    assert there
    (container,) = there["spec"]["containers"]

    status = inside(region, folder, "cat /proc/1/status")
    ours = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    memory = inside(
        region,
        folder,
        "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null||:",
    )

    assert ours["Uid"].split() == ["1000"] * 4
    assert int(ours["CapEff"], 16) == 0
    assert not container.get("securityContext")
    assert memory.strip() == container["resources"]["limits"]["memory"]
    # What steps write is laid over what images have, not copied.
    workers = inside(region, folder, "buildctl debug workers --verbose")
    assert re.search(r"snapshotter:\s+overlayfs", workers), workers


def test_only_what_changed_is_built(region: Region, folder: Path) -> None:
    first = built(region, folder, "pot:one")
    write(folder, "stone")
    second = built(region, folder, "pot:two")

    before, after = (layers(region, folder, "pot", one) for one in (first, second))
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


def test_a_step_sees_no_credential(region: Region, folder: Path) -> None:
    (folder / "spy").mkdir()
    (folder / "spy/Containerfile").write_text(SPY)
    (folder / "spy/spy.sh").write_text(SPYING.replace("@SECRETS@", builder.SECRETS))

    built(region, folder, "spy", "spy")

    assert inside(region, folder, f"ls {builder.SECRETS}").strip() == ""


@pytest.mark.parametrize(
    "step", ["sleep 3000 & echo left", "kill -9 -1"], ids=["left behind", "ends all"]
)
def test_a_step_that_is_unfair_to_others_ends_and_the_next_build_works(
    region: Region, folder: Path, step: str
) -> None:
    place = folder / f"step{len(step)}"
    place.mkdir()
    recipe = "FROM docker.io/library/python:3.11-slim\n"
    (place / "Containerfile").write_text(f"{recipe}RUN {step}\n")

    unfair = typed(region, folder, "build-image", place.name, "unfair")
    (place / "Containerfile").write_text(f"{recipe}RUN echo {len(step)}\n")
    built(region, folder, "fair", place.name)

    assert unfair.returncode == (0 if "left" in step else 1), unfair.stderr


def test_a_failing_step_is_told_in_its_own_words(region: Region, folder: Path) -> None:
    (folder / "fails").mkdir()
    (folder / "fails/Containerfile").write_text(
        "FROM docker.io/library/python:3.11-slim\nRUN echo the kiln is cold && exit 7\n"
    )

    done = typed(region, folder, "build-image", "fails", "fails")

    assert done.returncode == 1
    assert "the kiln is cold" in done.stderr
    assert "exit code: 7" in done.stderr


def test_an_idle_builder_goes_and_the_next_begins_warm(region: Region, folder: Path) -> None:
    before = built(region, folder, "pot:two")
    inside(region, folder, f"touch -d @0 {builder.USED}")
    until(lambda: pod(region, folder) is None, "it is gone", 120)
    write(folder, "iron")

    after = built(region, folder, "pot:three")

    # The steps of another builder are not taken again, though this one has begun with nothing.
    assert layers(region, folder, "pot", before)[:-1] == layers(region, folder, "pot", after)[:-1]


def test_nothing_is_left(region: Region, folder: Path) -> None:
    clusterous(region, folder, "destroy", "--cluster", "kiln", "--yes")

    assert region.leftovers() == []

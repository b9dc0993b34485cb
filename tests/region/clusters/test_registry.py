"""Images in a bucket that clusters share: the registry itself, on a cluster, with what it leans on.

One bucket serves the whole module, and two clusters after one another; the tests run in the order
in which they stand here.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterous_cli.cluster.file import registry
from tests.region import story
from tests.region.clusters.test_builds import APP, PROGRAM
from tests.region.parts import parts
from tests.region.region import Region
from tests.region.story import clusterous, on, until

pytestmark = pytest.mark.region

CLUSTER = """\
name: {0}
region: eu-west-1
controller: {{type: t3.medium}}
master: none
workers: {{type: t3.medium, count: 1}}
volume: {{size: 1}}
registry: {{type: s3, bucket: layers-of-ours}}
"""
RECIPE = """\
FROM docker.io/library/python:3.11-slim
RUN head -c 3000000 /dev/urandom >/random
COPY app.py /
CMD ["python", "/app.py"]
"""
LOGS = "/var/log/pods/default_pot-*/*/*.log"
# What a program's pod gets of either: a handshake that is refused, or 401.
KNOCK = """\
import http.client, ssl
def answer(host):
    try:
        there = http.client.HTTPSConnection(host, 5000, context=ssl._create_unverified_context())
        there.request("GET", "/v2/pot/tags/list")
        return there.getresponse().status
    except ssl.SSLError:
        return "refused"
print(answer("@READ@"), answer("@WRITE@"))
""".replace("@READ@", registry.READ).replace("@WRITE@", registry.WRITE)
NODE = "--cert /etc/rancher/k3s/registry-node.crt --key /etc/rancher/k3s/registry-node.key"
CURL = "curl -s -o /dev/null -w '%{http_code}' --cacert /etc/rancher/k3s/registry-ca.crt"


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    parts.paths(["registry_image"], print)
    with story.up("crlayers") as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("laptop")
    for name in ("reef", "atoll"):
        (made / f"{name}.yaml").write_text(CLUSTER.format(name))
    (made / "pot.yaml").write_text(PROGRAM)
    (made / "image").mkdir()
    (made / "image/Containerfile").write_text(RECIPE)
    write(made, "clay")
    return made


def write(folder: Path, word: str) -> None:
    (folder / "image/app.py").write_text(APP.format(word))


def built(region: Region, folder: Path, name: str) -> str:
    """Build the folder on the cluster, and return the image's name by digest."""
    done = region.laptop_run(
        ("clusterous", "build-image", "image", name), cwd=folder,
        env={"CLUSTEROUS_BUILDER": "cluster"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return str(done.stdout.strip())


def kubectl(region: Region, folder: Path, *words: str) -> str:
    return clusterous(region, folder, "kubectl", *words)


def pod(region: Region, folder: Path) -> dict[str, Any]:
    argv = ("-n", "kube-system", "get", "pods", "-l", "app.kubernetes.io/name=registry")
    (found,) = json.loads(kubectl(region, folder, *argv, "-o", "json"))["items"]
    return dict(found)


def images(region: Region, folder: Path) -> list[dict[str, Any]]:
    return list(json.loads(clusterous(region, folder, "image", "ls", "-o", "json")))


def test_a_program_is_built_pushed_and_runs(region: Region, folder: Path) -> None:
    clusterous(region, folder, "create", "reef.yaml", "--yes")

    reference = built(region, folder, "pot")
    clusterous(region, folder, "run", "pot.yaml")

    assert reference.startswith("registry:5000/pot@sha256:")
    until(lambda: "made of clay" in on(region, "worker", f"cat {LOGS}"), "the program speaks")
    assert [one["name"] for one in images(region, folder)] == ["pot", "pot"]  # and its cache


def test_a_programs_pod_can_neither_pull_nor_push(region: Region, folder: Path) -> None:
    argv = ("get", "pods", "-l", "clusterous.io/app=pot", "-o", "name")
    name = kubectl(region, folder, *argv).split()[0]

    said = kubectl(region, folder, "exec", name, "--", "python", "-c", KNOCK)

    assert said.split() == ["refused", "401"]


def test_a_node_pulls_and_cannot_push(region: Region, folder: Path) -> None:
    read, write = (f"https://{one}:{registry.PORT}/v2" for one in (registry.READ, registry.WRITE))
    push = "-X POST -d ''"

    assert on(region, "worker", f"{CURL} {NODE} {read}/") == "200"
    assert on(region, "worker", f"{CURL} {NODE} {push} {read}/pot/blobs/uploads/") == "405"
    assert on(region, "worker", f"{CURL} {NODE} {push} {write}/pot/blobs/uploads/") == "401"


def test_the_registry_is_made_anew_when_it_is_lost(region: Region, folder: Path) -> None:
    before = pod(region, folder)["metadata"]["name"]

    kubectl(region, folder, "-n", "kube-system", "delete", "pod", before, "--now")
    kubectl(
        region, folder, "-n", "kube-system", "rollout", "status", "deployment/registry",
        "--timeout=180s",
    )  # fmt: skip
    write(folder, "stone")
    built(region, folder, "pot:stone")

    assert pod(region, folder)["metadata"]["name"] != before


def test_what_is_removed_is_collected_while_the_program_goes_on(
    region: Region, folder: Path
) -> None:
    write(folder, "iron")
    (folder / "image/Containerfile").write_text(RECIPE.replace("3000000", "9000000"))
    built(region, folder, "pot:iron")
    used = clusterous(region, folder, "kubectl", "get", "pods", "-o", "json")

    clusterous(region, folder, "image", "rm", "pot:iron", "--yes")
    done = json.loads(clusterous(region, folder, "image", "collect", "-o", "json"))

    assert done["before"] - done["after"] >= 0
    assert done["manifests"] >= 1
    now = clusterous(region, folder, "kubectl", "get", "pods", "-o", "json")
    names = [[one["metadata"]["uid"] for one in json.loads(text)["items"]] for text in (used, now)]
    assert names[0] == names[1]
    (folder / "image/Containerfile").write_text(RECIPE)
    write(folder, "clay")


def test_images_outlive_their_cluster_and_the_next_builds_nothing(
    region: Region, folder: Path
) -> None:
    clusterous(region, folder, "destroy", "--cluster", "reef", "--yes", "--keep-images")
    clusterous(region, folder, "create", "atoll.yaml", "--yes")

    done = region.laptop_run(
        ("clusterous", "run", "pot.yaml"), cwd=folder, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert "is in the registry" in done.stderr
    until(lambda: "made of clay" in on(region, "worker", f"cat {LOGS}"), "the program speaks")


def test_nothing_is_left_of_the_last_cluster(region: Region, folder: Path) -> None:
    clusterous(region, folder, "destroy", "--cluster", "atoll", "--yes")

    assert region.leftovers() == []

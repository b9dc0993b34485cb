"""A cluster whose shared volume is on EBS: its own machines, its own server, its own packets."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterous_cli.cluster import addresses
from tests.region import story
from tests.region.region import Region
from tests.region.story import clusterous, machine, on, until

pytestmark = pytest.mark.region

CLUSTER = """\
name: tide
region: eu-west-1
controller: {type: t3.medium}
master: none
workers: {type: t3.medium, count: 1}
volume: {size: %d}
"""
BUSYBOX = "rancher/mirrored-library-busybox:1.36.1"  # of k3s' own archive
SERVER = "10.40.16.10"  # the controller
KNOCK = f"exec 3<>/dev/tcp/{SERVER}/2049"
PROGRAM = f"""\
apiVersion: clusterous.io/v1
kind: ClusterousApp
metadata: {{name: writer}}
spec:
  image: {BUSYBOX}
  master:
    command: [sh, -c, "echo of a pod on $HOSTNAME >/home/data/pod; echo up; sleep 3600"]
  workers:
    replicas: 1
    securityContext: {{runAsUser: 1000, runAsGroup: 1000}}
    # A container's first process gets only the signals that it catches.
    command:
    - sh
    - -c
    - "trap exit TERM; echo of a worker >/home/data/worker; echo up; sleep 3600 & wait"
"""


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    with story.up("crtide") as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laptop")


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


def test_day_by_day_files_are_seen_to(region: Region, folder: Path) -> None:
    """On real machines what `tests/functional/test_daily.py` tries on stand-ins."""
    inputs = folder / "inputs"
    (inputs / "deep").mkdir(parents=True)
    (inputs / "deep/big").write_bytes(bytes(range(256)) * (4 << 10))
    (inputs / "deep/x.tmp").write_text("x")
    until(lambda: pods(region, folder) == ["master", "workers"], "both run")

    clusterous(region, folder, "put", "inputs", "--exclude", "*.tmp", "--check")
    (inputs / "deep/x.tmp").unlink()
    on(region, "controller", "echo old >/home/data/inputs/old")
    gone = clusterous(region, folder, "put", "inputs", "--delete", "--yes", "-o", "json")
    listed = json.loads(clusterous(region, folder, "ls", "inputs", "-o", "json"))
    sizes = json.loads(clusterous(region, folder, "du", "-o", "json"))
    assert json.loads(gone)["deleted"] == 1
    assert [one["name"] for one in listed] == ["deep"]
    assert {one["name"]: one["bytes"] for one in sizes["entries"]}["inputs"] >= 1 << 20
    assert 0 < sizes["volume"]["free"] < sizes["volume"]["size"]

    # The workers' user is nobody's, and has no more of its image than busybox.
    clusterous(region, folder, "cp", "inputs", "workers:/tmp/")
    clusterous(region, folder, "cp", "writer/workers:/tmp/inputs/deep/big", "back")
    assert (folder / "back").read_bytes() == (inputs / "deep/big").read_bytes()
    assert clusterous(region, folder, "shell", "workers", "-c", "id -u").strip() == "1000"


def pods(region: Region, folder: Path) -> list[str]:
    """The components of the pods that run, one word a pod."""
    label = "clusterous.io/component"
    told = clusterous(
        region, folder, "kubectl", "get", "pods", "-l", "clusterous.io/app=writer",
        "--field-selector", "status.phase=Running", "-o", "json",
    )  # fmt: skip
    return sorted(
        one["metadata"]["labels"][label]
        for one in json.loads(told)["items"]
        if "deletionTimestamp" not in one["metadata"]
    )


# A file that is open for all of its life; each line is on the volume before the next is written.
WRITER = """\
exec >>/home/data/counted 2>/run/writer.err
count=0
while sleep 0.1; do count=$((count + 1)); echo $count; sync -d /home/data/counted; done
"""


def counted(region: Region) -> list[int]:
    return [int(line) for line in on(region, "controller", "cat /home/data/counted").split()]


def test_a_file_that_is_open_goes_on_after_the_server_was_killed(
    region: Region, folder: Path
) -> None:
    on(region, "worker", f"cat >/run/writer <<'E'\n{WRITER}E\nsetsid sh /run/writer & ")
    until(lambda: counted(region), "it writes")
    server = on(region, "controller", "pgrep -x ganesha.nfsd")
    assert server.isdigit()

    on(region, "controller", f"kill -9 {server}")
    before = len(counted(region))

    until(lambda: len(counted(region)) > before + 10, "it writes on")
    assert on(region, "controller", "pgrep -x ganesha.nfsd") not in ("", server)
    on(region, "worker", "pkill -f /run/writer")
    lines = counted(region)
    assert lines == list(range(1, len(lines) + 1))
    assert on(region, "worker", "cat /run/writer.err") == ""


def knocks(region: Region, folder: Path, pod: str) -> bool:
    """Whether a pod reaches the server of the volume, by the controller's address."""
    script = f"timeout 4 nc -w 3 {SERVER} 2049 </dev/null"
    argv = ("clusterous", "kubectl", "exec", pod, "--", "sh", "-c", script)
    done = region.laptop_run(argv, cwd=folder, capture_output=True, text=True)
    return bool(done.returncode == 0)


@pytest.mark.parametrize(
    ("role", "rule"),
    [
        ("worker", f"FORWARD -i cni0 -d {SERVER} -p tcp --dport 2049 -j DROP"),
        ("controller", "INPUT -i cni0 -p tcp --dport 2049 -j DROP"),
    ],
)
def test_a_pod_reaches_the_volume_by_its_machines_mount_alone(
    region: Region, folder: Path, role: str, rule: str
) -> None:
    there, pod = machine(region, role), f"knock-{role}"
    node = addresses.node_name(there["private_dns_name"], there["id"])
    spec = {"nodeName": node, "tolerations": [{"operator": "Exists"}]}
    overrides = f"--overrides={json.dumps({'spec': spec})}"
    argv = ("run", pod, f"--image={BUSYBOX}", "--restart=Never", overrides, "--command", "--")
    clusterous(region, folder, "kubectl", *argv, "sleep", "100000")
    ready = ("wait", f"pod/{pod}", "--for=condition=Ready", "--timeout=60s")
    clusterous(region, folder, "kubectl", *ready)

    assert on(region, "worker", f"timeout 3 bash -c '{KNOCK}' && echo open") == "open"
    assert not knocks(region, folder, pod)
    on(region, role, f"iptables -w -t mangle -D {rule}")
    try:
        assert knocks(region, folder, pod), "something else keeps it out as well"
    finally:
        on(region, role, f"iptables -w -t mangle -I {rule}")
    assert not knocks(region, folder, pod)


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

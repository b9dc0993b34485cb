"""A cluster that was killed while it was made, what it lets through, and how it goes.

One cluster serves the whole module: the tests run in the order in which they stand here. Its
`create` is killed a few times, the tests look at what came of it, and its `destroy` is killed a few
times. (At every call that changes something, without machines that boot: `tests/sweep`.)
"""

import io
import json
import os
import re
import shutil
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from clusterous_cli.cluster import addresses
from clusterous_cli.system import download
from clusterous_operator.controller import lookup
from tests.region import story
from tests.region.demo import EXAMPLE
from tests.region.region import Region

pytestmark = pytest.mark.region

NAME = "hard"
CLUSTER = f"""\
name: {NAME}
region: eu-west-1
controller: {{type: t3.medium}}
master: {{type: t3.medium}}
workers: {{type: t3.medium, count: 2}}
volume: efs
"""

BUSYBOX = "rancher/mirrored-library-busybox:1.36.1"  # of k3s' own archive
VOLUME = "10.40.16.11"
POOL = "clusterous.io.node-restriction.kubernetes.io/pool"

NODES = ("controller", "master", "worker")

# A run is killed when it has changed this much in the account, or has been quiet for this long.
STEP, QUIET = 16, 3.0
# What is deleted is deleted at once, side by side; so each run gets this many answers and no more.
FEW_DELETIONS = {"action": "Delete*", "kind": "hang", "skip": 8, "times": 0, "seconds": 30}
MOST_KILLS, LEAST_KILLS = 6, 3

Argv = tuple[str, ...]


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    with story.up("crhard") as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("laptop")
    (made / "hard.yaml").write_text(CLUSTER)
    return made


def changes(region: Region) -> int:
    """Count what the person's commands have changed in the account so far.

    Who calls as a machine is ROLE/SESSION in the log.
    """
    return sum(
        call["mutating"] and call["status"] < 400 and "/" not in call["caller"]
        for call in region.aws_log()
    )


@contextmanager
def struck_by(region: Region, fault: dict[str, Any] | None) -> Iterator[None]:
    """Let the region have *fault*, and never longer: what comes next is to meet none."""
    if fault:
        region.aws("POST", "faults", fault)
    try:
        yield
    finally:
        region.aws("DELETE", "faults")


def run_until_killed(
    region: Region, folder: Path, argv: Argv, fault: dict[str, Any] | None
) -> int | None:
    """Run *argv* and kill it at a point of its work; the exit code if it ended before."""
    region.aws("DELETE", "log")  # a short log is read fast, and the point of the kill is met
    seen, moved = 0, time.monotonic()
    with struck_by(region, fault), (folder / "words.log").open("a") as words:
        process = region.laptop_popen(argv, cwd=folder, stdout=words, stderr=words)
        while process.poll() is None:
            now = changes(region)
            if now > seen:
                seen, moved = now, time.monotonic()
            if (now >= STEP and not fault) or time.monotonic() - moved > QUIET:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                return None
            time.sleep(0.02)
    return int(process.returncode)


# What kubectl says of an API server that has no processor: nothing was asked of Kubernetes yet.
BUSY = re.compile(r"ServiceUnavailable|stream error|INTERNAL_ERROR|handshake timeout|i/o timeout")


def kill_again_and_again(
    region: Region, folder: Path, argv: Argv, fault: dict[str, Any] | None = None
) -> tuple[int, int]:
    """Kill *argv* at a few points of its work, then let it end: (kills, exit code)."""
    for kills in range(MOST_KILLS):
        code = run_until_killed(region, folder, argv, fault)
        if code is not None:
            return kills, code
    with (folder / "words.log").open("a") as words:
        done = region.laptop_run(argv, cwd=folder, stdout=words, stderr=words)
    return kills + 1, done.returncode


def laptop(region: Region, folder: Path, *argv: str, **options: Any) -> Any:
    return region.laptop_run(argv, cwd=folder, capture_output=True, text=True, **options)


def kubectl(region: Region, folder: Path, *argv: str) -> str:
    """Ask the cluster; again, as people do, where an API server without time refuses to answer."""
    for pause in (2, 5, 10, 20, None):
        done = laptop(region, folder, "clusterous", "kubectl", *argv)
        if done.returncode == 0 or pause is None or not BUSY.search(done.stderr):
            break
        time.sleep(pause)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def until(check: Callable[[], bool], what: str, seconds: float = 90.0) -> None:
    story.until(check, what, seconds)


def by_role(region: Region, role: str) -> list[dict[str, Any]]:
    """The machines of a pool; each role but that of workers is one, too."""
    return [each for each in region.instances() if each["tags"].get("clusterous.io/pool") == role]


def node_of(machine: dict[str, Any]) -> str:
    return addresses.node_name(machine["private_dns_name"], machine["id"])


def test_create_that_is_killed_again_and_again_converges(region: Region, folder: Path) -> None:
    argv = ("clusterous", "create", "hard.yaml", "--yes")

    kills, code = kill_again_and_again(region, folder, argv)

    assert code == 0, (folder / "words.log").read_text()[-3000:]
    assert kills >= LEAST_KILLS
    assert sorted(each["tags"]["clusterous.io/pool"] for each in region.instances()) == [
        "controller",
        "gateway",
        "master",
        "worker",
        "worker",
    ]


def test_create_again_changes_nothing(region: Region, folder: Path) -> None:
    machines = {each["id"] for each in region.instances()}
    before = changes(region)

    done = laptop(region, folder, "clusterous", "create", "hard.yaml", "--yes")

    assert done.returncode == 0, done.stderr
    assert {each["id"] for each in region.instances()} == machines
    assert changes(region) - before <= 2  # the record and what goes with it, at most


def test_all_nodes_are_ready_and_the_operator_runs(region: Region, folder: Path) -> None:
    nodes = json.loads(kubectl(region, folder, "get", "nodes", "-o", "json"))["items"]
    ready = [
        condition["status"]
        for node in nodes
        for condition in node["status"]["conditions"]
        if condition["type"] == "Ready"
    ]
    assert ready == ["True"] * 4
    assert "clusterous" in kubectl(region, folder, "-n", "clusterous-system", "get", "pods")


@pytest.mark.parametrize("port", ["22", "6443", "10250", "2049", "80"])
def test_a_stranger_reaches_nothing(region: Region, folder: Path, port: str) -> None:
    gateway = by_role(region, "gateway")[0]["public_ip"]
    private = [each["private_ip"] for each in region.instances()]

    for address in [gateway, *private]:
        knock = region.stranger_run(["nc", "-z", "-w", "1", address, port], capture_output=True)
        assert knock.returncode != 0, f"a stranger reached {address}:{port}"


def test_the_laptop_reaches_ssh_on_the_gateway_and_nothing_else(
    region: Region, folder: Path
) -> None:
    gateway = by_role(region, "gateway")[0]["public_ip"]

    def reaches(address: str, port: str) -> bool:
        knock = region.laptop_run(["nc", "-z", "-w", "1", address, port], capture_output=True)
        return knock.returncode == 0

    assert reaches(gateway, "22")
    assert not any(reaches(gateway, port) for port in ("6443", "10250", "80", "443"))
    assert not any(
        reaches(each["private_ip"], port) for each in region.instances() for port in ("22", "6443")
    )


def test_nodes_reach_the_internet_by_nat_only(region: Region, folder: Path) -> None:
    worker = by_role(region, "worker")[0]
    nat = region.aws("GET", "snapshot")["nat_gateways"]
    curl = ["curl", "-sS", "--max-time", "5", "https://checkip.amazonaws.com"]

    seen = region.exec(worker["id"], curl, capture_output=True, text=True)

    assert seen.stdout.strip() == next(n["public_ip"] for n in nat if n["state"] == "available")
    assert worker["public_ip"] is None


def test_a_role_of_a_worker_reads_only_what_an_agent_needs(region: Region, folder: Path) -> None:
    worker = by_role(region, "worker")[0]
    buckets = laptop(region, folder, "aws", "s3", "ls").stdout.split()
    bucket = next(word for word in buckets if word.startswith(f"clusterous-{NAME}"))
    keys = laptop(
        region,
        folder,
        *("aws", "s3api", "list-objects-v2", "--bucket", bucket, "--output", "json"),
        *("--query", "Contents[].Key"),
    )

    secret = [key for key in json.loads(keys.stdout) if key.startswith(("server/", "private/"))]

    assert secret
    for key in secret:
        argv = ["aws", "s3", "cp", f"s3://{bucket}/{key}", "-", "--region", "eu-west-1"]
        got = region.exec(worker["id"], argv, capture_output=True, text=True)
        assert got.returncode != 0, f"a worker read {key}"
        assert "AccessDenied" in got.stderr or "403" in got.stderr


def rules_but(protocol: str, port: int, peers: dict[str, Any]) -> list[dict[str, Any]]:
    """Spell rules that let everything of *peers* in but one port."""
    ranges = {"tcp": [(0, 65535)], "udp": [(0, 65535)]}
    ranges[protocol] = [(0, port - 1), (port + 1, 65535)]
    return [
        {**peers, "IpProtocol": kind, "FromPort": low, "ToPort": high}
        for kind, each in ranges.items()
        for low, high in each
    ]


def rules_letting_in(region: Region, protocol: str, port: int) -> dict[str, list[dict[str, Any]]]:
    """Find the cluster's rules through which *port* comes in, by their groups."""
    argv = ("aws", "ec2", "describe-security-groups", "--output", "json", "--filters")
    told = region.laptop_run(
        (*argv, f"Name=tag:clusterous.io/cluster,Values={NAME}"), capture_output=True, text=True
    )
    found = {
        group["GroupId"]: [
            {key: value for key, value in rule.items() if value not in ([], None)}
            for rule in group["IpPermissions"]
            if rule["IpProtocol"] == "-1"
            or (rule["IpProtocol"] == protocol and rule["FromPort"] <= port <= rule["ToPort"])
        ]
        for group in json.loads(told.stdout)["SecurityGroups"]
    }
    return {group: rules for group, rules in found.items() if rules}


@contextmanager
def closed(region: Region, protocol: str, port: int) -> Iterator[None]:
    """Close one port wherever the nodes' security groups let it in, and open it again."""
    found = rules_letting_in(region, protocol, port)
    assert found, f"no rule allows {protocol} {port}"
    for group, rules in found.items():
        change_rules(region, "revoke", group, rules)
        change_rules(region, "authorize", group, instead_of(rules, protocol, port))
    try:
        yield
    finally:
        for group, rules in found.items():
            change_rules(region, "revoke", group, instead_of(rules, protocol, port))
            change_rules(region, "authorize", group, rules)


def instead_of(rules: list[dict[str, Any]], protocol: str, port: int) -> list[dict[str, Any]]:
    """Spell what rules let in but for one port; one for all protocols lets the rest in."""
    peers = [
        {key: value for key, value in rule.items() if key != "IpProtocol"}
        for rule in rules
        if rule["IpProtocol"] == "-1"
    ]
    return [one for each in peers for one in rules_but(protocol, port, each)]


def change_rules(region: Region, verb: str, group: str, rules: list[dict[str, Any]]) -> None:
    if rules:
        argv = ("aws", "ec2", f"{verb}-security-group-ingress", "--group-id", group)
        region.laptop_run(
            (*argv, "--ip-permissions", json.dumps(rules)), check=True, capture_output=True
        )


def node_is_ready(region: Region, folder: Path, name: str) -> bool:
    path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    return kubectl(region, folder, "get", "node", name, "-o", path).strip() == "True"


def test_without_6443_workers_are_lost_and_come_back(region: Region, folder: Path) -> None:
    name = node_of(by_role(region, "worker")[0])
    assert node_is_ready(region, folder, name)

    with closed(region, "tcp", 6443):
        cut_established(region, "worker")
        until(lambda: not node_is_ready(region, folder, name), f"{name} is lost")

    until(lambda: node_is_ready(region, folder, name), f"{name} is back")


def cut_established(region: Region, role: str) -> None:
    """Security groups are stateful: a connection that stands goes on until it is made anew."""
    for each in by_role(region, role):
        region.exec(each["id"], ["ss", "-K", "dport", "=", "6443"], capture_output=True)


# A pod that ends has its address still: where a node was lost, there is one fewer for a while.
LIVING = (
    "{{range .items}}{{if and (not .metadata.deletionTimestamp) .status.podIP}}"
    '{{.status.podIP}} {{.spec.nodeName}}{{"\\n"}}{{end}}{{end}}'
)


def dns_pod(region: Region, folder: Path) -> list[str]:
    """Return the address of a pod that answers for names, and its node."""
    dns = ("-n", "kube-system")
    kubectl(region, folder, *dns, "rollout", "status", "deployment/coredns", "--timeout=90s")
    there = kubectl(
        region, folder, *dns, "get", "pods", "-l", "k8s-app=kube-dns", "-o", f"go-template={LIVING}"
    )
    return there.splitlines()[0].split()


def asks_pod(region: Region, instance: str, address: str) -> bool:
    """Knock at the DNS port of a pod from a node's own network, across the pod network."""
    argv = ["timeout", "4", "bash", "-c", f"exec 3<>/dev/tcp/{address}/53"]
    return region.exec(instance, argv, capture_output=True).returncode == 0


def test_without_8472_pods_of_other_nodes_are_out_of_reach(region: Region, folder: Path) -> None:
    address, home = dns_pod(region, folder)
    away = next(
        each["id"]
        for each in region.instances()
        if each["tags"]["clusterous.io/role"] != "gateway" and node_of(each) != home
    )
    assert asks_pod(region, away, address)

    with closed(region, "udp", 8472):
        until(lambda: not asks_pod(region, away, address), "the pod network is cut", 20)

    until(lambda: asks_pod(region, away, address), "the pod network is whole", 20)


def test_without_10250_the_api_server_finds_no_kubelet(region: Region, folder: Path) -> None:
    worker = by_role(region, "worker")[0]
    name = node_of(worker)
    path = f"/api/v1/nodes/{name}/proxy/healthz"
    ask = ("timeout", "8", "clusterous", "kubectl", "get", "--raw", path)

    def answers() -> bool:
        return bool(laptop(region, folder, *ask).stdout == "ok")

    assert answers()

    with closed(region, "tcp", 10250):
        # The API server keeps its connection, and what stands goes on: a new kubelet ends it.
        region.exec(worker["id"], ["systemctl", "restart", "k3s-agent"], check=True)
        until(lambda: not answers(), "the kubelet is out of reach")
        until(lambda: node_is_ready(region, folder, name), "it reports by itself all the same")
        assert not answers()

    until(answers, "the kubelet is back")


# --- who may knock at whom, inside -----------------------------------------------------------


def reaches(region: Region, machine: dict[str, Any], address: str, port: int) -> bool:
    """Knock at a port from a machine's own network."""
    argv = ["timeout", "3", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"]
    return region.exec(machine["id"], argv, capture_output=True).returncode == 0


@contextmanager
def opened(region: Region, owner: str, port: int, source: str) -> Iterator[None]:
    """Let *source* in at a port of all that is in the group of *owner*, for a while."""
    argv = ("aws", "ec2", "describe-security-groups", "--output", "json", "--filters")
    told = region.laptop_run(
        (*argv, f"Name=tag:clusterous.io/cluster,Values={NAME}"), capture_output=True, text=True
    )
    groups = json.loads(told.stdout)["SecurityGroups"]
    (group,) = [one["GroupId"] for one in groups if one["GroupName"].endswith(f"-{owner}")]
    rule = {
        "IpProtocol": "tcp",
        "FromPort": port,
        "ToPort": port,
        "IpRanges": [{"CidrIp": f"{source}/32"}],
    }
    change_rules(region, "authorize", group, [rule])
    try:
        yield
    finally:
        change_rules(region, "revoke", group, [rule])


@pytest.mark.parametrize(
    ("source", "owner", "port"),
    [
        pytest.param("worker", "worker", 22, id="a worker at the SSH of another"),
        pytest.param("gateway", "controller", 6443, id="the gateway at the API"),
        pytest.param("gateway", "worker", 10250, id="the gateway at a kubelet"),
        pytest.param("gateway", "volume", 2049, id="the gateway at the volume"),
    ],
)
def test_machines_are_kept_out_where_they_have_no_business(
    region: Region, folder: Path, source: str, owner: str, port: int
) -> None:
    one = by_role(region, source)[0]
    address = VOLUME if owner == "volume" else by_role(region, owner)[-1]["private_ip"]
    assert address != one["private_ip"]

    assert not reaches(region, one, address, port)
    with opened(region, owner, port, one["private_ip"]):
        until(lambda: reaches(region, one, address, port), "only the rule keeps it out", 20)
    until(lambda: not reaches(region, one, address, port), "the rule is back", 20)


@pytest.fixture(scope="module")
def pod(region: Region, folder: Path) -> dict[str, Any]:
    """Start a pod with a network of its own, and return the machine on which it is."""
    argv = ("run", "knock", f"--image={BUSYBOX}", "--restart=Never", "--command", "--")
    kubectl(region, folder, *argv, "sleep", "100000")
    kubectl(region, folder, "wait", "pod/knock", "--for=condition=Ready", "--timeout=60s")
    name = kubectl(region, folder, "get", "pod", "knock", "-o", "jsonpath={.spec.nodeName}")
    return next(each for each in by_role(region, "worker") if node_of(each) == name)


def in_pod(region: Region, folder: Path, script: str) -> Any:
    return laptop(
        region, folder, "clusterous", "kubectl", "exec", "knock", "--", "sh", "-c", script
    )


def test_a_pod_reaches_the_volume_by_its_machines_mount_alone(
    region: Region, folder: Path, pod: dict[str, Any]
) -> None:
    rule = ["FORWARD", "-i", "cni0", "-d", VOLUME, "-p", "tcp", "--dport", "2049", "-j", "DROP"]
    iptables = ["iptables", "-w", "-t", "mangle"]

    def knocks() -> bool:
        script = f"timeout 4 nc -w 3 {VOLUME} 2049 </dev/null"
        return bool(in_pod(region, folder, script).returncode == 0)

    assert reaches(region, pod, VOLUME, 2049)
    assert not knocks()
    region.exec(pod["id"], [*iptables, "-D", *rule], check=True)
    try:
        assert knocks(), "something else keeps it out as well"
    finally:
        region.exec(pod["id"], [*iptables, "-I", *rule], check=True)
    assert not knocks()


# Nobody may come in: what k3s' controller of network policies makes of that is felt.
CLOSED = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed}
spec:
  podSelector: {matchLabels: {run: knock}}
  policyTypes: [Ingress]
"""


def test_a_network_policy_keeps_out_all_but_the_pods_own_machine(
    region: Region, folder: Path, pod: dict[str, Any]
) -> None:
    address = kubectl(region, folder, "get", "pod", "knock", "-o", "jsonpath={.status.podIP}")
    away = next(each for each in by_role(region, "worker") if each["id"] != pod["id"])
    (folder / "closed.yaml").write_text(CLOSED)
    in_pod(region, folder, "nc -ll -p 7000 -e true >/dev/null 2>&1 &")
    until(lambda: reaches(region, away, address, 7000), "the pod listens", 20)

    kubectl(region, folder, "apply", "-f", "closed.yaml")
    try:
        until(lambda: not reaches(region, away, address, 7000), "the policy holds", 30)
        assert reaches(region, pod, address, 7000)
    finally:
        kubectl(region, folder, "delete", "-f", "closed.yaml")
    until(lambda: reaches(region, away, address, 7000), "without it nothing keeps out", 30)


# A program of an image with USER 1000.
AS_1000 = """\
apiVersion: clusterous.io/v1
kind: ClusterousApp
metadata: {{name: {name}}}
spec:
  run: Batch
  image: {image}
  master:
    command: [sh, -ec, "{script}"]
    template: {{spec: {{securityContext: {{runAsUser: 1000, runAsGroup: 1000}}}}}}
"""


def as_1000(region: Region, folder: Path, name: str, script: str) -> str:
    """Let a program that is not root carry out *script*, and return what it said."""
    app = AS_1000.format(name=name, image=BUSYBOX, script=f"test $(id -u) = 1000; {script}")
    (folder / f"{name}.yaml").write_text(app)
    kubectl(region, folder, "apply", "-f", f"{name}.yaml")
    kubectl(region, folder, "wait", f"capp/{name}", "--for=condition=Completed", "--timeout=120s")
    return kubectl(region, folder, "logs", f"job/{name}-master")


def test_programs_of_any_user_use_the_volume_and_what_put_brings(
    region: Region, folder: Path
) -> None:
    as_1000(region, folder, "early", "echo made >/home/data/early")  # before anything was put

    private = "umask 077; mkdir priv; echo 42 >priv/in.csv; clusterous put priv"
    done = laptop(region, folder, "sh", "-ec", private)
    assert done.returncode == 0, done.stderr
    assert (folder / "priv/in.csv").stat().st_mode & 0o777 == 0o600
    said = as_1000(
        region, folder, "later", "cat /home/data/priv/in.csv; echo 43 >/home/data/priv/out.csv"
    )

    assert said == "42\n"


def test_a_pod_gets_no_token_of_its_machines_role(
    region: Region, folder: Path, pod: dict[str, Any]
) -> None:
    head = (
        "PUT /latest/api/token HTTP/1.1\\r\\nHost: 169.254.169.254\\r\\nConnection: close\\r\\n"
        "X-aws-ec2-metadata-token-ttl-seconds: 60\\r\\n\\r\\n"
    )

    def answer() -> str:
        script = f"printf '{head}' | timeout 4 nc -w 3 169.254.169.254 80"
        return str(in_pod(region, folder, script).stdout)

    def hops(count: int) -> None:
        argv = ("aws", "ec2", "modify-instance-metadata-options", "--instance-id", pod["id"])
        limit = ("--http-put-response-hop-limit", str(count))
        region.laptop_run((*argv, *limit), check=True, capture_output=True)

    assert "200 OK" not in answer()
    hops(2)
    try:
        until(lambda: "200 OK" in answer(), "it is the limit of hops that keeps it out", 30)
    finally:
        hops(1)
    until(lambda: "200 OK" not in answer(), "the limit is back", 30)


# --- the metrics API -------------------------------------------------------------------------

MEASURED = f"""
apiVersion: clusterous.io/v1
kind: ClusterousApp
metadata: {{name: quiet}}
spec:
  image: {BUSYBOX}
  idle: {{afterSeconds: 30, cpu: 20m}}
  master: {{command: [sleep, "1000000"], resources: {{requests: {{cpu: 50m}}}}}}
---
apiVersion: clusterous.io/v1
kind: ClusterousApp
metadata: {{name: uneven}}
spec:
  image: {BUSYBOX}
  master: {{command: [sleep, "1000000"], resources: {{requests: {{cpu: 50m}}}}}}
  workers:
    replicas: 2
    # The second to come is the one that works: by their age it would be the first to go.
    command: [sh, -c, "mkdir /home/data/uneven && exec sleep 1000000; while :; do :; done"]
    # Process 1 of a container ignores TERM: it is ended when its time is over.
    drain: {{exec: {{command: ["true"]}}, deadlineSeconds: 5}}
    resources: {{requests: {{cpu: 50m}}, limits: {{cpu: 100m}}}}
---
apiVersion: clusterous.io/v1
kind: ClusterousApp
metadata: {{name: grows}}
spec:
  image: {BUSYBOX}
  master: {{command: [sleep, "1000000"], resources: {{requests: {{cpu: 50m}}}}}}
  workers:
    scaledBy: Autoscaler
    min: 1
    command: [sh, -c, "while :; do :; done"]
    resources: {{requests: {{cpu: 50m}}, limits: {{cpu: 100m}}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: grows}}
spec:
  scaleTargetRef: {{apiVersion: clusterous.io/v1, kind: ClusterousApp, name: grows}}
  minReplicas: 1
  maxReplicas: 2
  metrics:
    - type: Resource
      resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 50}}}}
"""


@pytest.fixture(scope="module")
def measured(region: Region, folder: Path) -> None:
    """Run what is to be measured, all at once: usage takes a while to be known."""
    (folder / "measured.yaml").write_text(MEASURED)
    kubectl(region, folder, "apply", "-f", "measured.yaml")


def usage(region: Region, folder: Path, app: str) -> dict[str, int]:
    """Return the CPU of an app's workers in millis, as far as it is known."""
    which = f"clusterous.io/app={app},clusterous.io/component=workers"
    argv = ("clusterous", "kubectl", "top", "pods", "--no-headers", "-l", which)
    lines = laptop(region, folder, *argv).stdout.splitlines()
    return {name: int(cpu.removesuffix("m")) for name, cpu, _ in map(str.split, lines)}


def test_top_tells_what_nodes_use(region: Region, folder: Path, measured: None) -> None:
    def told() -> list[str]:
        argv = ("clusterous", "kubectl", "top", "nodes", "--no-headers")
        return sorted(line.split()[0] for line in laptop(region, folder, *argv).stdout.splitlines())

    nodes = sorted(node_of(one) for role in NODES for one in by_role(region, role))
    until(lambda: told() == nodes, "all nodes are measured", 120)


def test_nodes_are_of_the_pools_that_the_controller_says(region: Region, folder: Path) -> None:
    nodes = json.loads(kubectl(region, folder, "get", "nodes", "-o", "json"))["items"]

    pools = {node["metadata"]["name"]: node["metadata"]["labels"].get(POOL) for node in nodes}
    assert pools == {node_of(one): role for role in NODES for one in by_role(region, role)}


def test_the_least_busy_worker_goes_first(region: Region, folder: Path, measured: None) -> None:
    until(
        lambda: (
            sorted(each > 50 for each in usage(region, folder, "uneven").values()) == [False, True]
        ),
        "one of the two is seen at work",
        120,
    )
    time.sleep(lookup.USAGE_SECONDS)  # so long may the operator hold what it was told before
    known = usage(region, folder, "uneven")
    busy = max(known, key=lambda name: known[name])

    kubectl(region, folder, "scale", "capp/uneven", "--replicas=1")

    def left() -> list[str]:
        which = "clusterous.io/app=uneven,clusterous.io/component=workers"
        found = kubectl(region, folder, "get", "pods", "-l", which, "-o", "name").split()
        return [name.removeprefix("pod/") for name in found]

    until(lambda: len(left()) == 1, "there is one", 90)
    assert left() == [busy]


def test_an_autoscaler_adds_workers_where_all_are_busy(
    region: Region, folder: Path, measured: None
) -> None:
    path = "jsonpath={.status.workers}"
    until(
        lambda: kubectl(region, folder, "get", "capp", "grows", "-o", path) == "2/2",
        "there are two",
        180,
    )


def test_an_app_without_work_is_suspended(region: Region, folder: Path, measured: None) -> None:
    path = "jsonpath={.status.conditions[?(@.type=='Suspended')].reason}"

    until(
        lambda: kubectl(region, folder, "get", "capp", "quiet", "-o", path) == "Idle",
        "it is suspended",
        180,
    )
    busy = kubectl(region, folder, "get", "capp", "uneven", "-o", path)
    assert busy == "Running"
    # What computes below wants the machines for itself.
    kubectl(region, folder, "delete", "-f", "measured.yaml")


def test_an_environment_file_of_2016_runs_as_it_is(region: Region, folder: Path) -> None:
    shutil.copytree(EXAMPLE, folder / "montecarlo")

    done = laptop(region, folder, "clusterous", "run", "montecarlo/environment.yml")

    assert done.returncode == 0, done.stderr
    assert "The job page: http://localhost:8080" in done.stderr + done.stdout
    page = ("curl", "-sS", "--max-time", "5", "http://localhost:8080/progress")
    until(
        lambda: json.loads(laptop(region, folder, *page).stdout or "{}").get("done", 0) > 0,
        "the workers compute",
    )


def test_running_it_again_builds_and_changes_nothing(region: Region, folder: Path) -> None:
    before = changes(region)

    done = laptop(region, folder, "clusterous", "run", "montecarlo/environment.yml")

    assert done.returncode == 0, done.stderr
    assert "not in the registry" not in done.stderr
    assert changes(region) == before


def test_what_was_copied_comes_back(region: Region, folder: Path) -> None:
    done = laptop(region, folder, "clusterous", "get", "inputs/", "back")

    assert done.returncode == 0, done.stderr
    found = [path.name for path in (folder / "back").rglob("*.json")]
    assert found == ["parameters.json"]


def test_a_laptop_without_its_cache_goes_on(region: Region, folder: Path) -> None:
    home = {"CLUSTEROUS_HOME": str(folder / "another-laptop")}

    done = laptop(region, folder, "clusterous", "kubectl", "get", "capp", "-o", "name", env=home)

    assert done.returncode == 0, done.stderr
    assert "clusterousapp.clusterous.io/montecarlo" in done.stdout


def test_status_tells_programs_the_same(region: Region, folder: Path) -> None:
    done = laptop(region, folder, "clusterous", "status", "-o", "json")
    if '"unreachable": null' not in done.stdout:  # an API server without time; it says so
        done = laptop(region, folder, "clusterous", "status", "-o", "json")

    assert done.returncode == 0, done.stderr
    assert "montecarlo" in done.stdout
    assert len(json.loads(done.stdout)["nodes"]) == 5


def test_masters_are_on_their_own_machine(region: Region, folder: Path) -> None:
    which = "clusterous.io/app=montecarlo"
    pods = json.loads(kubectl(region, folder, "get", "pods", "-l", which, "-o", "json"))["items"]

    homes = {
        (pod["metadata"]["labels"]["clusterous.io/component"], pod["spec"]["nodeName"])
        for pod in pods
    }
    (master,), others = (
        by_role(region, "master"),
        {node for name, node in homes if name != "master"},
    )
    assert [node for name, node in homes if name == "master"] == [node_of(master)]
    assert others
    assert others <= {node_of(one) for one in by_role(region, "worker")}


def revise(region: Region) -> None:
    """Let the laptop have another image of the operator, as if it had been published anew."""
    releases = region.places.laptop / ".cache/clusterous/releases"
    (archive,) = releases.glob("v*/clusterous-operator-*.tar")
    other = archive.with_suffix(".new")
    with tarfile.open(archive) as before, tarfile.open(other, "w") as after:
        for entry in before:
            content = before.extractfile(entry) if entry.isfile() else None
            if entry.name == "manifest.json" and content:
                text = content.read() + b"\n"
                entry.size, content = len(text), io.BytesIO(text)
            after.addfile(entry, content)
    other.replace(archive)
    line = f"{download.sha256(archive)}  {archive.name}\n"
    for name in (f"{archive.name}.sha256", "SHA256SUMS"):
        (archive.parent / name).write_text(line)


def pods(region: Region, folder: Path, namespace: str, path: str, *which: str) -> list[str]:
    path = "jsonpath={range .items[*]}{" + path + '}{"\\n"}{end}'
    return kubectl(region, folder, "-n", namespace, "get", "pods", *which, "-o", path).split()


def test_a_new_operator_reaches_the_cluster_that_lives_and_nothing_else_changes(
    region: Region, folder: Path
) -> None:
    revise(region)
    machines = {each["id"] for each in region.instances()}
    # What was deleted above may still be ending.
    which = ("-l", f"{names.LABEL_APP}=montecarlo")
    programs = set(pods(region, folder, "default", ".metadata.uid", *which))
    operators = set(pods(region, folder, "clusterous-system", ".metadata.uid"))

    planned = laptop(region, folder, "clusterous", "plan", "hard.yaml")
    done = laptop(region, folder, "clusterous", "create", "hard.yaml", "--yes")

    assert planned.returncode == 4, planned.stderr
    assert "operator changed" in planned.stdout
    assert "cloud controller" not in planned.stdout
    assert done.returncode == 0, done.stderr
    assert not operators & set(pods(region, folder, "clusterous-system", ".metadata.uid"))
    assert {each["id"] for each in region.instances()} == machines
    # None is ended; what fills the cluster may still grow.
    assert programs
    assert programs <= set(pods(region, folder, "default", ".metadata.uid", *which))
    told = json.loads(laptop(region, folder, "clusterous", "status", "-o", "json").stdout)
    assert told["addons"]["operator"] == {"ready": True, "says": "ready"}


def test_an_addon_that_is_not_wanted_any_more_goes(region: Region, folder: Path) -> None:
    def there() -> bool:
        path = ("get", "deployments", "-o", "name")
        return "aws-cloud-controller" in kubectl(region, folder, "-n", "kube-system", *path)

    buckets = laptop(region, folder, "aws", "s3", "ls").stdout.split()
    bucket = next(word for word in buckets if word.startswith(f"clusterous-{NAME}"))
    place = f"s3://{bucket}/server/addons"
    table = laptop(region, folder, "aws", "s3", "cp", place, "-").stdout.splitlines()
    assert there()

    kept = "".join(f"{line}\n" for line in table if not line.startswith("cloud-controller "))
    (folder / "table").write_text(kept)
    assert laptop(region, folder, "aws", "s3", "cp", "table", place).returncode == 0

    until(lambda: not there(), "the cloud controller is gone")
    again = laptop(region, folder, "clusterous", "plan", "hard.yaml")
    assert "cloud controller added" in again.stdout


MAKE = """
from clusterous_cli.images import operatorimage
from clusterous_cli.images.assembly import archives
made = operatorimage.made().archive(lambda line: None, lambda *progress: None)
print(archives.name_in(made))
"""


def test_without_a_release_the_laptop_makes_the_operators_image(
    region: Region, folder: Path
) -> None:
    region.withdraw_release()
    # Another laptop: it knows of no release, and has no builder that works.
    fresh = {"CLUSTEROUS_CACHE_HOME": str(folder / "cache"), "CLUSTEROUS_BUILDER": "docker"}

    planned = laptop(region, folder, "clusterous", "plan", "hard.yaml", "-o", "json", env=fresh)
    made = laptop(region, folder, "python", "-c", MAKE, env=fresh)

    image = json.loads(planned.stdout)["operator"]
    assert image["from"] == "made here, on docker.io/library/python:3.11-slim"
    assert (made.returncode, made.stdout.strip()) == (0, image["image"]), made.stderr


def test_destroy_that_is_killed_again_leaves_nothing(region: Region, folder: Path) -> None:
    argv = ("clusterous", "destroy", "--cluster", "hard", "--yes")

    kills, code = kill_again_and_again(region, folder, argv, FEW_DELETIONS)

    assert code == 0, (folder / "words.log").read_text()[-3000:]
    assert kills >= LEAST_KILLS
    assert region.leftovers() == []


def test_destroy_again_says_that_there_is_nothing(region: Region, folder: Path) -> None:
    done = laptop(region, folder, "clusterous", "destroy", "--cluster", "hard", "--yes")

    assert done.returncode == 0
    assert "nothing" in done.stderr.lower()

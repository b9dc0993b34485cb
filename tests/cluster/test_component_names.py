"""Under which names the components of an old environment file are reached, asked of the very DNS.

The operator makes what the file becomes; CoreDNS, with the rule that clusters of ours give it,
looks at the same API server. Addresses of pods are kwok's.
"""

import re
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterous_api import names
from clusterous_cli.addons import appnames
from clusterous_cli.program import convert, envfile
from clusterous_cli.program.convert import Machine
from tests import ports
from tests.cluster.conftest import Lab
from tests.cluster.controlplane import ControlPlane
from tests.region.parts import parts

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

COREDNS = Path(parts.__file__).parent / "go/internal/server/packaged/coredns.yaml"
# shared/faults: it combines what was lost of names.
FILE = """
name: handed_over
environment:
  components:
    hub: &base {machine: master, cpu: auto, image: "python:3.11-slim", docker_network: host}
    message-exchange-front:
      <<: *base
      docker_network: bridge
      ports: "7200"
    shard: {machine: worker, cpu: 1, count: auto, image: i, depends: hub, ports: "7000"}
    asker: {machine: master, cpu: auto, image: i, depends: "hub, shard"}
"""


@pytest.fixture(scope="module")
def dns(shared_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a CoreDNS as k3s sets it up, with what is for others to add."""
    folder = tmp_path_factory.mktemp("dns")
    (folder / "custom").mkdir()
    (folder / "custom/clusterous.override").write_text(appnames.RULE)
    port = ports.free()
    (folder / "Corefile").write_text(corefile(shared_plane, folder, port))
    program = parts.ensure(["coredns"], print).coredns
    argv = [str(program), "-conf", str(folder / "Corefile")]
    with (folder / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as run:
        try:
            wait_for(lambda: listens(port, run), lambda: (folder / "log").read_text())
            yield port
        finally:
            run.terminate()


def corefile(plane: ControlPlane, folder: Path, port: int) -> str:
    """The Corefile of the cluster, at a port and an API server of the test's."""
    documents = yaml.safe_load_all(re.sub(r"\{\{\.\w+\}\}", "cluster.local", COREDNS.read_text()))
    (text,) = [one["data"]["Corefile"] for one in documents if one["kind"] == "ConfigMap"]
    text = text.replace(".:53", f".:{port}").replace("/etc/coredns/custom", f"{folder}/custom")
    text = text.replace("pods insecure", f"pods insecure\n kubeconfig {plane.kubeconfig}")
    text = re.sub(r"hosts /etc/coredns/NodeHosts \{.*?\n\s*\}\n", "", text, flags=re.DOTALL)
    # What listens at ports of its own, and what asks the machine's own DNS.
    return re.sub(
        r"^\s*(health|ready|loop|prometheus|forward|cache|reload).*\n", "", text, flags=re.M
    )


def listens(port: int, run: subprocess.Popen[bytes]) -> bool:
    assert run.poll() is None, "CoreDNS ended"
    try:
        ask(port, "kubernetes.default.svc.cluster.local")
    except OSError:
        return False
    return True


def wait_for(check: Any, told: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, told()
        time.sleep(0.1)


def ask(port: int, name: str) -> set[str]:
    """The IPv4 addresses that the DNS has for a whole name."""
    labels = b"".join(bytes([len(one)]) + one.encode() for one in name.split("."))
    question = labels + b"\0" + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.sendto(struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + question, ("127.0.0.1", port))
        answer = client.recv(4096)
    (count,) = struct.unpack(">H", answer[6:8])
    # Who asked is answered under the name that was asked for.
    assert question in answer
    rest, found = answer[12 + len(question) :], set()
    for _ in range(count):
        start = rest.index(struct.pack(">HH", 1, 1))
        (length,) = struct.unpack(">H", rest[start + 8 : start + 10])
        found.add(socket.inet_ntoa(rest[start + 10 : start + 10 + length]))
        rest = rest[start + 10 + length :]
    return found


def search(pod: dict[str, Any], namespace: str) -> list[str]:
    """The domains below which the pod looks, as the kubelet gives them."""
    own = [f"{namespace}.svc.cluster.local", "svc.cluster.local", "cluster.local"]
    return [*own, *pod["spec"].get("dnsConfig", {}).get("searches", ())]


def found(port: int, pod: dict[str, Any], namespace: str, name: str) -> set[str]:
    """What a program in the pod gets for a name: of its hosts file, else of the DNS."""
    for alias in pod["spec"].get("hostAliases", ()):
        if name in alias["hostnames"]:
            return {alias["ip"]}
    for domain in search(pod, namespace):
        if addresses := ask(port, f"{name}.{domain}"):
            return addresses
    return set()


def test_components_are_reached_under_their_own_names(lab: Lab, dns: int) -> None:
    machine = Machine(nodes=1, cpu_millis=2000, free_millis=1800, free_bytes=1 << 30)
    environment = envfile.parse(FILE, "handed.yml")
    machines = dict.fromkeys(("master", "worker"), machine)
    app = convert.convert(environment, machines, {}).manifest
    app["spec"]["workers"]["max"] = 2  # no taint keeps them away from the master's machine here
    (block,) = [one for one in app["spec"]["components"] if one["name"] == "hub"]
    assert block["template"]["spec"]["hostNetwork"] is True
    del block["template"]  # kwok's machines are all at 127.0.0.1, which no endpoint may be
    lab.add_node(f"{lab.namespace[-20:].strip('-')}-m", "master")
    lab.plane.api("POST", lab.path("clusterousapps"), app)
    lab.until_condition("Ready", name="handed-over")

    pods = {one["metadata"]["labels"][names.LABEL_COMPONENT]: one for one in lab.all("pods")}
    hub = pods["hub"]["status"]["podIP"]
    addresses = {one["metadata"]["name"]: one["spec"]["clusterIP"] for one in lab.all("services")}

    def get(name: str) -> set[str]:
        both = {
            frozenset(found(dns, pods["asker"], lab.namespace, asked))
            for asked in (name, f"{name}.marathon.mesos")
        }
        assert len(both) == 1, both
        return set(next(iter(both)))

    assert get("message-exchange-front") == {
        ip for name, ip in addresses.items() if name.startswith("handed-over-message")
    }
    assert get("shard") == {addresses["handed-over-workers"]}
    wait_for(lambda: get("hub") == {hub}, lambda: f"hub is {get('hub')}, not {hub}")
    assert get("asker") == {pods["asker"]["status"]["podIP"]}
    assert get("nobody") == set()

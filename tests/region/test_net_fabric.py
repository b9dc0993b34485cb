"""The network as packets meet it: machines made of a namespace alone, snapshots made by hand."""

import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.region import sweep
from tests.region.aws.view import Instance, Route, SecurityGroup, Snapshot
from tests.region.net import addresses, dhcp, netns, samples
from tests.region.net.fabric import Fabric
from tests.region.net.samples import group, instance, network, rule
from tests.region.places import Places
from tests.region.storage.efs import Efs

pytestmark = pytest.mark.region

REGION = "crt"
LAPTOP = addresses.namespace(REGION, "laptop")
STRANGER = addresses.namespace(REGION, "stranger")
SERVICES = addresses.namespace(REGION, "services")
SHORT = 0.7  # long enough for a machine of the same computer to answer


@pytest.fixture
def fabric(tmp_path: Path) -> Iterator[Fabric]:
    sweep.sweep(Places(name=REGION))  # a run that was killed may have left its own
    made = Fabric(region=REGION, aws_region="eu-west-1", state_dir=tmp_path)
    try:
        yield made
    finally:
        made.close()
    assert netns.names(f"{REGION}-") == []


class Door:
    """A TCP listener that tells each caller the address that it sees."""

    def __init__(self, namespace: str, address: str, port: int) -> None:
        self.socket = netns.listen(namespace, address, port)
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                caller, peer = self.socket.accept()
                with caller:
                    caller.sendall(peer[0].encode())

    def close(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()


def seen_from(namespace: str, address: str, port: int) -> str | None:
    """Answer as whom *namespace* is seen at a door; None when it cannot get there."""
    try:
        with netns.connect(namespace, address, port, timeout=SHORT) as wire:
            return wire.recv(100).decode()
    except OSError:
        return None


def settle(fabric: Fabric, *machines: Instance) -> list[str]:
    spaces = [fabric.namespace(machine.id) for machine in machines]
    for space in spaces:
        dhcp.settle(space)
    return spaces


def open_group(identifier: str = "sg-open") -> SecurityGroup:
    return group(identifier, (rule(cidrs=("0.0.0.0/0",)),))


# Names and addresses


def test_dhcp_gives_a_machine_the_address_that_aws_gave_it(fabric: Fabric) -> None:
    machine = instance(10, groups=("sg-open",))
    fabric.reconcile(network(instances=(machine,), groups=(open_group(),)))

    got = dhcp.lease(fabric.namespace(machine.id))

    assert got == dhcp.Lease(
        address="10.40.1.10",
        prefix=24,
        router="10.40.1.1",
        resolver="10.40.0.2",
        name="ip-10-40-1-10",
    )


def test_an_address_is_leased_to_the_next_machine_when_the_first_has_left(fabric: Fabric) -> None:
    first = instance(10, groups=("sg-open",))
    second = replace(first, id="i-000000000000000ff", mac="02:00:00:00:01:ff")
    fabric.reconcile(network(instances=(first,), groups=(open_group(),)))
    settle(fabric, first)

    fabric.reconcile(network(instances=(second,), groups=(open_group(),)))

    assert dhcp.lease(fabric.namespace(second.id)).address == "10.40.1.10"


def resolve(namespace: str, name: str) -> list[str]:
    done = netns.run(namespace, ["getent", "ahostsv4", name], capture_output=True, text=True)
    return sorted({line.split()[0] for line in done.stdout.splitlines()})


def test_the_resolver_of_a_vpc_knows_services_machines_and_file_systems(fabric: Fabric) -> None:
    machines = (instance(10, groups=("sg-open",)), instance(11, groups=("sg-open",)))
    target = samples.mount_target("10.40.1.77", groups=("sg-open",))
    fabric.reconcile(network(instances=machines, groups=(open_group(),), mount_targets=(target,)))
    space, _ = settle(fabric, *machines)

    answers = {
        name: resolve(space, name)
        for name in (
            "ec2.eu-west-1.amazonaws.com",
            "some-bucket.s3.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "github.com",
            "registry-1.docker.io",
            "ip-10-40-1-11.eu-west-1.compute.internal",
            "ip-10-40-1-99.eu-west-1.compute.internal",
            "fs-00000000000000e2.efs.eu-west-1.amazonaws.com",
            "fs-00000000000000e3.efs.eu-west-1.amazonaws.com",
            "example.org",
        )
    }

    assert list(answers.values()) == [
        [addresses.AWS_API],
        [addresses.S3],
        [addresses.ECR],
        [addresses.WEB],
        [addresses.DOCKER_HUB],
        ["10.40.1.11"],
        [],
        ["10.40.1.77"],
        [],
        [],
    ]


def test_the_laptop_knows_the_services_and_nothing_private(fabric: Fabric) -> None:
    machine = instance(10, groups=("sg-open",))
    fabric.reconcile(network(instances=(machine,), groups=(open_group(),)))

    assert resolve(LAPTOP, "sts.eu-west-1.amazonaws.com") == [addresses.AWS_API]
    assert resolve(LAPTOP, machine.private_dns_name) == []


# Who reaches whom


GATEWAY = instance(
    5, groups=("sg-gateway",), subnet=samples.PUBLIC_SUBNET, public=samples.GATEWAY_ADDRESS
)
NODES = (instance(10, groups=("sg-node",)), instance(11, groups=("sg-node",)))
SSH_FROM_LAPTOP = group("sg-gateway", (rule("tcp", 22, cidrs=(f"{addresses.LAPTOP}/32",)),))
NODE_GROUP = group("sg-node", (rule(groups=("sg-node",)), rule("tcp", 22, groups=("sg-gateway",))))


def cluster(*routes: Route, **changes: object) -> Snapshot:
    made = network(
        instances=(GATEWAY, *NODES),
        groups=(SSH_FROM_LAPTOP, NODE_GROUP),
        private_routes=routes or (samples.VIA_NAT, samples.VIA_ENDPOINT),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_only_the_laptop_reaches_only_ssh_of_the_gateway(fabric: Fabric) -> None:
    fabric.reconcile(cluster())
    gateway, node, _ = settle(fabric, GATEWAY, *NODES)
    with (
        closing(Door(gateway, "0.0.0.0", 22)),
        closing(Door(gateway, "0.0.0.0", 6443)),
        closing(Door(node, "0.0.0.0", 22)),
    ):
        assert seen_from(LAPTOP, samples.GATEWAY_ADDRESS, 22) == addresses.LAPTOP
        assert seen_from(LAPTOP, samples.GATEWAY_ADDRESS, 6443) is None
        assert seen_from(STRANGER, samples.GATEWAY_ADDRESS, 22) is None
        for outsider in (LAPTOP, STRANGER, SERVICES):
            assert seen_from(outsider, "10.40.1.10", 22) is None
            assert seen_from(outsider, "10.40.0.5", 22) is None
            assert seen_from(outsider, samples.NAT_ADDRESS, 22) is None
        assert seen_from(gateway, "10.40.1.10", 22) == "10.40.0.5"


def test_a_private_machine_is_seen_outside_as_its_nat_gateway(fabric: Fabric) -> None:
    fabric.reconcile(cluster(samples.VIA_NAT))
    gateway, node, _ = settle(fabric, GATEWAY, *NODES)
    with closing(Door(SERVICES, addresses.WEB, 443)):
        assert seen_from(node, addresses.WEB, 443) == samples.NAT_ADDRESS
        assert seen_from(gateway, addresses.WEB, 443) == samples.GATEWAY_ADDRESS
        assert seen_from(LAPTOP, addresses.WEB, 443) == addresses.LAPTOP


@pytest.mark.parametrize(
    ("routes", "nat_state"),
    [
        pytest.param((samples.VIA_ENDPOINT,), "available", id="no-route"),
        pytest.param((samples.VIA_NAT,), "pending", id="nat-not-ready"),
        pytest.param((samples.VIA_NAT,), "deleted", id="nat-gone"),
        pytest.param(
            (Route(destination="0.0.0.0/0", target=samples.IGW),), "available", id="no-public-ip"
        ),
    ],
)
def test_without_a_working_nat_gateway_there_is_no_way_out(
    fabric: Fabric, routes: tuple[Route, ...], nat_state: str
) -> None:
    snapshot = network(
        instances=NODES, groups=(NODE_GROUP,), private_routes=routes, nat_state=nat_state
    )
    fabric.reconcile(snapshot)
    node, _ = settle(fabric, *NODES)
    with closing(Door(SERVICES, addresses.WEB, 443)):
        assert seen_from(node, addresses.WEB, 443) is None


def test_the_endpoint_reaches_s3_and_nothing_else(fabric: Fabric) -> None:
    fabric.reconcile(cluster(samples.VIA_ENDPOINT))
    _, node, _ = settle(fabric, GATEWAY, *NODES)
    with closing(Door(SERVICES, addresses.S3, 443)), closing(Door(SERVICES, addresses.ECR, 443)):
        assert seen_from(node, addresses.S3, 443) is not None
        assert seen_from(node, addresses.ECR, 443) is None


def test_without_endpoint_and_nat_gateway_s3_is_out_of_reach(fabric: Fabric) -> None:
    fabric.reconcile(network(instances=NODES, groups=(NODE_GROUP,)))
    node, _ = settle(fabric, *NODES)
    with closing(Door(SERVICES, addresses.S3, 443)):
        alone = seen_from(node, addresses.S3, 443)
        fabric.reconcile(cluster(samples.VIA_ENDPOINT))
        assert (alone, seen_from(node, addresses.S3, 443) is not None) == (None, True)


@pytest.mark.parametrize("port", [6443, 10250, 2049])
def test_a_group_is_in_force_between_two_machines_of_one_subnet(fabric: Fabric, port: int) -> None:
    def snapshot(ingress: int) -> Snapshot:
        nodes = group("sg-node", (rule("tcp", ingress, groups=("sg-node",)),))
        return cluster(security_groups=(SSH_FROM_LAPTOP, nodes))

    fabric.reconcile(snapshot(port))
    _, one, other = settle(fabric, GATEWAY, *NODES)
    with closing(Door(other, "0.0.0.0", port)):
        allowed = seen_from(one, "10.40.1.11", port)
        fabric.reconcile(snapshot(port + 1))
        refused = seen_from(one, "10.40.1.11", port)

    assert (allowed, refused) == ("10.40.1.10", None)


@pytest.mark.parametrize(("ingress", "arrives"), [(8472, True), (8473, False)])
def test_a_group_is_in_force_for_the_overlay_network(
    fabric: Fabric, ingress: int, arrives: bool
) -> None:
    nodes = group("sg-node", (rule("udp", ingress, groups=("sg-node",)),))
    fabric.reconcile(cluster(security_groups=(SSH_FROM_LAPTOP, nodes)))
    _, one, other = settle(fabric, GATEWAY, *NODES)

    assert datagram_arrives(one, other, "10.40.1.11", 8472) is arrives


def datagram_arrives(sender: str, receiver: str, address: str, port: int) -> bool:
    def udp() -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    with netns.inside(receiver, udp) as ear, netns.inside(sender, udp) as mouth:
        ear.bind(("", port))
        ear.settimeout(SHORT)
        mouth.sendto(b"hello", (address, port))
        try:
            return ear.recv(10) == b"hello"
        except TimeoutError:
            return False


def test_egress_rules_hold_a_machine_back(fabric: Fabric) -> None:
    silent = group("sg-node", (rule(cidrs=("0.0.0.0/0",)),), egress=())
    fabric.reconcile(cluster(security_groups=(SSH_FROM_LAPTOP, silent)))
    gateway, node, other = settle(fabric, GATEWAY, *NODES)
    with closing(Door(SERVICES, addresses.WEB, 443)), closing(Door(node, "0.0.0.0", 80)):
        assert seen_from(node, addresses.WEB, 443) is None
        assert seen_from(other, "10.40.1.10", 80) is None
        # What it is asked, it may answer: groups remember connections.
        assert seen_from(gateway, "10.40.1.10", 80) == "10.40.0.5"


def test_a_revoked_rule_stops_new_connections_only(fabric: Fabric) -> None:
    fabric.reconcile(cluster())
    gateway, *_ = settle(fabric, GATEWAY, *NODES)
    with closing(netns.listen(gateway, "0.0.0.0", 22)) as door:
        old = netns.connect(LAPTOP, samples.GATEWAY_ADDRESS, 22, timeout=SHORT)
        inner, _ = door.accept()
        fabric.reconcile(cluster(security_groups=(group("sg-gateway"), NODE_GROUP)))

        with old, inner:
            inner.sendall(b"still here")
            assert old.recv(20) == b"still here"
        assert seen_from(LAPTOP, samples.GATEWAY_ADDRESS, 22) is None


def test_a_machine_cannot_speak_with_an_address_that_is_not_its_own(fabric: Fabric) -> None:
    fabric.reconcile(cluster())
    _, one, other = settle(fabric, GATEWAY, *NODES)
    netns.batch(one, ["addr add 10.40.1.99/32 dev lo"])

    def forged() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("10.40.1.99", 0))
        return made

    with netns.inside(other, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as ear:
        ear.bind(("", 8472))
        ear.settimeout(SHORT)
        with netns.inside(one, forged) as mouth:
            mouth.sendto(b"forged", ("10.40.1.11", 8472))
            with pytest.raises(TimeoutError):
                ear.recv(10)


def test_rules_of_the_guest_do_not_weaken_those_of_the_network(fabric: Fabric) -> None:
    closed = group("sg-node")
    fabric.reconcile(cluster(security_groups=(SSH_FROM_LAPTOP, closed)))
    _, one, other = settle(fabric, GATEWAY, *NODES)
    for space in (one, other):
        netns.apply_rules(space, "flush ruleset\n")
    with closing(Door(other, "0.0.0.0", 6443)):
        assert seen_from(one, "10.40.1.11", 6443) is None


# File systems


def test_the_door_of_a_file_system_opens_to_whom_its_group_allows(
    fabric: Fabric, tmp_path: Path
) -> None:
    target = samples.mount_target("10.40.1.77", groups=("sg-efs",))
    doorman = group("sg-efs", (rule("tcp", 2049, groups=("sg-node",)),))
    snapshot = replace(
        cluster(security_groups=(SSH_FROM_LAPTOP, NODE_GROUP, doorman)), mount_targets=(target,)
    )
    fabric.reconcile(snapshot)
    gateway, node, _ = settle(fabric, GATEWAY, *NODES)
    with closing(Efs(region=REGION, folder=tmp_path / "efs")) as file_systems:
        file_systems.reconcile(snapshot)

        assert seen_from(node, "10.40.1.77", 2049) == ""
        assert seen_from(gateway, "10.40.1.77", 2049) is None

        fabric.reconcile(replace(snapshot, mount_targets=()))
        file_systems.reconcile(replace(snapshot, mount_targets=()))
        assert seen_from(node, "10.40.1.77", 2049) is None


def test_a_file_system_keeps_its_data_when_its_door_goes(tmp_path: Path, fabric: Fabric) -> None:
    target = samples.mount_target("10.40.1.77", groups=())
    snapshot = network(mount_targets=(target,))
    fabric.reconcile(snapshot)
    with closing(Efs(region=REGION, folder=tmp_path / "efs")) as file_systems:
        file_systems.reconcile(snapshot)
        by_address = tmp_path / "efs/by-ip" / samples.VPC / "10.40.1.77"
        (by_address / "result").write_text("42")

        file_systems.reconcile(samples.NOTHING)

        assert not by_address.is_symlink()
        assert (tmp_path / "efs" / target.file_system_id / "result").read_text() == "42"


# Coming and going


def test_what_has_left_leaves_nothing(fabric: Fabric) -> None:
    fabric.reconcile(cluster())
    before = netns.names(f"{REGION}-")

    fabric.reconcile(samples.NOTHING)

    assert [name for name in before if "-i-" in name or "-vpc-" in name] != []
    assert netns.names(f"{REGION}-") == sorted(
        addresses.namespace(REGION, role) for role in ("inet", "laptop", "services", "stranger")
    )


def test_a_namespace_stays_while_its_machine_runs_until_it_is_forgotten(fabric: Fabric) -> None:
    fabric.reconcile(cluster())
    space = fabric.namespace(NODES[0].id)
    with netns.popen(space, ["sleep", "60"], stdout=subprocess.DEVNULL) as machine:
        fabric.reconcile(samples.NOTHING)
        while_running = netns.exists(space)
        machine.kill()

    fabric.forget(NODES[0].id)

    assert while_running
    assert not netns.exists(space)


def test_what_could_not_be_made_is_made_at_the_next_try(
    fabric: Fabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = netns.batch

    def fails(namespace: str, lines: Sequence[str]) -> None:
        if "-i-" in namespace:
            raise OSError("not now")
        works(namespace, lines)

    monkeypatch.setattr(netns, "batch", fails)
    with pytest.raises(OSError, match="not now"):
        fabric.reconcile(cluster())
    monkeypatch.setattr(netns, "batch", works)

    fabric.reconcile(cluster())

    assert settle(fabric, GATEWAY, *NODES)


def test_reconciling_again_changes_nothing(fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    fabric.reconcile(cluster())
    started: list[object] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *argv, **_: started.append(argv))

    fabric.reconcile(cluster())

    assert started == []

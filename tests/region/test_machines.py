"""Machines as EC2 runs them: booted by cloud-init, known by SSH, stopped, lost and removed.

The network is the real fabric with snapshots made by hand; only the AWS API in front is missing,
except where a test says otherwise.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.region import sweep
from tests.region.aws import server
from tests.region.aws.keys import Credentials
from tests.region.aws.server import AwsServer
from tests.region.aws.settings import Settings
from tests.region.aws.view import Instance, MountTarget, Snapshot
from tests.region.internet import tls
from tests.region.machines import cgroups, link
from tests.region.machines.machines import Machines, cleanup
from tests.region.net import addresses, netns, samples
from tests.region.net.fabric import Fabric
from tests.region.parts import parts
from tests.region.places import Places
from tests.region.storage.efs import Efs

pytestmark = pytest.mark.region

REGION = "crm"
LAPTOP = addresses.namespace(REGION, "laptop")
PUBLIC = "198.51.100.40"
TARGET = "10.40.1.200"
OUT_OF_REACH = "10.40.1.201"
GROUPS = (
    samples.group("sg-open", ingress=samples.EVERYTHING),
    samples.group("sg-shut"),
    samples.group("sg-nfs", ingress=(samples.rule("tcp", 2049, groups=("sg-open",)),)),
)


class Aws:
    """What machines ask of AWS, and what they tell it."""

    def __init__(self) -> None:
        self.stopped: list[str] = []
        self.server: AwsServer | None = None

    def credentials(self, role_name: str, instance_id: str) -> Credentials:
        if self.server is not None:
            return self.server.credentials(role_name, instance_id)
        return Credentials(
            access_key_id="ASIAEXAMPLE",
            secret_access_key="secret",
            token=f"{role_name}/{instance_id}",
            expiration=datetime.now(UTC) + timedelta(hours=1),
        )

    def machine_started(self, instance_id: str) -> None:
        pass

    def machine_stopped(self, instance_id: str) -> None:
        self.stopped.append(instance_id)


@dataclass
class Lab:
    state: Path
    fabric: Fabric
    efs: Efs
    machines: Machines
    aws: Aws
    instances: dict[str, Instance] = field(default_factory=dict)

    def show(self, *instances: Instance) -> None:
        """Let the region have these instances too, or in their new state."""
        self.instances.update({instance.id: instance for instance in instances})
        snapshot = self.snapshot()
        self.fabric.reconcile(snapshot)
        self.efs.reconcile(snapshot)
        self.machines.reconcile(snapshot)

    def snapshot(self) -> Snapshot:
        return samples.network(
            instances=tuple(self.instances.values()),
            groups=GROUPS,
            mount_targets=(target("a", TARGET, "sg-open"), target("b", OUT_OF_REACH, "sg-shut")),
        )

    def end(self, *instances: Instance) -> None:
        self.show(*(replace(instance, state="terminated") for instance in instances))
        until(self.machines.is_settled, "the machines are gone")

    def run(self, instance: Instance, *argv: str) -> "subprocess.CompletedProcess[str]":
        pid = self.machines.pid(instance.id)
        assert pid is not None, self.machines.console(instance.id)
        inside = ["nsenter", "-t", str(pid), "-a", *argv]
        return subprocess.run(inside, capture_output=True, text=True, timeout=60)

    def says(self, instance: Instance, script: str) -> str:
        """What a shell script prints in the machine; it has to succeed."""
        done = self.run(instance, "sh", "-ec", script)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def boot(self, *instances: Instance) -> None:
        self.show(*instances)
        for instance in instances:
            self.await_boot(instance)

    def await_boot(self, instance: Instance) -> None:
        def is_up() -> bool:
            if self.machines.pid(instance.id) is None:
                return False
            state = self.run(instance, "systemctl", "is-system-running").stdout.strip()
            return state in {"running", "degraded"}

        until(is_up, f"{instance.id} has booted", lambda: self.machines.console(instance.id))


def target(name: str, ip: str, group: str) -> MountTarget:
    made = samples.mount_target(ip, groups=(group,))
    return replace(made, id=f"fsmt-0000000000000{name}e1", file_system_id=f"fs-{name}")


def until(
    check: Callable[[], object], what: str, explain: Callable[[], str] = str, seconds: float = 120
) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"not in {seconds} s: {what}\n{explain()}"
        time.sleep(0.1)


def make_instance(number: int, **changes: object) -> Instance:
    base = samples.instance(number, groups=("sg-open",))
    known = {"role_name": "node", "profile_arn": "arn:aws:iam::123456789012:instance-profile/p"}
    return replace(base, **known, **changes)  # type: ignore[arg-type]  # a table of fields


def make_lab(state: Path) -> Lab:
    fabric = Fabric(region=REGION, aws_region="eu-west-1", state_dir=state)
    efs = Efs(region=REGION, folder=state / "efs")
    aws = Aws()
    machines = Machines(state, parts.ensure(["rootfs"]).rootfs, fabric, aws)
    return Lab(state=state, fabric=fabric, efs=efs, machines=machines, aws=aws)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    sweep.sweep(Places(name=REGION))  # a run that was killed may have left its own
    state = tmp_path_factory.mktemp("region") / REGION
    tls.write(state / "tls", tls.names("eu-west-1"), ())
    made = make_lab(state)
    try:
        yield made
    finally:
        made.machines.close()
        made.efs.close()
        made.fabric.close()
    assert traces() == set()
    assert netns.names(f"{REGION}-") == []


def traces(besides: str = "nobody") -> set[str]:
    """What a machine may leave on the host: mounts, control groups, processes, namespaces.

    The processes of a machine that goes on, *besides*, come and go.
    """
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    groups = cgroups.of_region(REGION)
    return {
        *(line for line in mounts if REGION in line and "/run/netns/" not in line),
        *groups,
        *(
            f"process {pid}"
            for group in groups
            if not group.endswith(besides)
            for pid in cgroups.pids(group)
        ),
        *netns.names(link.name(REGION, "")),
    }


@pytest.fixture(scope="module")
def ssh_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = tmp_path_factory.mktemp("ssh") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return key


@pytest.fixture(scope="module")
def front(lab: Lab, ssh_key: Path) -> Instance:
    """A machine with a public address, whose user data makes a user and some files."""
    user_data = f"""#cloud-config
users:
  - name: clusterous
    sudo: "ALL=(ALL) NOPASSWD:ALL"
    shell: /bin/bash
    ssh_authorized_keys: ["{ssh_key.with_suffix(".pub").read_text().strip()}"]
write_files:
  - path: /etc/told
    permissions: "0600"
    content: told by user data
runcmd:
  - [sh, -c, "echo once >> /var/lib/count; cat /etc/told"]
"""
    address = {"private_ip": "10.40.0.5", "mac": "02:00:00:00:00:05", "public_ip": PUBLIC}
    name = "ip-10-40-0-5.eu-west-1.compute.internal"
    made = make_instance(
        5,
        user_data=user_data.encode(),
        subnet_id=samples.PUBLIC_SUBNET,
        private_dns_name=name,
        **address,
    )
    lab.boot(made)
    return made


def test_user_data_is_carried_out(lab: Lab, front: Instance) -> None:
    status = lab.run(front, "cloud-init", "status", "--wait", "--long")

    assert "status: done" in status.stdout
    assert lab.says(front, "cat /etc/told") == "told by user data"
    assert lab.says(front, "cat /var/lib/count") == "once"
    assert lab.says(front, "sudo -u clusterous sudo -n id -u") == "0"


def test_nothing_in_the_machine_has_failed(lab: Lab, front: Instance) -> None:
    assert lab.says(front, "systemctl --failed --no-legend --plain") == ""
    assert lab.says(front, "grep -E 'WARN|ERROR' /var/log/cloud-init.log || true") == ""


def test_the_machine_has_the_name_and_address_that_ec2_gives(lab: Lab, front: Instance) -> None:
    assert lab.says(front, "hostname") == "ip-10-40-0-5"
    assert lab.says(front, "hostname -f") == front.private_dns_name
    assert " 10.40.0.5/24 " in lab.says(front, "ip -4 addr show eth0")


def test_ssh_lets_the_key_in_and_the_console_tells_whose_door_it_is(
    lab: Lab, front: Instance, ssh_key: Path, tmp_path: Path
) -> None:
    keys = [line for line in lab.machines.console(front.id).splitlines() if "ssh-ed25519 " in line]
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"{PUBLIC} {keys[-1]}\n")
    options = [f"UserKnownHostsFile={known_hosts}", "StrictHostKeyChecking=yes", "BatchMode=yes"]
    flags = [word for option in options for word in ("-o", option)]

    argv = ["ssh", "-F", "none", "-i", str(ssh_key), *flags, f"clusterous@{PUBLIC}", "hostname"]
    done = netns.run(LAPTOP, argv, capture_output=True, text=True, timeout=30)

    assert done.stdout.strip() == "ip-10-40-0-5", done.stderr


def test_the_metadata_service_wants_a_token(lab: Lab, front: Instance) -> None:
    url = "http://169.254.169.254/latest"
    get = "curl -s -o /dev/null -w '%{http_code}'"

    assert lab.says(front, f"{get} {url}/meta-data/instance-id") == "401"
    token = f'-X PUT {url}/api/token -H "X-aws-ec2-metadata-token-ttl-seconds: 60"'
    script = f'T=$(curl -sf {token}); curl -sf -H "X-aws-ec2-metadata-token: $T"'
    assert lab.says(front, f"{script} {url}/meta-data/instance-id") == front.id
    keys = lab.says(front, f"{script} {url}/meta-data/iam/security-credentials/node")
    assert f'"node/{front.id}"' in keys


# A network as k3s makes it for pods: a bridge with masquerading to the outside.
POD = """
ip netns add pod
ip link add cni0 type bridge
ip addr add 10.42.0.1/24 dev cni0
ip link set cni0 up
ip link add pod0 master cni0 type veth peer name eth0 netns pod
ip link set pod0 up
ip -n pod addr add 10.42.0.2/24 dev eth0
ip -n pod link set eth0 up
ip -n pod route add default via 10.42.0.1
sysctl -qw net.ipv4.ip_forward=1
iptables -t nat -A POSTROUTING -s 10.42.0.0/24 ! -d 10.42.0.0/16 -j MASQUERADE
"""


def test_a_pod_is_one_hop_too_far_for_the_metadata_service(lab: Lab, front: Instance) -> None:
    ask = "curl -s -o /dev/null -w '%{http_code}' --connect-timeout 2 http://169.254.169.254/"
    lab.says(front, POD)

    assert lab.says(front, f"ip netns exec pod {ask} || true") == "000"
    assert lab.says(front, ask) == "401"

    lab.show(replace(front, hop_limit=2))
    assert lab.says(front, f"ip netns exec pod {ask}") == "401"
    lab.show(front)
    assert lab.says(front, f"ip netns exec pod {ask} || true") == "000"


@pytest.fixture
def aws_server(lab: Lab, tmp_path: Path) -> Iterator[AwsServer]:
    """The AWS API at its place in the region, behind the region's own certificate."""
    door = netns.listen(addresses.namespace(REGION, "services"), addresses.AWS_API, 443)
    folder = lab.state / "tls"
    files = tls.Files(
        ca=folder / "ca.pem", certificate=folder / "server.pem", key=folder / "server.key"
    )
    made = server.start(
        listeners=[door], tls=tls.context(files), settings=Settings(), state_dir=tmp_path / "aws"
    )
    lab.aws.server = made
    yield made
    lab.aws.server = None
    made.close()


def aws_from_laptop(lab: Lab, keys: Credentials, *argv: str) -> None:
    environment = {
        "AWS_ACCESS_KEY_ID": keys.access_key_id,
        "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
        "AWS_CA_BUNDLE": str(lab.state / "tls/ca.pem"),
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    netns.run(
        LAPTOP, [sys.executable, "-m", "awscli", *argv], env=environment, check=True, timeout=60
    )


def test_the_aws_program_uses_the_role_of_the_machine(
    lab: Lab, front: Instance, aws_server: AwsServer
) -> None:
    trust = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", '
        '"Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}'
    )
    words = ("--role-name", "worker", "--assume-role-policy-document", trust)
    aws_from_laptop(lab, aws_server.user_credentials(), "iam", "create-role", *words)
    lab.show(replace(front, role_name="worker"))

    ask = "aws sts get-caller-identity --region eu-west-1 --query Arn --output text"

    arn = f"arn:aws:sts::123456789012:assumed-role/worker/{front.id}"
    assert lab.says(front, ask) == arn


def test_the_machine_looks_like_its_type(lab: Lab, front: Instance) -> None:
    assert lab.says(front, "grep -c ^processor /proc/cpuinfo") == str(front.vcpus)
    assert lab.says(front, "ls -d /sys/devices/system/node/node0/cpu[0-9]* | wc -l") == "2"
    assert lab.says(front, "awk '/MemTotal/ { print $2 }' /proc/meminfo") == "4068474"


def test_what_the_machine_sets_in_its_kernel_is_not_set_in_the_host(
    lab: Lab, front: Instance
) -> None:
    knob = Path("/proc/sys/kernel/panic")
    before = knob.read_text()

    lab.says(front, f"echo 77 > {knob}; sysctl -qw net.ipv4.ip_default_ttl=63")

    assert lab.says(front, f"cat {knob}") == "77"
    assert knob.read_text() == before
    assert Path("/proc/sys/net/ipv4/ip_default_ttl").read_text() != "63\n"


def test_containers_find_in_the_machine_what_they_need(lab: Lab, front: Instance) -> None:
    memory = cgroups.ROOT / ("" if cgroups.is_unified() else "memory")
    lab.says(front, f"mkdir {memory}/pod && rmdir {memory}/pod")
    lab.says(front, "ip link add vx type vxlan id 1 dstport 8472 dev eth0 && ip link delete vx")
    lower = (
        "mkdir -p l u w m && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w x m && umount m"
    )
    lab.says(front, f"mkdir -p /var/lib/rancher/t && cd /var/lib/rancher/t && {lower}")
    assert lab.says(front, "findmnt -no PROPAGATION /") == "shared"


def test_the_machine_trusts_the_authority_of_the_region(lab: Lab, front: Instance) -> None:
    check = "openssl verify /usr/local/share/ca-certificates/region.crt"

    assert lab.says(front, check).endswith("OK")


def test_a_boot_script_that_fails_is_seen_on_the_console(lab: Lab) -> None:
    script = b"#!/bin/sh\necho about to fail\nls /no/such/place\nexit 7\n"
    broken = make_instance(6, user_data=script)
    lab.boot(broken)

    console = lab.machines.console(broken.id)

    assert "about to fail" in console
    assert "/no/such/place" in console
    assert "Failed to run module scripts-user" in console
    lab.end(broken)


def test_a_stopped_machine_keeps_its_disk(lab: Lab) -> None:
    user_data = b"#cloud-config\nruncmd:\n  - echo once >> /var/lib/count\n"
    one = make_instance(7, user_data=user_data)
    lab.boot(one)
    lab.says(one, "cloud-init status --wait; echo kept > /root/kept")
    host_key = lab.says(one, "cat /etc/ssh/ssh_host_ed25519_key.pub")

    lab.show(replace(one, state="stopping"))
    until(lab.machines.is_settled, "the machine is off")
    assert lab.machines.pid(one.id) is None
    assert lab.aws.stopped[-1] == one.id
    assert "poweroff.target" in lab.machines.console(one.id)
    lab.show(replace(one, state="stopped"))
    lab.boot(one)

    lab.says(one, "cloud-init status --wait")
    assert lab.says(one, "cat /root/kept /var/lib/count") == "kept\nonce"
    assert lab.says(one, "cat /etc/ssh/ssh_host_ed25519_key.pub") == host_key
    lab.end(one)


def test_a_machine_that_powers_itself_off_is_noticed(lab: Lab) -> None:
    one = make_instance(8)
    lab.boot(one)

    lab.run(one, "systemctl", "--no-block", "poweroff")
    until(lambda: one.id in lab.aws.stopped, "AWS is told")

    # AWS has not answered yet: the machine must not be started again for what it was.
    lab.show(one)
    assert lab.machines.is_settled()
    assert lab.machines.pid(one.id) is None
    lab.end(one)


def test_a_machine_that_starts_anew_stays_the_same_instance(lab: Lab) -> None:
    one = make_instance(9)
    lab.boot(one)
    first = lab.machines.pid(one.id)
    told = list(lab.aws.stopped)

    lab.run(one, "systemctl", "--no-block", "reboot")
    until(lambda: lab.machines.pid(one.id) not in {first, None}, "the machine starts anew")
    lab.await_boot(one)

    assert lab.aws.stopped == told
    assert lab.says(one, "hostname") == "ip-10-40-1-9"
    lab.end(one)


def held_by(lab: Lab, instance: Instance) -> str:
    """The mounts of the process that runs a machine."""
    pid = lab.machines.pid(instance.id)
    status = Path(f"/proc/{pid}/status").read_text()
    parent = status.partition("PPid:")[2].split()[0]
    return Path(f"/proc/{parent}/mountinfo").read_text()


def test_nothing_is_left_of_a_terminated_machine(lab: Lab, front: Instance) -> None:
    before = traces(besides=front.id)
    one = make_instance(10)
    lab.boot(one)
    lab.says(one, "setsid sleep 1000 >/dev/null 2>&1 &")
    assert traces(besides=front.id) != before

    lab.end(one)

    assert traces(besides=front.id) == before
    assert not (lab.state / "machines" / one.id).exists()
    assert not netns.exists(lab.fabric.namespace(one.id))
    assert "/run/netns" not in held_by(lab, front), "a machine keeps the networks of others alive"
    assert lab.machines.console(one.id)


def test_several_machines_boot_at_once(lab: Lab) -> None:
    many = [make_instance(number) for number in range(20, 24)]

    lab.boot(*many)

    names = {lab.says(instance, "hostname") for instance in many}
    assert names == {f"ip-10-40-1-{number}" for number in range(20, 24)}
    assert lab.says(many[0], "ping -c 1 -W 2 10.40.1.23 >/dev/null && echo seen") == "seen"
    lab.end(*many)


def test_what_a_dead_region_left_is_cleaned_up(lab: Lab, tmp_path: Path) -> None:
    before = traces()
    state = tmp_path / f"{REGION}2"
    lost = Machines(state, parts.ensure(["rootfs"]).rootfs, lab.fabric, Aws())
    one = make_instance(11)
    lab.fabric.reconcile(replace(lab.snapshot(), instances=(*lab.instances.values(), one)))
    lost.reconcile(replace(lab.snapshot(), instances=(one,)))
    until(lambda: lost.pid(one.id), "the machine runs")
    assert cgroups.of_region(state.name)

    cleanup(state, state.name)

    assert cgroups.of_region(state.name) == []
    assert netns.names(link.name(state.name, "")) == []
    assert not (state / "machines").exists()
    assert traces() == before
    lost.close()


def test_aws_hears_of_a_machine_that_cannot_start(lab: Lab, tmp_path: Path) -> None:
    aws = Aws()
    broken = Machines(tmp_path / f"{REGION}3", tmp_path / "no-rootfs", lab.fabric, aws)
    one = make_instance(13)
    snapshot = replace(lab.snapshot(), instances=(*lab.instances.values(), one))
    lab.fabric.reconcile(snapshot)

    broken.reconcile(replace(snapshot, instances=(one,)))
    until(lambda: aws.stopped, "AWS is told")

    until(broken.is_settled, "nothing is tried for ever")
    assert aws.stopped == [one.id]
    assert broken.console(one.id).startswith("mount: ")
    broken.close()


MOUNT = "mkdir -p /mnt/v && mount -t nfs4 -o nfsvers=4.1,rsize=1048576,hard,timeo=600,noresvport"


def test_two_machines_share_a_file_system(lab: Lab, front: Instance) -> None:
    other = make_instance(12)
    lab.boot(other)

    by_name = "fs-a.efs.eu-west-1.amazonaws.com"
    lab.says(front, f"{MOUNT} {TARGET}:/ /mnt/v && mkdir /mnt/v/d && echo hello > /mnt/v/d/file")
    # As kubelet does it where systemd runs.
    mount = MOUNT.replace("&& mount", "&& systemd-run --quiet --scope -- mount")
    read = lab.says(other, f"{mount} {by_name}:/d /mnt/v && cat /mnt/v/file && umount /mnt/v")

    assert read == "hello"
    assert (lab.state / "efs/fs-a/d/file").read_text() == "hello\n"
    lab.says(front, "umount /mnt/v")
    lab.end(other)


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        pytest.param(f"{OUT_OF_REACH}:/", "retry=0", "Connection timed out", id="group-shut"),
        pytest.param(f"{TARGET}:/none", "hard", "No such file or directory", id="no-folder"),
        pytest.param("10.40.0.5:/", "retry=0", "Connection refused", id="no-server"),
        pytest.param("fs-zz.efs.eu-west-1.amazonaws.com:/", "hard", "resolve", id="no-name"),
        pytest.param(f"{TARGET}:/", "nfsvers=3", "Protocol not supported", id="version-3"),
        pytest.param(f"{TARGET}:/", "colour=red", "incorrect mount option", id="option"),
    ],
)
def test_a_mount_fails_as_it_would(
    lab: Lab, front: Instance, source: str, options: str, words: str
) -> None:
    done = lab.run(front, "mount", "-t", "nfs", "-o", options, source, "/mnt")

    assert done.returncode == 32
    assert words in done.stderr

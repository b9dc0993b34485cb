"""Machines as EC2 runs them: booted by cloud-init, known by SSH, stopped, lost and removed.

The network is the real fabric with snapshots made by hand; only the AWS API in front is missing,
except where a test says otherwise.
"""

import shutil
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
from tests.region.aws.view import Instance, MountTarget, Snapshot, Volume, VolumeSnapshot
from tests.region.internet import tls
from tests.region.machines import cgroups, link
from tests.region.machines.machines import Machines, cleanup
from tests.region.net import addresses, netns, samples
from tests.region.net.fabric import Fabric
from tests.region.parts import host, parts
from tests.region.places import Places
from tests.region.storage import ebs
from tests.region.storage.ebs import Ebs
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
    ebs: Ebs
    machines: Machines
    aws: Aws
    instances: dict[str, Instance] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    taken: tuple[VolumeSnapshot, ...] = ()

    def show(self, *instances: Instance) -> None:
        """Let the region have these instances too, or in their new state."""
        self.instances.update({instance.id: instance for instance in instances})
        snapshot = self.snapshot()
        self.fabric.reconcile(snapshot)
        self.efs.reconcile(snapshot)
        self.ebs.reconcile(snapshot)
        self.machines.reconcile(snapshot)

    def snapshot(self) -> Snapshot:
        network = samples.network(
            instances=tuple(self.instances.values()),
            groups=GROUPS,
            mount_targets=(target("a", TARGET, "sg-open"), target("b", OUT_OF_REACH, "sg-shut")),
        )
        volumes = tuple(self.volumes.values())
        return replace(network, volumes=volumes, volume_snapshots=self.taken)

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

    def place(self, volume: Volume, at: Instance | None) -> Volume:
        """Let AWS show *volume* attached there, or nowhere."""
        placed = replace(volume, instance_id=at.id if at else None)
        self.volumes[volume.id] = placed
        self.show()
        return placed

    def attach(self, volume: Volume, at: Instance) -> str:
        """Attach, and answer the device's path once the machine has it."""
        self.place(volume, at)
        path = f"/dev/{ebs.BY_ID}/{ebs.LINK}{volume.id.replace('-', '')}"

        def is_there() -> bool:
            self.show()
            return self.run(at, "test", "-b", path).returncode == 0

        until(is_there, "the device is there")
        return path

    def detach(self, *volumes: Volume) -> None:
        """Detach, and wait for the end of their disks."""
        for volume in volumes:
            self.place(volume, None)
            self.await_end_of(volume)

    def await_end_of(self, volume: Volume) -> None:
        def is_gone() -> bool:
            self.show()
            return not any(name.endswith(volume.id) for name in ebs.loops(REGION).values())

        until(is_gone, "the disk is unplugged")

    def forget_volumes(self) -> None:
        self.volumes.clear()
        self.taken = ()
        self.show()


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
    built = parts.ensure(["rootfs", "volume"])
    machines = Machines(state, built.rootfs, fabric, aws)
    disks = Ebs(region=REGION, folder=state / "ebs", program=built.volume, pid=machines.pid)
    return Lab(state=state, fabric=fabric, efs=efs, ebs=disks, machines=machines, aws=aws)


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
        made.ebs.close()
        made.efs.close()
        made.fabric.close()
    assert traces() == set()
    assert netns.names(f"{REGION}-") == []


def traces(*besides: Instance) -> set[str]:
    """What a machine may leave on the host: mounts, control groups, processes, namespaces.

    The processes of machines that go on, *besides*, come and go.
    """
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    groups = cgroups.of_region(REGION)
    return {
        *(line for line in mounts if REGION in line and "/run/netns/" not in line),
        *groups,
        *(
            f"process {pid}"
            for group in groups
            if not group.endswith(tuple(one.id for one in besides))
            for pid in cgroups.pids(group)
        ),
        *netns.names(link.name(REGION, "")),
        *ebs.loops(REGION),
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
    before = traces(front)
    one = make_instance(10)
    lab.boot(one)
    lab.says(one, "setsid sleep 1000 >/dev/null 2>&1 &")
    assert traces(front) != before

    lab.end(one)

    assert traces(front) == before
    assert not (lab.state / "machines" / one.id).exists()
    patience = time.monotonic() + 60  # the kernel lets go of one when the last of its processes is
    while netns.exists(lab.fabric.namespace(one.id)) and time.monotonic() < patience:
        time.sleep(0.1)
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
    before = traces(*lab.instances.values())
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
    assert traces(*lab.instances.values()) <= before  # what ended before may go meanwhile
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


# --- volumes ----------------------------------------------------------------------------------

XFS_TOOLS = ("mkfs.xfs", "xfs_growfs")
APPEND = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in range(100):
    os.write(file, b"%4d" % number)
    os.fsync(file)
"""


def volume(number: int, size_gib: int = 1, **more: str) -> Volume:
    return Volume(id=f"vol-{number:017x}", size_gib=size_gib, **more)


def container(lab: Lab, instance: Instance) -> str:
    """Make a root with tools of its own in the machine, as a privileged container has it."""
    root = lab.state / "machines" / instance.id / "rancher/container"
    for tool in XFS_TOOLS:
        program = shutil.which(tool, path=host.SEARCH)
        assert program
        linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
        libraries = [word for word in linked.stdout.split() if word.startswith("/")]
        for path in (program, *libraries):
            copy = root / path.removeprefix("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    inside = "/var/lib/rancher/container"
    lab.says(
        instance,
        f"cd {inside} && mkdir -p dev proc data && mount --rbind /dev dev && mount -t proc p proc",
    )
    return inside


def test_a_volume_is_a_disk_that_grows_while_it_is_mounted(lab: Lab, front: Instance) -> None:
    host.ensure(print, {"mkfs.xfs": "xfsprogs"})
    one = volume(1)
    device = lab.attach(one, front)
    root = container(lab, front)

    blank = lab.run(front, "blkid", "-p", device).returncode
    lab.says(front, f"chroot {root} mkfs.xfs -q {device} && mount {device} {root}/data")
    grown = replace(lab.volumes[one.id], size_gib=2)
    lab.place(grown, front)
    size = lab.says(front, f"blockdev --getsize64 {device}")
    lab.says(front, f"chroot {root} xfs_growfs /data")
    usable = lab.says(front, f"df --output=size -BM {root}/data | tail -1")
    held = lab.ebs.is_held(one.id)
    lab.says(front, f"umount {root}/data")

    assert blank == 2
    assert size == str(2 << 30)
    assert int(usable.removesuffix("M")) > 1900
    assert lab.says(front, f"readlink -f {device}") == "/dev/nvme1n1"
    assert (held, lab.ebs.is_held(one.id)) == (True, False)
    lab.detach(grown)
    assert lab.says(front, "ls -A /dev/disk/by-id; ls /dev/nvme* 2>/dev/null || true") == ""
    lab.says(front, f"umount -l -R {root}/dev {root}/proc")
    lab.forget_volumes()
    assert list((lab.state / "ebs/volumes").iterdir()) == []


def test_a_lost_machine_loses_what_it_had_not_flushed(lab: Lab, front: Instance) -> None:
    one, lost = volume(2), make_instance(30)
    lab.boot(lost)
    device = lab.attach(one, lost)
    mounted = f"mkfs.ext4 -q {device} && mount {device} /mnt && cd /mnt"
    lab.says(lost, f"{mounted} && python3 -c '{APPEND}' flushed && echo late > not-flushed")

    lab.end(lost)
    # AWS gives the volume back only now.
    there = lab.attach(one, front)
    found = lab.says(
        front, f"mount {there} /mnt && stat -c %s /mnt/flushed && ls /mnt && umount /mnt"
    )

    assert found.split() == ["400", "flushed", "lost+found"]
    lab.detach(one)
    lab.forget_volumes()


def started_again(lab: Lab, machine: Instance, one: Volume) -> str:
    """Let AWS show a machine that is off as such, then start it; answer its disk's path."""
    lab.show(replace(machine, state="stopped"))
    lab.await_end_of(one)
    lab.boot(machine)
    return lab.attach(one, machine)


def test_a_stopped_machine_has_written_all_down_and_finds_its_disk_again(lab: Lab) -> None:
    one, machine = volume(3), make_instance(31)
    lab.boot(machine)
    device = lab.attach(one, machine)
    lab.says(machine, f"mkfs.ext4 -q {device} && mount {device} /mnt && echo kept > /mnt/file")
    lab.show(replace(machine, state="stopping"))
    until(lab.machines.is_settled, "the machine is off")

    there = started_again(lab, machine, one)

    assert lab.says(machine, f"mount {there} /mnt && cat /mnt/file") == "kept"
    lab.run(machine, "systemctl", "--no-block", "reboot")
    until(lambda: lab.machines.pid(machine.id) is None, "it goes down")
    lab.await_boot(machine)
    again = lab.attach(one, machine)
    assert lab.says(machine, f"mount {again} /mnt && cat /mnt/file") == "kept"
    lab.end(machine)
    lab.detach(one)
    lab.forget_volumes()


def test_a_snapshot_holds_what_was_flushed_by_then(lab: Lab, front: Instance) -> None:
    one = volume(4)
    device = lab.attach(one, front)
    write = f"mkfs.ext4 -q {device} && mount {device} /mnt && cd /mnt && echo early > early"
    lab.says(front, f"{write} && sync -f early && echo later > later")

    lab.taken = (VolumeSnapshot(id="snap-1", volume_id=one.id),)
    lab.show()
    lab.says(front, "sync -f /mnt/later && umount /mnt")
    two = volume(5, size_gib=2, snapshot_id="snap-1")
    copy = lab.attach(two, front)

    assert lab.says(front, f"mount {copy} /mnt && ls /mnt && umount /mnt").split()[0] == "early"
    assert "later" not in lab.says(front, f"mount {copy} /mnt && ls /mnt && umount /mnt")
    assert lab.says(front, f"blockdev --getsize64 {copy}") == str(2 << 30)
    lab.detach(one, two)
    lab.forget_volumes()
    assert list((lab.state / "ebs/snapshots").iterdir()) == []


def test_a_volume_that_is_taken_by_force_answers_no_more(lab: Lab, front: Instance) -> None:
    one = volume(6)
    device = lab.attach(one, front)
    lab.says(front, f"mkfs.ext4 -q {device} && mount {device} /mnt && echo x > /mnt/x")

    lab.place(one, None)

    assert lab.run(front, "sync", "-f", "/mnt/x").returncode != 0
    assert lab.run(front, "test", "-e", device).returncode != 0
    lab.says(front, "umount /mnt")
    lab.await_end_of(one)
    lab.forget_volumes()


def test_the_host_of_a_machine_fails_with_its_disks(lab: Lab) -> None:
    one, machine = volume(7), make_instance(32)
    lab.boot(machine)
    device = lab.attach(one, machine)
    lab.says(machine, f"mkfs.ext4 -q {device} && mount {device} /mnt && sync && echo x > /mnt/x")

    lab.ebs.lose(machine.id)
    lab.machines.crash(machine.id)
    until(lambda: machine.id in lab.aws.stopped, "AWS is told")
    there = started_again(lab, machine, one)

    assert lab.says(machine, f"mount {there} /mnt && ls /mnt") == "lost+found"
    lab.end(machine)
    lab.detach(one)
    lab.forget_volumes()

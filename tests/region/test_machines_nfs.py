"""A volume that one machine serves and another mounts: NFSv4.1 over the region's network.

The server is that of the product's own image, in its own configuration, on a small disk; the client
is the one behind mount.nfs4.
"""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.region import test_machines
from tests.region.aws.view import Instance
from tests.region.parts import parts, volume_image
from tests.region.test_machines import Lab, make_instance, until

pytestmark = pytest.mark.region

DISK_MIB = 64
HOME = "/home/data"  # of the server, where the disk is, as of who mounts it from there
IMAGE = "/srv/volume"
RECOVERY = "/var/lib/clusterous/volume/recovery"
# Shorter than a cluster's, so that tests need not wait for them.
LEASE, GRACE = 6, 8
START = (
    "systemd-run --quiet --collect --unit=ganesha"
    f" --property=RootDirectory={IMAGE} --property=MountAPIVFS=yes --property=BindPaths={HOME}"
    " ganesha.nfsd -F -f /app/ganesha.conf -L STDERR -p /tmp/ganesha.pid"
)
# Again until the unit of the one that was killed is forgotten.
RESTART = f"until {START} 2>/dev/null; do sleep 0.1; done"
KILL = "systemctl kill --signal=KILL ganesha"
MOUNT = "mount -t nfs4 -o nfsvers=4.1,hard,timeo=600"
BY_A_SERVICE = "systemd-run --quiet --collect --wait --"


lab = test_machines.lab  # a fixture, of this module's own


@pytest.fixture(scope="module")
def server(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A machine that has a disk, and serves it to whom its security group lets in."""
    made = make_instance(30, group_ids=("sg-nfs",))
    lab.boot(made)
    root = Path(f"/proc/{lab.machines.pid(made.id)}/root")
    (root / IMAGE[1:]).mkdir()
    volume_image.unpack(parts.ensure(["volume_image"]).volume_image, root / IMAGE[1:])
    hurry(root / IMAGE[1:] / "app/ganesha.conf")
    with loop_device(tmp_path_factory.mktemp("disk") / "disk") as device:
        number = int(device.removeprefix("/dev/loop"))
        lab.says(made, f"mknod {device} b 7 {number}; mkdir {HOME}; mount {device} {HOME}")
        lab.says(made, f"mkdir -p {IMAGE}{HOME} {IMAGE}{RECOVERY}; {START}")
        yield made
        lab.end(made)


def hurry(configuration: Path) -> None:
    text = configuration.read_text()
    changed = text.replace("Lease_Lifetime = 20", f"Lease_Lifetime = {LEASE}")
    changed = changed.replace("Grace_Period = 30", f"Grace_Period = {GRACE}")
    assert f"= {LEASE};" in changed
    assert f"= {GRACE};" in changed
    configuration.write_text(changed)


@contextmanager
def loop_device(file: Path) -> Iterator[str]:
    """Make a small disk with a file system on it."""
    with file.open("wb") as disk:
        disk.truncate(DISK_MIB << 20)
    subprocess.run(["mkfs.ext4", "-q", str(file)], check=True)
    argv = ["losetup", "--find", "--show", str(file)]
    device = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.fixture(scope="module")
def worker(lab: Lab, server: Instance) -> Instance:
    """A machine that has mounted the volume, by a service that ended long ago."""
    made = make_instance(31)
    lab.boot(made)
    lab.says(made, f"mkdir -p {HOME}; {BY_A_SERVICE} {MOUNT} {server.private_ip}:/ {HOME}")
    return made


def test_a_volume_comes_over_the_network(lab: Lab, server: Instance, worker: Instance) -> None:
    lab.says(worker, f"mkdir {HOME}/d; echo hello > {HOME}/d/file; ln -s file {HOME}/d/link")

    assert lab.says(server, f"cat {HOME}/d/link") == "hello"
    assert f"{server.private_ip}:2049" in lab.says(worker, "ss -tnH state established")
    assert lab.says(worker, f"findmnt -no SOURCE {HOME}") == f"{server.private_ip}:/"


def test_programs_have_the_rights_of_their_users(
    lab: Lab, server: Instance, worker: Instance
) -> None:
    lab.says(worker, f"mkdir {HOME}/own; chown 1000:1000 {HOME}/own; chmod 750 {HOME}/own")
    of_user = "setpriv --reuid=1000 --regid=1000 --clear-groups sh -ec"
    of_another = "setpriv --reuid=1001 --regid=1001"

    lab.says(worker, f"{of_user} 'echo mine > {HOME}/own/file'")

    assert lab.says(server, f"stat -c '%u %g' {HOME}/own/file") == "1000 1000"
    assert lab.says(worker, f"{of_another} --groups=1000 cat {HOME}/own/file") == "mine"
    refused = lab.run(worker, *f"{of_another} --clear-groups cat {HOME}/own/file".split())
    assert "Permission denied" in refused.stderr


def test_what_was_replaced_beneath_the_server_is_read_at_the_next_open(
    lab: Lab, server: Instance, worker: Instance
) -> None:
    lab.says(worker, f"echo old > {HOME}/result; cat {HOME}/result")

    lab.says(server, f"echo new > {HOME}/result.part; mv {HOME}/result.part {HOME}/result")
    assert lab.says(worker, f"cat {HOME}/result") == "new"

    lab.says(server, f"rm {HOME}/result")
    assert lab.says(worker, f"ls {HOME}/result 2>&1 || true").endswith("No such file or directory")


def test_a_program_hears_that_the_volume_is_full(
    lab: Lab, server: Instance, worker: Instance
) -> None:
    fill = ["dd", "if=/dev/zero", f"of={HOME}/big", "bs=1M", f"count={2 * DISK_MIB}"]

    done = lab.run(worker, *fill)

    assert "No space left on device" in done.stderr
    lab.says(worker, f"rm {HOME}/big; echo again > {HOME}/small")


def test_the_security_group_decides_who_may_mount(
    lab: Lab, server: Instance, worker: Instance
) -> None:
    again = ["mount", "-t", "nfs4", "-o", "retry=0", f"{server.private_ip}:/", "/mnt"]
    lab.show(replace(server, group_ids=("sg-shut",)))

    refused = lab.run(worker, *again)
    lab.show(server)
    allowed = lab.run(worker, *again)

    assert (refused.returncode, refused.stderr) == (32, "mount.nfs: Connection timed out\n")
    assert (allowed.returncode, allowed.stderr) == (0, "")
    lab.says(worker, "umount /mnt")


def test_a_mount_is_refused_as_the_server_refuses_it(
    lab: Lab, server: Instance, worker: Instance
) -> None:
    done = lab.run(worker, "mount", "-t", "nfs4", f"{server.private_ip}:/none", "/mnt")

    assert done.returncode == 32
    assert "reason given by server: No such file or directory" in done.stderr


# Appends a line and has it saved, every 20 ms, until it is told that this is enough; says how many
# lines there are, and how long it waited for the slowest.
APPEND = f"""
import fcntl, os, time
file = os.open("{HOME}/lines", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
fcntl.lockf(file, fcntl.LOCK_EX)
number, longest, last = 0, 0.0, time.monotonic()
while not os.path.exists("/enough"):
    os.write(file, b"%d\\n" % number)
    os.fsync(file)
    number, now = number + 1, time.monotonic()
    longest, last = max(longest, now - last), now
    time.sleep(0.02)
print(number, round(longest, 2))
"""


def takes(file: str) -> tuple[str, ...]:
    """The command that fails where somebody has locked *file*."""
    return ("python3", "-c", f"import fcntl; fcntl.lockf(open('{file}', 'r+'), 6)")


def test_an_open_file_goes_on_when_the_server_is_back(
    lab: Lab, server: Instance, worker: Instance
) -> None:
    program = "systemd-run --quiet --unit=append --property=StandardOutput=file:/said python3 -c"
    lab.says(worker, f"{program} '{APPEND}'")
    until(lambda: lab.run(worker, "grep", "9", f"{HOME}/lines").stdout, "the program writes")

    lab.says(server, KILL)
    away = lab.run(worker, "timeout", "--signal=KILL", "1", "cat", f"{HOME}/lines")
    lab.says(server, RESTART)
    begun = time.monotonic()
    lab.says(worker, f"echo anew > {HOME}/anew")
    opened = time.monotonic() - begun
    locked = lab.run(server, *takes(f"{HOME}/lines"))
    lab.says(worker, "touch /enough")
    until(lambda: lab.says(worker, "cat /said"), "the program has ended")

    lines, longest = lab.says(worker, "cat /said").split()
    assert away.returncode == -signal.SIGKILL, "whoever waits for the server can be killed"
    assert lab.says(server, f"cat {HOME}/lines").split() == [str(one) for one in range(int(lines))]
    assert "BlockingIOError" in locked.stderr, "the lock was lost"
    assert float(longest) < 6, "1 s without a server, and its client asks every 3 s"
    assert opened < 15


# Starts no other program meanwhile: the end of that would save what is open.
WRITE = f"""
import os, pathlib, time
file = os.open("{HOME}/kept", os.O_CREAT | os.O_WRONLY)
os.write(file, b"precious")
pathlib.Path("/wrote").touch()
while not os.path.exists("/save"):
    time.sleep(0.1)
os.fsync(file)
pathlib.Path("/saved").touch()
"""


def test_what_was_not_saved_is_written_again(lab: Lab, server: Instance, worker: Instance) -> None:
    program = "systemd-run --quiet --unit=write python3 -c"
    lab.says(worker, f"{program} '{WRITE}'")
    until(lambda: lab.run(worker, "test", "-e", "/wrote").returncode == 0, "it has written")

    lab.says(server, f"{KILL}; : > {HOME}/kept; {RESTART}")
    lab.says(worker, "touch /save")
    until(lambda: lab.run(worker, "test", "-e", "/saved").returncode == 0, "it has saved")

    assert lab.says(server, f"cat {HOME}/kept") == "precious"


def test_a_file_that_is_removed_while_it_is_open_stays(
    lab: Lab, server: Instance, worker: Instance
) -> None:
    script = (
        f"echo kept > {HOME}/gone; exec 3< {HOME}/gone; rm {HOME}/gone; ls {HOME}/gone; cat <&3"
    )

    done = lab.run(worker, "bash", "-c", script)

    assert done.stdout == "kept\n"
    assert "No such file" in done.stderr
    until(lambda: ".nfs" not in lab.says(server, f"ls -A {HOME}"), "the hidden file goes, too")


def test_the_lock_of_a_lost_machine_is_free_after_its_lease(lab: Lab, server: Instance) -> None:
    lost = make_instance(32)
    lab.boot(lost)
    lab.says(lost, f"mkdir -p {HOME}; {MOUNT} {server.private_ip}:/ {HOME}; echo x > {HOME}/locked")
    hold = f"import fcntl, time; f = open('{HOME}/locked', 'w'); fcntl.lockf(f, 2); time.sleep(99)"
    lab.says(lost, f'systemd-run --quiet --unit=hold python3 -c "{hold}"')
    take = takes(f"{HOME}/locked")
    until(lambda: lab.run(server, *take).returncode != 0, "the lock is taken")

    lab.end(lost)

    until(lambda: lab.run(server, *take).returncode == 0, "the lock is free", seconds=30)


def test_nothing_is_left_of_a_mount(lab: Lab, worker: Instance) -> None:
    lab.says(worker, f"umount {HOME}")

    until(lambda: lab.run(worker, "pgrep", "-f", "^@nfs4").returncode == 1, "its program has ended")

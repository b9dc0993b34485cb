"""What may befall a shared volume, in machines with Debian's own kernel: build/volumes.json.

The controller runs the volume server's very image with the rights of its pod (runc), the volume is
an NVMe disk of its own, the workers use the kernel's NFS 4.1 client, and a machine is lost by the
kill of its QEMU. A killed QEMU leaves what its machine had written in the page cache of this one:
what had not been flushed is not lost here, as it is with a machine; the region's volumes try that.
"""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from clusterous_api.mounts import EFS_OPTIONS
from clusterous_cli.addons import volumeserver
from tests.region.parts import host, parts, volume_image
from tests.region.parts.cache import Tell
from tests.vm import image, pods, qemu
from tests.vm.channel import SilentError
from tests.vm.luggage import ROOT
from tests.vm.qemu import Disk, Machine, Running, Wire

REPORT: Final = ROOT / "build/volumes.json"
LOGS: Final = ROOT / "build/vm-volumes"
HERE: Final = Path(__file__).parent
SILENCE: Final = 180.0
VOLUME: Final = "vol-0123456789abcdef0"
TWIN: Final = "vol-0fedcba9876543210"
SPARE: Final = "vol-0aaaaaaaaaaaaaaaa"
GIB: Final = 1 << 30
# The numbers, in seconds.
OPEN_FILE: Final = 5.0
NEW_OPEN: Final = 20.0
DATA: Final = "/home/data"
OPTIONS: Final = ",".join(EFS_OPTIONS)


class FailedError(Exception):
    """Something in a machine went wrong; the message has its last words."""


@dataclass(slots=True)
class Guest:
    """A machine that runs, until it is killed."""

    name: str
    running: Running
    stack: ExitStack

    def do(self, command: str, silence: float = SILENCE) -> str:
        """Run *command*, which has to succeed."""
        code, said = self.tried(command, silence)
        if code:
            raise FailedError(f"{self.name}: {command[:200]} ended with {code}:\n{said[-2000:]}")
        return said

    def tried(self, command: str, silence: float = SILENCE) -> tuple[int, str]:
        lines: list[str] = []
        code = self.running.channel.run(command, silence=silence, hear=lines.append)
        return code, "\n".join(lines).strip()

    def kill(self) -> None:
        self.stack.close()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it stand still for a moment, so that its disks are of one moment."""
        os.kill(self.running.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.running.pid, signal.SIGCONT)

    def until(self, what: str, command: str, seconds: float = 240.0) -> float:
        """Ask again and again until *command* succeeds; return after how many seconds it did."""
        began = time.monotonic()
        while True:
            code, said = self.tried(command)
            if not code:
                return time.monotonic() - began
            if time.monotonic() - began > seconds:
                raise FailedError(f"{self.name}: {what}: not after {seconds:.0f} s: {said[-1500:]}")
            time.sleep(0.2)


@dataclass(slots=True)
class Trial:
    """What was seen, to be told as JSON whatever happens."""

    tell: Tell
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: str = ""
    at: str = ""

    @contextlib.contextmanager
    def case(self, name: str) -> Iterator[dict[str, Any]]:
        self.tell(f"── {name}")
        self.at = name
        found: dict[str, Any] = {}
        yield found
        self.seen[name] = found
        self.tell("   " + ", ".join(f"{key} {value}" for key, value in found.items()))


def report(trial: Trial, accelerator: str) -> dict[str, Any]:
    """Return what is written; a goal that was not reached is no success."""
    late = [
        f"{name}: {key} {found[key]} s, and the goal is {goal:.0f} s"
        for name, found in trial.seen.items()
        for key, goal in (("open_file_seconds", OPEN_FILE), ("new_open_seconds", NEW_OPEN))
        if found.get(key, 0) > goal
    ]
    wrong = [
        f"{name}: {key}"
        for name, found in trial.seen.items()
        for key, value in found.items()
        if value is False
    ]
    return {
        "ok": not (trial.error or late or wrong),
        "goals": {"open_file_seconds": OPEN_FILE, "new_open_seconds": NEW_OPEN},
        "cases": trial.seen,
        "late": late,
        "wrong": wrong,
        "error": f"at {trial.at}: {trial.error}" if trial.error else "",
        "accelerator": accelerator,
    }


# -- what is handed in --------------------------------------------------------------------


def pack(folder: Path, tell: Tell) -> Path:
    """Write the disk with the image, its containers and the worker's programs."""
    archive = parts.ensure(["volume_image"], tell).volume_image
    tree = folder / "tree"
    (tree / "image").mkdir(parents=True)
    volume_image.unpack(archive, tree / "image")
    settings = config_of(archive)
    pod = volumeserver.pod("volume", {})
    for one in ("keeper", "server"):
        (tree / one).mkdir()
        bundle = pods.bundle(pod, one, settings, "/luggage/image")
        (tree / one / "config.json").write_text(json.dumps(bundle))
    (tree / "worker.py").write_bytes((HERE / "worker.py").read_bytes())
    disk = folder / "luggage.ext4"
    image.run(["sh", "-c", image.write_disk(tree, disk, "1G")])
    return disk


def config_of(archive: Path) -> Mapping[str, Any]:
    """Return how an image wants to be run."""
    with tarfile.open(archive) as tar:
        listed = tar.extractfile("manifest.json")
        assert listed
        config = tar.extractfile(json.load(listed)[0]["Config"])
        assert config
        found: Mapping[str, Any] = json.load(config)["config"]
    return found


def blank(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


# -- machines -----------------------------------------------------------------------------


@dataclass(slots=True)
class Place:
    """Where machines are made: their disks, and the stack that ends them all."""

    disk: image.Image
    luggage: Path
    folder: Path
    stack: ExitStack
    tell: Tell
    accelerator: str = ""

    def boot(self, name: str, wires: Sequence[Wire], disks: Sequence[Disk] = ()) -> Guest:
        logs = LOGS / name
        logs.mkdir(parents=True, exist_ok=True)
        machine = Machine(
            image=self.disk,
            luggage=self.luggage,
            cpus=1,
            memory_mib=768,
            disks=disks,
            wires=wires,
            first="/usr/local/sbin/bare",
        )
        own = self.stack.enter_context(ExitStack())
        which = (self.accelerator,) if self.accelerator else ()
        running = own.enter_context(qemu.booted(machine, self.tell, logs, which))
        self.accelerator = running.accelerator
        guest = Guest(name=name, running=running, stack=own)
        guest.do("mkdir -p /luggage; mount /dev/nvme1n1 /luggage; modprobe virtio_pci virtio_net")
        return guest


def link(guest: Guest, device: str, address: str) -> None:
    guest.until("its network", f"test -e /sys/class/net/{device}", 60)
    guest.do(f"ip addr add {address}/24 dev {device}; ip link set {device} up")


ONE: Final = (
    Wire(name="one", ours=17701, theirs=17702),
    Wire(name="one", ours=17702, theirs=17701),
)
TWO: Final = (
    Wire(name="two", ours=17703, theirs=17704),
    Wire(name="two", ours=17704, theirs=17703),
)
FIRST, SECOND = "10.77.1", "10.77.2"


def controller(place: Place, name: str, disks: Sequence[Disk]) -> Guest:
    guest = place.boot(name, (ONE[0], TWO[0]), disks)
    link(guest, "eth0", f"{FIRST}.1")
    link(guest, "eth1", f"{SECOND}.1")
    for one in ("/etc/clusterous", volumeserver.RUN, volumeserver.STATE, "/home"):
        guest.do(f"mkdir -p {one}")
    return guest


def order(guest: Guest, volume: str, *, given: bool, marked: bool) -> None:
    text = volumeserver.order(volume, given=given, marked=marked)
    path = volumeserver.ORDER
    guest.do(f"printf %s {shlex.quote(text)} >{path}.new; mv {path}.new {path}")


def start(guest: Guest, *which: str) -> None:
    for one in which or ("keeper", "server"):
        log = f"/run/{one}.log"
        detached = f"setsid runc run --detach -b /luggage/{one} {one} >>{log} 2>&1 </dev/null"
        guest.do(f": >/run/ended-{one}; {detached} || {{ tail -n 5 {log}; exit 1; }}")


def stop(guest: Guest) -> None:
    for one in ("server", "keeper"):
        guest.do(f"runc delete --force {one}")


def status(guest: Guest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(guest.do(f"cat {volumeserver.STATUS}"))
    return found


def reaches(guest: Guest, phase: str, more: str = "") -> float:
    test = f'grep -q \'"phase": "{phase}".*{more}\' {volumeserver.STATUS}'
    said = f"cat {volumeserver.STATUS}; tail -n 5 /run/keeper.log /run/server.log; exit 1"
    return guest.until(f"phase {phase}", f"{test} || {{ {said}; }}")


def worker(place: Place, name: str, wire: Wire, net: str) -> Guest:
    guest = place.boot(name, (wire,))
    link(guest, "eth0", f"{net}.2")
    guest.do("modprobe nfsv4; mkdir -p /data")
    guest.until("the mount", f"mount -t nfs4 -o {OPTIONS} {net}.1:/ /data", 120)
    return guest


RECORDS: Final = f"{volumeserver.STATE}/recovery/v4recov"
PROGRAM: Final = "python3 /luggage/worker.py"
LOG: Final = "/run/append.log"


def behind(guest: Guest, command: str) -> None:
    """Run it in the background."""
    guest.do(f"setsid {command} </dev/null >/run/behind.log 2>&1 &")


def now(guest: Guest) -> str:
    return guest.do("date +%s.%N")


def gone_on(guest: Guest, since: str) -> float:
    """Wait until lines are acknowledged again; return the longest time in which none was."""
    while True:
        longest, age = map(float, guest.do(f"{PROGRAM} gap {LOG} {since}").split())
        if age < 0.5 and longest > 0.5:
            return round(longest, 1)
        time.sleep(0.3)


# -- the cases ----------------------------------------------------------------------------


@dataclass(slots=True)
class Story:
    """The machines and the volume of one trial."""

    place: Place
    trial: Trial
    volume: Path
    spare: Path
    snapshot: Path
    controller: Guest
    worker: Guest

    def other(self) -> Guest:
        return worker(self.place, "worker-2", TWO[1], SECOND)

    def new_open(self, name: str) -> float:
        began = time.monotonic()
        self.worker.do(f"{PROGRAM} fresh /data/{name}")
        return round(time.monotonic() - began, 1)


def killed_server(story: Story) -> None:
    with story.trial.case("server killed") as found:
        since = now(story.worker)
        story.controller.do("pkill -KILL ganesha.nfsd")
        found["new_open_seconds"] = story.new_open("after-kill")
        found["open_file_seconds"] = gone_on(story.worker, since)


def put_beneath(story: Story) -> None:
    with story.trial.case("put beneath") as found:
        for way, command in (
            ("renamed", f"echo 2 >{DATA}/.x && mv {DATA}/.x {DATA}/read"),
            ("written over", f"echo 2 >{DATA}/read"),
        ):
            story.controller.do(f"echo 1 >{DATA}/read")
            story.worker.do("cat /data/read; ls /data >/run/listed")
            story.controller.do(f"{command}; touch {DATA}/new-{way.split()[0]}")
            found[f"{way}: new bytes at the next open"] = story.worker.do("cat /data/read") == "2"
            listed = story.worker.do("ls /data").split()
            found[f"{way}: a new file is listed"] = f"new-{way.split()[0]}" in listed
        story.controller.do(f"rm {DATA}/read")
        found["a removed file is gone"] = story.worker.tried("cat /data/read")[0] != 0


def any_user(story: Story) -> None:
    with story.trial.case("programs of any user") as found:
        as_somebody = "setpriv --reuid 1234 --regid 1234 --clear-groups"
        story.worker.do(f"{as_somebody} sh -c 'echo mine >/data/of-1234'")
        owner = story.controller.do(f"stat -c %u {DATA}/of-1234")
        found["write, and own what they wrote"] = owner == "1234"
        hidden = story.worker.tried(f"{as_somebody} ls /data/.clusterous")[0]
        found["do not see who holds what"] = hidden != 0


def snapshotted(story: Story) -> None:
    with story.trial.case("snapshotted while written") as found:
        acknowledged = int(story.worker.do(f"{PROGRAM} last {LOG}"))
        with story.controller.stopped():
            argv = ["cp", "--sparse=always", str(story.volume), str(story.snapshot)]
            subprocess.run(argv, check=True)
        found["acknowledged"] = acknowledged


def restored(story: Story) -> None:
    """Look into the snapshot, attached beside the volume that it was taken of (the same UUID)."""
    with story.trial.case("restored beside the original") as found:
        device = f"/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_{TWIN.replace('-', '')}"
        guest = story.controller
        guest.do(f"mkdir -p /twin; mount -o nouuid {device} /twin")
        lines = int(guest.do("sort -u /twin/append | wc -l"))
        guest.do("umount /twin")
        before = story.trial.seen["snapshotted while written"]["acknowledged"]
        found["lines"] = lines
        found["nothing acknowledged is lost"] = lines >= before
        found["the original is still served"] = status(guest)["phase"] == "serving"


def full(story: Story) -> None:
    """Fill it; let a new worker open and lock then; kill the server; make room."""
    with story.trial.case("volume full") as found:
        story.worker.do("touch /data/lock-of-2")
        errno = story.worker.do(f"{PROGRAM} fill /data/filler", 600)
        found["the program gets ENOSPC"] = errno == "ENOSPC"
        found["on the controller, too"] = (
            story.controller.tried(f"dd if=/dev/zero of={DATA}/filler2 bs=64k status=none")[0] != 0
        )
        story.controller.until(
            "told", f"grep -q '\"free\": [0-9]\\{{1,7\\}},' {volumeserver.STATUS}"
        )
        found["free"] = status(story.controller)["free"]
        other = story.other()
        behind(other, f"{PROGRAM} hold /data/lock-of-2 /run/held")
        other.until("the lock", "grep -q held /run/held", 120)
        records = story.controller.do(f"find {RECORDS} -mindepth 2 -maxdepth 2 -type d | wc -l")
        found["who came then is written down"] = int(records) >= 2
        story.controller.do("pkill -KILL ganesha.nfsd")
        story.controller.do(f"rm -f {DATA}/filler2")
        story.worker.do("rm /data/filler", 300)
        time.sleep(40)  # the grace period, and then some
        said = other.do("cat /run/held").split()
        found["a worker that came then still holds its lock"] = (
            story.worker.tried(f"timeout 5 {PROGRAM} lock /data/lock-of-2")[0] != 0
            and "EIO" not in said
        )
        since = now(story.worker)
        story.worker.until("goes on", f"{PROGRAM} gap {LOG} {since} | awk '{{exit $2 > 1}}'", 60)
        with story.trial.case("worker lost that held a lock") as lost:
            other.kill()
            began = time.monotonic()
            story.worker.do(f"{PROGRAM} lock /data/lock-of-2", 200)
            lost["lock_seconds"] = round(time.monotonic() - began, 1)


def killed_machine(story: Story) -> None:
    """Lose the controller and its root disk; another with the same volume, by another number."""
    with story.trial.case("machine killed and back") as found:
        since = now(story.worker)
        began = time.monotonic()
        story.controller.kill()
        time.sleep(2)
        disks = (
            Disk(path=story.volume, serial=VOLUME.replace("-", ""), is_virtio=True),
            Disk(path=story.snapshot, serial=TWIN.replace("-", "")),
            Disk(path=story.spare, serial=SPARE.replace("-", "")),
        )
        guest = story.controller = controller(story.place, "controller-2", disks)
        # QEMU's NVMe disks cannot grow while they are used; this one's link is made by hand.
        guest.until("its volume", "modprobe virtio_blk; test -e /dev/vda", 60)
        name = f"/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_{VOLUME.replace('-', '')}"
        guest.do(f"ln -s /dev/vda {name}")
        order(guest, VOLUME, given=False, marked=True)
        start(guest)
        reaches(guest, "serving")
        back = time.monotonic()
        away = back - began
        found["away_seconds"] = round(away, 1)
        found["new_open_seconds"] = story.new_open("after-loss")
        silent = gone_on(story.worker, since)
        found["silent_seconds"] = silent
        found["open_file_seconds"] = round(max(silent - away, 0), 1)


def nothing_lost(story: Story) -> None:
    with story.trial.case("nothing lost") as found:
        acknowledged = int(story.worker.do(f"{PROGRAM} last {LOG}"))
        lines = int(story.controller.do(f"sort -u {DATA}/append | wc -l"))
        found["acknowledged"] = acknowledged
        found["all that was synced is there"] = lines >= acknowledged
        found["no error in the program"] = story.worker.tried(f"grep ^error {LOG}")[0] == 1


def grown(story: Story) -> None:
    with story.trial.case("grown while mounted") as found:
        before = status(story.controller)["size"]
        story.controller.running.order(f"block_resize {VOLUME.replace('-', '')} 2G")
        found["seconds"] = round(
            story.controller.until(
                "more room",
                f"test $(df -B1 --output=size {DATA} | tail -1) -gt {before * 5 // 4}",
                60,
            ),
            1,
        )
        size = int(story.worker.do("df -B1 --output=size /data | tail -1"))
        found["the worker sees it"] = size > before * 5 // 4


def refused(story: Story) -> None:
    """What is damaged, another's, or partitioned; mkfs that is killed. Nothing is served then."""
    guest = story.controller
    with story.trial.case("refused") as found:
        stop(guest)
        guest.do(f"umount {volumeserver.STATE}/recovery; umount {DATA}")
        found["nobody can write where the volume is not"] = guest.tried(f"touch {DATA}/x")[0] != 0
        guest.do("dd if=/dev/zero of=/dev/vda bs=64k count=1 conv=notrunc,fsync status=none")
        for given, marked, reason in (
            (False, True, "damaged"),
            (True, False, "damaged"),
            (False, False, "not blank"),
        ):
            order(guest, VOLUME, given=given, marked=marked)
            start(guest, "keeper")
            reaches(guest, "refused", f'"reason": "{reason}"')
            found[f"{reason}, given {given}, marked {marked}: not served"] = (
                guest.tried(f"test -e {volumeserver.RUN}/served")[0] != 0
            )
            guest.do("runc delete --force keeper")
        order(guest, "vol-0bbb", given=False, marked=False)
        start(guest, "keeper")
        reaches(guest, "waiting", "vol-0bbb is not attached")
        guest.do("runc delete --force keeper")
        device = f"/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_{SPARE.replace('-', '')}"
        guest.do(f"printf 'label: gpt\\n,\\n' | sfdisk --quiet {device}")
        order(guest, SPARE, given=True, marked=False)
        start(guest, "keeper")
        reaches(guest, "refused", '"reason": "partitioned"')
        guest.do("runc delete --force keeper")


# Kills mkfs after ever longer times until one ends by itself; whatever is left is known for what it
# is, or `step` refuses it and this fails.
CUTS: Final = """
import keeper, os, pathlib, signal, sys, time
order, path = keeper.Order(volume=sys.argv[1]), pathlib.Path(sys.argv[2])
cuts, seconds, found = 0, 0.0, None
while found is not keeper.Step.WAIT:
    child = os.fork()
    os.setpgid(child, 0)
    if not child:
        keeper.make(order, path, again=True)
        os._exit(0)
    time.sleep(0.02 + seconds)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = keeper.step(order, keeper.probe(order, path))
    cuts += found is keeper.Step.AGAIN
    seconds += 0.03
print(cuts)
"""


def cut_short(story: Story) -> None:
    """Kill mkfs as it goes; whatever is left, it is known for that, and made anew."""
    guest = story.controller
    with story.trial.case("mkfs killed") as found:
        device = f"/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_{SPARE.replace('-', '')}"
        guest.do(f"wipefs -qa {device}; blkdiscard -z {device}")
        order(guest, "vol-0bbb", given=False, marked=False)
        start(guest, "keeper")
        reaches(guest, "waiting")
        words = shlex.quote(CUTS), SPARE, device
        found["killed"] = int(guest.do(f"runc exec keeper python -c {' '.join(words)}", 400))
        found["was killed as it went"] = found["killed"] > 3
        guest.do("runc delete --force keeper")
        order(guest, SPARE, given=False, marked=False)
        start(guest)
        reaches(guest, "made")
        found["not served before its mark"] = (
            guest.tried(f"test -e {volumeserver.RUN}/served || mountpoint -q {DATA}")[0] != 0
        )
        order(guest, SPARE, given=False, marked=True)
        found["serving after its mark, seconds"] = round(reaches(guest, "serving"), 1)


CASES: Final[Sequence[Callable[[Story], None]]] = (
    any_user,
    killed_server,
    put_beneath,
    snapshotted,
    full,
    killed_machine,
    restored,
    nothing_lost,
    grown,
    refused,
    cut_short,
)


# A case that stands on another one.
NEEDS: Final[Mapping[str, str]] = {
    "killed_machine": "snapshotted",
    "restored": "killed_machine",
    "grown": "killed_machine",
    "refused": "killed_machine",
    "cut_short": "refused",
}


def wanted(only: Sequence[str]) -> set[str]:
    """Return the cases that are named, with those that they stand on; all if none is named."""
    found = set(only or (one.__name__ for one in CASES))
    while more := {NEEDS[one] for one in found if one in NEEDS} - found:
        found |= more
    return found


def first(place: Place, trial: Trial) -> Story:
    """Make the volume, mark it, and let a program write to it."""
    volume = blank(place.folder / "volume.img", GIB)
    with trial.case("made") as found:
        disks = (Disk(path=volume, serial=VOLUME.replace("-", "")),)
        guest = controller(place, "controller-1", disks)
        order(guest, VOLUME, given=False, marked=False)
        start(guest)
        found["made_seconds"] = round(reaches(guest, "made"), 1)
        found["not mounted before its mark"] = guest.tried(f"mountpoint -q {DATA}")[0] != 0
        order(guest, VOLUME, given=False, marked=True)
        found["serving_seconds"] = round(reaches(guest, "serving"), 1)
        found["room is reserved"] = not (error := status(guest)["error"])
        found["error"] = error
    using = worker(place, "worker-1", ONE[1], FIRST)
    behind(using, f"{PROGRAM} append /data/append {LOG}")
    using.until("its first line", f"grep -q ^ack {LOG}", 60)
    time.sleep(12)  # a server that dies at once is started anew only after a while
    return Story(
        place=place,
        trial=trial,
        volume=volume,
        spare=blank(place.folder / "spare.img", GIB),
        snapshot=place.folder / "snapshot.img",
        controller=guest,
        worker=using,
    )


def run(folder: Path, tell: Tell, only: Sequence[str] = ()) -> dict[str, Any]:
    """Run all cases, or those that are named; return the report."""
    trial = Trial(tell=tell)
    disk = image.ensure(tell, image.BARE_RECIPE)
    with ExitStack() as stack:
        place = Place(disk=disk, luggage=pack(folder, tell), folder=folder, stack=stack, tell=tell)
        story = None
        try:
            story = first(place, trial)
            for case in CASES:
                if case.__name__ in wanted(only):
                    case(story)
        except (FailedError, SilentError, OSError, subprocess.CalledProcessError) as error:
            trial.error = str(error)
        return report(trial, place.accelerator)


def main(tell: Tell, only: Sequence[str]) -> int:
    """Run it and write the report; say by the exit code whether all is as it should be."""
    host.ensure(tell, image.tools(is_root=os.geteuid() == 0))
    REPORT.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=REPORT.parent, prefix="volumes-") as name:
        found = run(Path(name), tell, only)
    REPORT.write_text(json.dumps(found, indent=2) + "\n")
    for line in (*found["late"], *found["wrong"], found["error"]):
        if line:
            tell(f"✗ {line}")
    tell("build/volumes.json has what was seen, build/vm-volumes what the machines said")
    return 0 if found["ok"] else 1

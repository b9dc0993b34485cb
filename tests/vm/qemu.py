"""QEMU: the virtual machine as a process, with KVM where that works and by emulation elsewhere."""

import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.region.parts.cache import Tell
from tests.vm import channel
from tests.vm.channel import Channel, SilentError
from tests.vm.image import Image

KVM: Final = Path("/dev/kvm")
# A kernel that comes up with KVM says something within a second; there are hosts where it hangs for
# ever before its first word.
KVM_SECONDS: Final = 40.0
BOOT_SECONDS: Final = 1800.0
# Kernel, journal and, each minute, the load: what is known where no command is answered any more.
CONSOLE: Final = "console.log"
LOGS: Final = (CONSOLE, "qemu.log")
_GIB: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A disk that keeps what is written to it, as EBS does, by its serial number."""

    path: Path
    serial: str
    is_virtio: bool = False  # QEMU's NVMe does not tell a machine that runs of another size


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A link to another machine here: two ports of loopback, *ours* and the other's."""

    name: str
    ours: int
    theirs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the virtual machine is made of; *luggage* is its second disk.

    *first* is its first process, if that is not systemd.
    """

    image: Image
    luggage: Path
    cpus: int
    memory_mib: int
    has_network: bool = False
    disks: Sequence[Disk] = ()
    wires: Sequence[Wire] = ()
    first: str = ""


def memory_mib(available_mib: int) -> int:
    """Return how much of the memory that is *available* the machine gets: a region likes 8 GiB."""
    return max(min(8 * _GIB, available_mib - 2 * _GIB), 4 * _GIB)


def argv(machine: Machine, *, folder: Path, accelerator: str) -> list[str]:
    """Return QEMU's command line. Both first disks forget what was written when it ends."""
    first = f" init={machine.first}" if machine.first else ""
    disks = (("root", machine.image.disk), ("luggage", machine.luggage))
    return [
        # QEMU ends with whoever started it, even if that one is killed.
        *("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *_processor(accelerator),
        *("-smp", str(machine.cpus), "-m", str(machine.memory_mib)),
        *("-kernel", str(machine.image.kernel)),
        # One name for its link at all times: udev would give it another some time after boot.
        *(
            "-append",
            "root=/dev/nvme0n1 rw console=ttyS0 panic=-1 net.ifnames=0"
            f" {_JOURNAL}{_clock(accelerator)}{first}",
        ),
        *(word for name, path in disks for word in _disk(name, path)),
        *(word for disk in machine.disks for word in _kept(disk)),
        *(word for wire in machine.wires for word in _wired(wire)),
        *("-device", "virtio-rng-pci"),
        *("-monitor", f"unix:{folder / 'monitor'},server=on,wait=off"),
        *("-serial", f"file:{folder / CONSOLE}"),
        *("-chardev", f"socket,id=channel,path={folder / 'channel'},server=on,wait=off"),
        *("-serial", "chardev:channel"),
        *(_NETWORK if machine.has_network else ()),
    ]


_JOURNAL: Final = "systemd.journald.forward_to_console=1 systemd.journald.max_level_console=info"
_NETWORK: Final = ("-netdev", "user,id=outside", "-device", "virtio-net-pci,netdev=outside")


def _processor(accelerator: str) -> Sequence[str]:
    if accelerator == "kvm":
        return ("-accel", "kvm", "-cpu", "host")
    # An AVX instruction is a call of QEMU: without them SHA-256 takes half the time.
    return ("-accel", "tcg,thread=multi", "-cpu", "max,-avx,-avx2,-fma,-f16c")


def _clock(accelerator: str) -> str:
    """Return what the kernel is told of its clock.

    Emulated, its processors' counters go in step, but the kernel finds them "unsynchronized" at
    boot, and takes the HPET: each look at the clock is then a call of the kernel's and an access to
    a device, one at a time. Go's programs look all the time; with a few of them, 62 of 200 looks at
    the processors found them there.

    A timer to the microsecond is such an access, too, each time it is set, and whoever sleeps for
    less than a tick sets many: twenty that sleep for a millisecond again and again kept the
    processors busy for 647 of 827 ticks; when timers go by the kernel's tick, for 39 of 814, and a
    program beside them gets more done (bench/results/emulation-2026-11-29.json).
    """
    return "" if accelerator == "kvm" else " tsc=reliable clocksource=tsc highres=off"


def _disk(name: str, path: Path) -> Sequence[str]:
    kept_nowhere = "format=raw,if=none,snapshot=on,cache=unsafe"
    return (
        "-drive",
        f"file={path},id={name},{kept_nowhere}",
        "-device",
        f"nvme,drive={name},serial={name}",
    )


def _kept(disk: Disk) -> Sequence[str]:
    kind = "virtio-blk-pci" if disk.is_virtio else "nvme"
    return (
        *("-drive", f"file={disk.path},id={disk.serial},format=raw,if=none,cache=writeback"),
        *("-device", f"{kind},drive={disk.serial},serial={disk.serial[:20]}"),
    )


def _wired(wire: Wire) -> Sequence[str]:
    there, here = f"127.0.0.1:{wire.theirs}", f"127.0.0.1:{wire.ours}"
    # All machines would bear the same address else.
    mac = f"52:54:00:00:{wire.ours >> 8:02x}:{wire.ours & 255:02x}"
    return (
        *("-netdev", f"socket,id={wire.name},udp={there},localaddr={here}"),
        *("-device", f"virtio-net-pci,netdev={wire.name},mac={mac}"),
    )


def accelerators(device: Path = KVM) -> Sequence[str]:
    """Return what to try, in this order."""
    return ("kvm", "tcg") if os.access(device, os.R_OK | os.W_OK) else ("tcg",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A machine that has booted."""

    channel: Channel
    accelerator: str
    pid: int
    folder: Path

    def order(self, words: str) -> None:
        """Give an order to QEMU's monitor, and wait until it was carried out."""
        with socket.socket(socket.AF_UNIX) as wire:
            wire.settimeout(30)
            wire.connect(str(self.folder / "monitor"))
            _until_prompt(wire)
            wire.sendall(f"{words}\n".encode())
            _until_prompt(wire)


def _until_prompt(wire: socket.socket) -> None:
    said = b""
    while not said.endswith(b"(qemu) "):
        said += wire.recv(4096)


@contextlib.contextmanager
def booted(
    machine: Machine, tell: Tell, logs: Path, which: Sequence[str] = ()
) -> Iterator[Running]:
    """Boot the machine with the first accelerator that works; it ends with the block.

    What it and QEMU said lies in *logs* afterwards, and while it runs.
    """
    *attempts, last = which or accelerators()
    for accelerator in attempts:
        try:
            with _started(machine, accelerator, KVM_SECONDS, tell, logs) as running:
                yield running
                return
        except _BootError as error:
            why = str(error).splitlines()[-1].strip()
            tell(f"   with {accelerator} it does not start here ({why}); emulating the processor")
    with _started(machine, last, BOOT_SECONDS, tell, logs) as running:
        yield running


class _BootError(SilentError):
    """The machine did not come up."""


@contextlib.contextmanager
def _started(
    machine: Machine, accelerator: str, seconds: float, tell: Tell, logs: Path
) -> Iterator[Running]:
    # The channel's socket needs a short path; the logs are links to where they are kept.
    with tempfile.TemporaryDirectory(prefix="clusterous-vm-") as name:
        folder = Path(name)
        for log in LOGS:
            (logs / log).write_bytes(b"")
            (folder / log).symlink_to(logs.resolve() / log)
        words = argv(machine, folder=folder, accelerator=accelerator)
        with _process(words, folder / "qemu.log") as process:
            wire = _await_boot(process, folder, seconds, tell)
            yield Running(channel=wire, accelerator=accelerator, pid=process.pid, folder=folder)


def _await_boot(
    process: "subprocess.Popen[bytes]", folder: Path, seconds: float, tell: Tell
) -> Channel:
    def is_alive() -> bool:
        return process.poll() is None

    try:
        wire = channel.connect(folder / "channel", is_alive=is_alive, tell=tell)
        try:
            wire.wait_until_ready(seconds)
        except SilentError:
            if not (is_alive() and (folder / CONSOLE).stat().st_size):
                raise
            wire.wait_until_ready(BOOT_SECONDS)  # it only takes its time
    except SilentError as error:
        raise _BootError(f"{error}{_last_words(folder)}") from error
    return wire


def _last_words(folder: Path) -> str:
    """Return what QEMU said at its end, and the last lines of the machine's console."""
    lines = [
        line
        for file in (folder / "qemu.log", folder / CONSOLE)
        if file.exists()
        for line in file.read_text(errors="replace").splitlines()[-5:]
    ]
    return "".join(f"\n  {line}" for line in lines)


@contextlib.contextmanager
def _process(words: Sequence[str], log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    with log.open("wb") as file:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()

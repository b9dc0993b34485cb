"""The README's promise, kept on another machine: a fresh Debian, a clean clone, `make demo`."""

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.region.parts.cache import Tell
from tests.vm import qemu
from tests.vm.channel import Channel
from tests.vm.luggage import ROOT

REPORT: Final = ROOT / "build/fresh.json"
CLONE: Final = "/root/clusterous"
# How long nothing may be said: patience is with silence, never with slowness. Emulated, on two
# processors that nobody else uses, the demo takes the better part of an hour.
DEMO_SILENCE: Final = 3600.0
STEP_SILENCE: Final = 1800.0
# What is kept of a run: the demo's words with their time; the machine's console, with its journal,
# load and what that is; and of a run that failed the whole journal and what the demo gathered.
LOGS: Final = ROOT / "build/vm"
LAST_LINES: Final = 60

# What comes with a machine from a shop: Go, and a way to Debian's packages and to Python's.
_UNPACK: Final = """\
set -e
mkdir -p /root/.cache && mount /dev/nvme1n1 /root/.cache
ln -s /root/.cache/go /usr/local/go
"""
# Without a network: Debian's packages and Python's are those on the disks, and there are no others.
_OFFLINE: Final = """\
echo 'deb [trusted=yes] file:/srv/packages ./' >/etc/apt/sources.list
printf '[global]\\nno-index = true\\nfind-links = /root/.cache/wheels\\n' >/etc/pip.conf
"""
# QEMU's own router and name server, and whom the machine outside trusts.
_ONLINE: Final = """\
for attempt in $(seq 120); do
    [ ! -e /sys/class/net/eth0 ] || break
    sleep 0.5
done
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
echo nameserver 10.0.2.3 >/etc/resolv.conf
trusted=/etc/ssl/certs/ca-certificates.crt
[ ! -e /root/.cache/ca-certificates.crt ] || cp /root/.cache/ca-certificates.crt $trusted
printf '[global]\\nfind-links = /root/.cache/wheels\\ncert = %s\\n' $trusted >/etc/pip.conf
"""
_LOAD: Final = """\
while sleep 60; do
    echo "$(date +%T) load $(cut -d' ' -f1-3 /proc/loadavg), $(grep MemAvailable: /proc/meminfo)"
    top -b -n 1 -w 160 | sed -n '3p;8,13p'
done >/dev/console 2>&1 &
"""
# Emulated, the computation alone is half an hour; a third of it shows the same.
_DEMO: Final = (
    f"{_LOAD}. /root/.cache/way.sh; cd {CLONE} && make demo DEMO='--jobs 100';"
    " code=$?; kill $!; exit $code"
)
# Lines of base64, so that a serial port carries it.
_EVIDENCE: Final = f"""\
mkdir -p {CLONE}/build/evidence
journalctl --boot --no-pager >{CLONE}/build/evidence/journal.log
tar --create --gzip --directory={CLONE}/build evidence | base64
"""
_LOOK: Final = """\
. /etc/os-release; echo "os=$PRETTY_NAME $(cat /etc/debian_version)"
echo "kernel=$(uname -r)"
echo "cgroups=$(stat --file-system --format=%T /sys/fs/cgroup)"
echo "controllers=$(cat /sys/fs/cgroup/cgroup.controllers)"
echo "systemd=$(systemctl --version | head -1)"
echo "python=$(python3 -c 'import platform; print(platform.python_version())')"
echo "go=$(go env GOVERSION)"
echo "cpus=$(nproc)"
echo "memory_mib=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)"
"""


class StepError(Exception):
    """A step on the way to the demo failed; the message has its last words."""


@dataclass(slots=True)
class Run:
    """What was seen so far, to be told as JSON whatever happens."""

    tell: Tell
    seconds: dict[str, float] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)
    accelerator: str = ""
    exit_code: int | None = None
    printed: list[str] = field(default_factory=list)
    demo: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    at: str = ""  # the step that it is at, or ended at
    keep: Callable[[], None] = lambda: None  # write down how far it is: who kills us says nothing
    log: Path | None = None
    began: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        self.tell(f"── {title}")
        began, self.at = time.monotonic(), name
        self.keep()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - began, 1)
            self.keep()

    def hear(self, line: str) -> None:
        """Take a line of the demo."""
        self.printed.append(line)
        if self.log:
            with self.log.open("a") as log:
                log.write(f"{time.monotonic() - self.began:7.0f} s  {line}\n")
        self.tell(line)


def in_machine(run: Run, machine: qemu.Machine) -> None:
    """Boot *machine*, clone into it, run the demo there; *run* keeps what was seen."""
    LOGS.mkdir(parents=True, exist_ok=True)
    run.log = LOGS / "demo.log"
    run.log.write_text("")
    with ExitStack() as stack:
        with run.step("boot", "booting Debian 12 with its own kernel"):
            running = stack.enter_context(qemu.booted(machine, run.tell, LOGS))
        run.accelerator = running.accelerator
        way = _ONLINE if machine.has_network else _OFFLINE
        with run.step("clone", "a clean clone"):
            _do(
                running.channel, f"{_UNPACK}{way}git clone --quiet .cache/clusterous.git clusterous"
            )
        run.machine = facts(_do(running.channel, _LOOK))
        run.tell("   " + ", ".join(f"{name} {words}" for name, words in run.machine.items()))
        with run.step("demo", "make demo"):
            run.exit_code = running.channel.run(_DEMO, silence=DEMO_SILENCE, hear=run.hear)
        run.demo = _demo(running.channel)
        if run.exit_code:
            with run.step("evidence", "what the machine has to say about it"):
                _fetch_evidence(running.channel, LOGS / "evidence.tar.gz")
                run.tell(f"   {LOGS.relative_to(ROOT)} has it")


def _fetch_evidence(wire: Channel, target: Path) -> None:
    said: list[str] = []
    wire.run(_EVIDENCE, silence=STEP_SILENCE, hear=said.append)
    target.write_bytes(base64.b64decode("".join(said)))


def _do(wire: Channel, command: str) -> list[str]:
    """Run a step that says little; return what it said."""
    said: list[str] = []
    code = wire.run(command, silence=STEP_SILENCE, hear=said.append)
    if code:
        words = "\n".join(said[-10:])
        raise StepError(f"a command in the machine ended with {code}:\n{words}")
    return said


def facts(lines: Sequence[str]) -> dict[str, str]:
    """Return `name=words` lines as a mapping."""
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name: words for name, _, words in pairs}


def _demo(wire: Channel) -> dict[str, Any]:
    """Return the report that the demo wrote, {} if it came to none."""
    said: list[str] = []
    code = wire.run(f"cat {CLONE}/build/demo.json", silence=STEP_SILENCE, hear=said.append)
    found: dict[str, Any] = json.loads("\n".join(said)) if code == 0 else {}
    return found


def report(run: Run, *, commit: str, missing: Sequence[str]) -> dict[str, Any]:
    """Return what build/fresh.json says."""
    return {
        "ok": run.exit_code == 0 and not run.error,
        "error": run.error,
        "at": run.at,
        "exit_code": run.exit_code,
        "commit": commit,
        "accelerator": run.accelerator,
        "machine": run.machine,
        "seconds": run.seconds,
        "built_inside": list(missing),
        "demo": run.demo,
        "printed_last": run.printed[-LAST_LINES:],
    }


def head() -> str:
    """Return the commit that is cloned."""
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def write(found: dict[str, Any], path: Path = REPORT) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")

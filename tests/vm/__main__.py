"""`python -m tests.vm fresh|demo|volumes`: virtual machines with Debian's own kernel.

`fresh` proves that a fresh machine and a clean clone are enough, and writes build/fresh.json.
`demo` is the way for who has no rights on the machine: QEMU is an ordinary program.
`volumes` is a shared volume's life, in several of them (volumes.py); CASE names what to run of it.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Final

import click

from tests.host import facts
from tests.region.parts import cache, host
from tests.vm import fresh, image, luggage, qemu, volumes
from tests.vm.channel import SilentError

BUILD: Final = luggage.ROOT / "build"
_TROUBLES: Final = (
    cache.BuildError,
    fresh.StepError,
    host.MissingToolsError,
    luggage.UncommittedError,
    OSError,
    SilentError,
    subprocess.CalledProcessError,
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("what", type=click.Choice(["fresh", "demo", "volumes"]))
@click.argument("cases", nargs=-1, type=click.Choice([one.__name__ for one in volumes.CASES]))
def main(what: str, cases: tuple[str, ...]) -> None:
    """Run the demo, or a volume's life, in virtual machines with a kernel of their own."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    if what == "volumes":
        sys.exit(volumes.main(click.echo, cases))
    run = fresh.Run(tell=click.echo)
    missing: list[str] = []
    commit = fresh.head()
    if what == "fresh":
        run.keep = lambda: fresh.write(fresh.report(run, commit=commit, missing=missing))
    try:
        _whole(run, missing)
    except _TROUBLES as error:
        run.error = str(error)
        click.echo(f"✗ at {run.at}: {error}", err=True)
    except SystemExit:
        run.error = "it was ended from outside"
        run.keep()
        raise
    found = fresh.report(run, commit=commit, missing=missing)
    if what == "fresh":
        fresh.write(found)
        click.echo("build/fresh.json has what was seen, build/vm what was said")
    elif run.demo:
        fresh.write(run.demo, BUILD / "demo.json")
    sys.exit(0 if found["ok"] else 1)


def _whole(run: fresh.Run, missing: list[str]) -> None:
    luggage.require_committed()  # said before anything is built
    host.ensure(run.tell, image.tools(is_root=os.geteuid() == 0))
    with run.step("image", "Debian's disk"):
        disk = image.ensure(run.tell)
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="vm-") as name:
        with run.step("luggage", "what is handed in"):
            packed = luggage.pack(Path(name), run.tell)
        missing += packed.missing
        if missing:
            run.tell(f"   to be built inside, over the network: {', '.join(missing)}")
        machine = qemu.Machine(
            image=disk,
            luggage=packed.disk,
            cpus=min(os.cpu_count() or 1, 2),
            memory_mib=qemu.memory_mib(facts.gather().memory_mib),
            has_network=bool(missing),
        )
        fresh.in_machine(run, machine)


def _end(number: int, frame: FrameType | None) -> None:
    """Unwind, so that the machine and its folders go, too."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()

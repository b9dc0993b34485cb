"""`python -m tests.region up|status|shell|demo|down [--name NAME]`: a region to try things in."""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import click

from tests.region import audit
from tests.region.net import netns
from tests.region.places import DEFAULT_NAME, Places
from tests.region.region import Region, RegionError

_HOW: Final = """\
The region {name} is up: an empty AWS account, and the internet around it.
  {me} shell{option}                    be the person at the laptop, who has the keys
  {me} shell{option} clusterous plan    run one command there
  {me} status{option}                   machines, namespaces, calls to AWS
  {me} down{option}                     remove everything"""

_name = click.option(
    "--name", default=DEFAULT_NAME, show_default=True, help="Several regions have several names."
)
_bare = click.option(
    "--bare", is_flag=True, help="Only AWS and the network: no machines, nothing is built."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """An AWS region of our own, on this computer."""


@main.command()
@_name
@_bare
def up(name: str, bare: bool) -> None:
    """Bring the region up; what it is made of is built first, if it is not there yet."""
    began = time.monotonic()
    if Region(name).up(tell=_tell, bare=bare):
        _tell(f"up after {time.monotonic() - began:.1f} s")
    else:
        _tell(f"The region {name} was up already.")
    option = "" if name == DEFAULT_NAME else f" --name {name}"
    click.echo(_HOW.format(name=name, me="python -m tests.region", option=option))


@main.command()
@_name
def down(name: str) -> None:
    """Remove the region, whatever state it is in."""
    Region(name).down(tell=_tell)
    click.echo(f"Nothing is left of the region {name}.")


@main.command()
@_name
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def status(name: str, output: str) -> None:
    """Show what is in the region."""
    found = _status(Region(name))
    click.echo(json.dumps(found, indent=2) if output == "json" else _as_text(found))


# Options after COMMAND are the command's own.
@main.command(context_settings={"allow_interspersed_args": False})
@_name
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def shell(name: str, command: tuple[str, ...]) -> None:
    """Run COMMAND, or a shell, as the person at the laptop."""
    argv = command or (os.environ.get("SHELL", "/bin/sh"),)
    Region(name).laptop_become(argv)


@main.command()
@_name
@click.option("--keep", is_flag=True, help="Leave the region up at the end.")
@click.option(
    "--jobs",
    type=click.Choice(["300", "100"]),
    default="300",
    show_default=True,
    help="How many jobs the program computes.",
)
def demo(name: str, keep: bool, jobs: str) -> None:
    """Create a cluster, run a program on it, fetch the result, destroy everything."""
    from tests.region import demo as story

    sys.exit(story.main(name, keep=keep, jobs=int(jobs)))


@main.command(hidden=True)
@_name
@_bare
@click.option("--owner", type=int, help="The process with which it goes.")
def serve(name: str, bare: bool, owner: int | None) -> None:
    """Be the daemon; `up` starts this."""
    from tests.region import daemon

    daemon.serve(Places(name=name), bare=bare, owner=owner)


def _status(where: Region) -> dict[str, Any]:
    if not where.is_up():
        return {"name": where.name, "up": False, "left": audit.host(where.places)}
    return {
        "name": where.name,
        "up": True,
        "pid": where.facts()["pid"],
        "seconds": round(time.time() - where.facts()["started"]),
        "machines": [_machine(each) for each in where.instances()],
        "namespaces": netns.names(where.places.prefix),
        "calls": len(where.aws_log()),
        "log": str(where.places.log),
    }


def _machine(instance: dict[str, Any]) -> dict[str, Any]:
    shown = ("id", "state", "instance_type", "private_ip", "public_ip", "pid")
    return {"name": instance["tags"].get("Name", ""), **{key: instance[key] for key in shown}}


def _as_text(found: dict[str, Any]) -> str:
    if not found["up"]:
        left = "".join(f"\n  left: {line}" for line in found["left"])
        return f"The region {found['name']} is not up.{left}"
    lines = [
        f"region {found['name']}, up for {found['seconds']} s, process {found['pid']}",
        f"calls to AWS  {found['calls']}",
        f"namespaces    {' '.join(found['namespaces'])}",
        f"log           {found['log']}",
        *(_machine_line(each) for each in found["machines"]),
    ]
    return "\n".join(lines)


def _machine_line(machine: dict[str, Any]) -> str:
    shown = (machine[key] or "-" for key in ("id", "state", "instance_type", "private_ip"))
    return "  ".join([*map(str, shown), machine["public_ip"] or "", machine["name"]]).rstrip()


def _tell(line: str) -> None:
    click.echo(line, err=True)


def run(command: Callable[[], None]) -> None:
    try:
        command()
    except RegionError as error:
        _tell(str(error))
        sys.exit(1)


if __name__ == "__main__":
    run(main)

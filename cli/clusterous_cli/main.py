"""The click group, and the boundary where our errors become exit codes."""

import io
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from clusterous_api.errors import ClusterousError
from clusterous_cli.commands import completing
from clusterous_cli.system import private, signals
from clusterous_cli.terminal import options, spell

# Name → (section of the help, one line of help). A command's module is imported when it is called
# (its function is called `command`), so that `--help` imports nothing heavy.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "doctor": ("Clusters", "Check what a cluster needs before it is made."),
    "plan": ("Clusters", "Show what create would do, and what it would cost."),
    "create": ("Clusters", "Create a cluster, or finish and mend one."),
    "status": ("Clusters", "Show the cluster's machines, programs and cost."),
    "workon": ("Clusters", "Choose the cluster that commands are about."),
    "add-nodes": ("Clusters", "Add machines to a pool of workers."),
    "rm-nodes": ("Clusters", "Drain machines, and remove them."),
    "snapshot": ("Clusters", "Save what Kubernetes knows, and begin with it again."),
    "destroy": ("Clusters", "Remove the cluster and everything that costs money."),
    "audit": ("Clusters", "Show which calls changed the cluster, when and by whom."),
    "schema": ("Clusters", "Print the JSON Schema of the cluster file, for editors."),
    "volume": ("Volumes", "Grow the shared volume, take a snapshot of it, restore one."),
    "ls-volumes": ("Volumes", "List volumes and snapshots: used, kept, and left."),
    "rm-volume": ("Volumes", "Delete a volume or snapshot that was kept."),
    "run": ("Programs", "Run a program on the cluster."),
    "convert": ("Programs", "Write the ClusterousApp that an environment file becomes."),
    "quit": ("Programs", "End programs; the cluster stays."),
    "build-image": ("Programs", "Build an image of a folder, and push it."),
    "image": ("Programs", "List images, and remove those that nobody uses."),
    "image-info": ("Programs", "Show what an image is (the same as image info)."),
    "connect": ("Programs", "Open the pages that a running program exposes."),
    "shell": ("Programs", "Open a shell in a component's container."),
    "logging": ("Programs", "Search what programs said, in a web page; turn that on and off."),
    "logs": ("Programs", "Show what a running program's containers say."),
    "cp": ("Programs", "Copy files to and from a container's own disk."),
    "scale": ("Programs", "Change how many workers there are."),
    "restart": ("Programs", "Let a program's pods begin anew."),
    "suspend": ("Programs", "End what runs of a program, and keep it."),
    "resume": ("Programs", "Let a suspended program run again."),
    "put": ("Files", "Copy files to the shared volume."),
    "get": ("Files", "Copy files from the shared volume."),
    "ls": ("Files", "List what is on the shared volume."),
    "du": ("Files", "Show what takes how much of the shared volume."),
    "rm": ("Files", "Delete files and folders of the shared volume."),
    "setup": ("Settings", "Set this machine up: account, region, bucket."),
    "profile": ("Settings", "Choose a configuration profile."),
    "kubectl": ("Kubernetes", "Run kubectl against the cluster."),
    "credential": ("Kubernetes", "Answer kubectl's request for credentials (used by kubeconfig)."),
    "completion": ("Shell", "Print the completion script for bash, zsh or fish."),
}
# No module is called like one of Python's own.
MODULES: Final = {"logging": "centrallogging", "profile": "profiles"}
# What Python calls the kind of operating system.
SYSTEM: Final[str] = os.name
HIDDEN: Final = frozenset({"credential"})

HELP: Final = """Private clusters in AWS for master/worker programs.

\b
A first quarter of an hour:
  clusterous plan   reef.yaml     what would be created, and its price per hour
  clusterous create reef.yaml     about three minutes
  clusterous run    program.yaml  builds the image, starts master and workers
  clusterous get    results/ .    brings the results here
  clusterous destroy              nothing is left that costs money

\b
The smallest reef.yaml:
  name: reef
  workers:
    count: 2

Data goes to stdout (-o json for programs), everything else to stderr. Exit codes: 0 done, 1 failed,
2 wrong usage, 3 something left behind, 4 changes pending (plan), 75 try again.
"""


class LazyGroup(click.Group):
    """A group that imports a command when it is called, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = MODULES.get(cmd_name, cmd_name.replace("-", "_"))
        command = import_module(f"clusterous_cli.commands.{module}").command
        assert isinstance(command, click.Command)
        command.name = cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(unknown(args[0]))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections = dict.fromkeys(section for section, _ in COMMANDS.values())
        for section in sections:
            rows = [
                (name, line)
                for name, (where, line) in COMMANDS.items()
                if where == section and name not in HIDDEN
            ]
            with formatter.section(section):
                formatter.write_dl(rows)


def unknown(name: str) -> str:
    """Say that *name* is no command, and which one is near."""
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=1)
    more = f" Did you mean {near[0]}?" if near else " clusterous --help lists them."
    return f"There is no command {name!r}.{more}"


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"clusterous {version('clusterous')}")
    ctx.exit()


@click.group(cls=LazyGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Hold the commands."""


cli.params[:0] = options.shared()
options.COMPLETE.update(cluster=completing.clusters, profile=completing.profiles)


def main(argv: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(argv))


def run(argv: list[str] | None = None) -> int:
    """Run the command line; our errors become one message and an exit code."""
    if SYSTEM != "posix":
        return _told("Clusterous runs on Linux and macOS; on Windows, in WSL.", 2)
    _fill_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an old locale's lack of ✓ is no error
    with signals.as_interrupts() as received:
        code = _run(argv)
    return 128 + received[0] if received else code


def _fill_streams() -> None:
    """Have all three streams: who starts us may have closed some (`<&-`, a daemon).

    What is opened next would get the number of one, and what is said would go there: to AWS, say.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _run(argv: list[str] | None) -> int:
    try:
        result: Any = cli.main(args=argv, prog_name="clusterous", standalone_mode=False)
    except ClusterousError as error:
        return _told(str(error), error.exit_code)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _told("Stopped.", 130)
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except OSError as error:
        return _told(of_the_system(error), 2)
    return result if isinstance(result, int) else 0


def of_the_system(error: OSError) -> str:
    """Say what the operating system refused: of which file, and what may help."""
    words = error.strerror or str(error) or type(error).__name__
    if not isinstance(error.filename, str | bytes):
        return f"{words}."
    path = os.fsdecode(error.filename)
    return f"{path}: {words}.{_help_with(path)}"


def _help_with(path: str) -> str:
    try:
        ours = Path(path).absolute().is_relative_to(private.home().absolute())
    except (ClusterousError, OSError):
        return ""
    if not ours:
        return ""
    return (
        " What clusters need on this machine is kept there; CLUSTEROUS_HOME names another folder."
    )


def _told(message: str, code: int) -> int:
    click.echo(spell.plain(f"✗ {message}"), err=True)
    return code


if __name__ == "__main__":
    main()

"""Options that every command shares: read before or after the command's name, kept as one value."""

import math
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, Final, TypeVar

import click

from clusterous_api.errors import UserError
from clusterous_cli.system import verbosity

META: Final = "clusterous_cli.terminal.options"
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the shared options and the environment say."""

    output: str = "table"
    quiet: bool = False
    color: bool = True
    yes: bool = False
    cluster: str | None = None
    region: str | None = None
    profile: str | None = None
    break_lock: bool = False
    verbose: bool = False


def check_said(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Refuse a word that is empty: a variable of a script that was not set, and names nothing.

    Taken for *none was given*, `destroy "$NAME"` would remove the only cluster there is. A default
    may be empty.
    """
    if ctx.resilient_parsing or param.type is click.UNPROCESSED or not _is_said(ctx, param):
        return
    if "" in (value if isinstance(value, tuple) else (value,)):
        is_argument = isinstance(param, click.Argument)
        called = param.human_readable_name if is_argument else max(param.opts, key=len)
        raise UserError(f"{called} is empty. Is a variable of your script not set?")


def _is_said(ctx: click.Context, param: click.Parameter) -> bool:
    source = ctx.get_parameter_source(param.name or "")
    return source not in (None, click.core.ParameterSource.DEFAULT)


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    check_said(ctx, param, value)
    if _is_said(ctx, param):
        ctx.meta.setdefault(META, {})[param.name] = value


def _option(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_remember, **attributes)


# Who knows what TAB offers for the value of a shared option: rooms above this one.
COMPLETE: Final[dict[str, Callable[..., list[Any]]]] = {}


def _offered(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    find = COMPLETE.get(param.name or "")
    return find(ctx, param, incomplete) if find else []


def shared() -> list[click.Parameter]:
    """Return the options that the group and each command take."""
    return [
        _option(
            "--cluster",
            metavar="NAME",
            envvar="CLUSTEROUS_CLUSTER",
            help="Which cluster.",
            shell_complete=_offered,
        ),
        _option("--region", metavar="REGION", help="AWS region; default: as the AWS tools."),
        _option(
            "--profile",
            metavar="NAME",
            help="AWS profile; default: as the AWS tools.",
            shell_complete=_offered,
        ),
        _option(
            "-o",
            "--output",
            type=click.Choice(["table", "json", "yaml"]),
            help="Form of the data on stdout.",
        ),
        _option("-v", "--verbose", is_flag=True, help="Say which programs and calls are used."),
        _option("-q", "--quiet", is_flag=True, help="Say nothing but results and errors."),
        _option("--no-color", is_flag=True, help="No colours (also: NO_COLOR)."),
        _option("-y", "--yes", is_flag=True, help="Answer yes to every question."),
    ]


class Finite(click.FloatRange):
    """A number that something can be reckoned with, which neither `nan` nor `inf` is."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number of anything.", param, ctx)
        return number


operator_image = click.option(
    "--operator-image",
    metavar="FILE|REFERENCE",
    help="The operator's image: an archive (docker save), or a name in a public registry.",
)


break_lock = click.option(
    "--break-lock",
    is_flag=True,
    expose_value=False,
    callback=_remember,
    help="Take the lock from whoever changes the cluster now; that work stops.",
)


class Command(click.Command):
    """A command that also takes the shared options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(shared())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        for one in self.params:
            check_said(ctx, one, ctx.params.get(one.name or ""))
        return rest


class Group(click.Group):
    """A command of several verbs, which take the shared options, as it does itself."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(shared())


def settings(ctx: click.Context) -> Settings:
    """Gather what the shared options said, wherever on the line they stood."""
    given = dict(ctx.meta.get(META, {}))
    plain = given.pop("no_color", False) or bool(os.environ.get("NO_COLOR"))
    if given.get("verbose"):
        verbosity.on()
    return Settings(color=not plain, **given)


def running() -> str:
    """Return what was typed, without its options: they may hold what is nobody else's business."""
    return click.get_current_context().command_path


# What says how a command asks and tells, or is named otherwise: what goes on need not say it again.
MANNERS: Final = frozenset(
    {"output", "verbose", "quiet", "no_color", "yes", "confirm", "break_lock", "cluster", "help"}
)


def also(*leave: str) -> str:
    """Return the options that were typed, each behind a space, for the command that goes on.

    Without them it would be about something else: what was to be kept would be removed. Left out
    are those that *leave* names, and how it asks and tells.
    """
    ctx = click.get_current_context()
    typed = click.core.ParameterSource.COMMANDLINE
    given: list[tuple[click.Parameter, Any]] = [
        (one, ctx.params[str(one.name)])
        for one in ctx.command.params
        if one.name in ctx.params and ctx.get_parameter_source(str(one.name)) is typed
    ]
    given += [
        (one, ctx.meta[META][one.name]) for one in shared() if one.name in ctx.meta.get(META, {})
    ]
    return "".join(
        f" {word}"
        for one, value in given
        if isinstance(one, click.Option) and one.name not in {*MANNERS, *leave}
        for word in _typed(one, value)
    )


def _typed(option: click.Option, value: Any) -> list[str]:
    name = max(option.opts, key=len)
    if option.is_flag:
        return [name] if value else list(option.secondary_opts)
    values = value if option.multiple else [value]
    return [word for one in values for word in (name, shlex.quote(str(one)))]


def with_settings(function: Callable[..., R]) -> Callable[..., R]:
    """Pass the Settings as first argument to a command's function."""

    def call(*args: Any, **kwargs: Any) -> R:
        return function(settings(click.get_current_context()), *args, **kwargs)

    return update_wrapper(call, function)

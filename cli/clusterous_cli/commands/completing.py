"""What TAB offers: clusters, apps, components, paths on the volume.

It is quick and says nothing, whatever is wrong: what cannot be known at once is not offered.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from clusterous_cli.commands import kept
from clusterous_cli.terminal import options

# With Python's own start it is less than a second.
SECONDS: Final = 0.7


def quickly(find: Callable[[], Sequence[str]]) -> list[str]:
    """What *find* finds in time; nothing if it fails."""
    found: list[str] = []

    def run() -> None:
        try:
            found.extend(find())
        except Exception:  # a traceback in the midst of a line helps nobody
            return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return [] if thread.is_alive() else list(found)


def beginning(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Those of *names* that begin so, each once."""
    return [CompletionItem(one) for one in dict.fromkeys(names) if one.startswith(incomplete)]


def clusters(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The clusters that this machine knows."""

    def find() -> list[str]:
        from clusterous_cli.cluster import local

        return [one.who.name for one in local.known()]

    return beginning(quickly(find), incomplete)


def profiles(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """AWS's profiles, and the configuration profiles."""

    def find() -> list[str]:
        from clusterous_cli.aws import profiles as known

        return sorted({*known.of_aws(), *known.read().all})

    return beginning(quickly(find), incomplete)


def own_profiles(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The configuration profiles."""

    def find() -> list[str]:
        from clusterous_cli.aws import profiles as known

        return sorted(known.read().all)

    return beginning(quickly(find), incomplete)


def apps(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The apps of the cluster."""
    return beginning(quickly(lambda: _apps(_bodies(ctx))), incomplete)


def components(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The apps and their components; after an app, its components."""
    words = ctx.params.get(param.name or "") or ()

    def find() -> list[str]:
        bodies = _bodies(ctx)
        before = str(words[0]) if words else None
        return [*([] if before else _apps(bodies)), *_components(bodies, before)]

    return [] if len(words) > 1 else beginning(quickly(find), incomplete)


def apps_and_components(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """What `connect` opens by one word."""

    def find() -> list[str]:
        bodies = _bodies(ctx)
        return [*_apps(bodies), *_components(bodies, None)]

    return beginning(quickly(find), incomplete)


def components_of_app(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The components of the app that was named."""
    return beginning(quickly(lambda: _components(_bodies(ctx), ctx.params.get("app"))), incomplete)


def on_volume(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What is on the shared volume."""
    return beginning(quickly(lambda: _paths(ctx, incomplete)), incomplete)


def put_paths(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files here, and after the first what is on the volume, too."""
    first = not ctx.params.get(param.name or "")
    return [_file(incomplete), *([] if first else on_volume(ctx, param, incomplete))]


def get_paths(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What is on the volume, and after the first files here, too."""
    first = not ctx.params.get(param.name or "")
    return [*([] if first else [_file(incomplete)]), *on_volume(ctx, param, incomplete)]


def container_paths(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Components, with the colon that a path of theirs comes after, and files here."""
    found = quickly(lambda: [f"{one}:" for one in _components(_bodies(ctx), None)])
    return [_file(incomplete), *beginning(found, incomplete)]


def _file(incomplete: str) -> CompletionItem:
    """Let the shell offer files. It comes first: bash forgets what came before."""
    return CompletionItem(incomplete, type="file")


# -- where it is known ------------------------------------------------------------------------


def _bodies(ctx: click.Context) -> list[dict[str, Any]]:
    from clusterous_cli.reach import warm

    found = kept.home(_named(ctx))
    return warm.apps(found) if found else []


def _paths(ctx: click.Context, incomplete: str) -> list[str]:
    from clusterous_api import names
    from clusterous_cli.reach import warm

    found = kept.home(_named(ctx))
    if found is None:
        return []
    above, slash, _ = incomplete.rpartition("/")
    folder = above if above.startswith("/") else f"{names.VOLUME_PATH}/{above}"
    if ".." in folder.split("/") or not f"{folder}/".startswith(f"{names.VOLUME_PATH}/"):
        return []
    return [f"{above}{slash}{one}" for one in warm.names_in(found, folder)]


def _named(ctx: click.Context) -> str | None:
    given = ctx.meta.get(options.META, {}).get("cluster")
    return str(given) if given else None


def _apps(bodies: Sequence[dict[str, Any]]) -> list[str]:
    return sorted(one["metadata"]["name"] for one in bodies)


def _components(bodies: Sequence[dict[str, Any]], app: object) -> list[str]:
    from clusterous_cli.program.running import parts

    found = parts.parts(bodies)
    return [one.name for one in (parts.of(found, str(app)) if app else found)]

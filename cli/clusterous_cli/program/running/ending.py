"""The end of programs: removed, or suspended until `run` brings them back."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from clusterous_api import names
from clusterous_cli.program.apps import AppState
from clusterous_cli.reach.kube import Api, apps_path, pods_path

# As long as the predecessor waited. What ends later does so by itself.
SECONDS: Final = 60.0
POLL_SECONDS: Final = 1.0


def end(api: Api, app: AppState, *, keep: bool) -> None:
    """Let *app* end: all that runs of it. With *keep* it stays known, and can be resumed."""
    path = apps_path(app.namespace, app.name)
    if keep:
        api.merge(path, {"spec": {"suspend": True}})
    else:
        api.delete(path)


def await_end(
    api: Api,
    apps: Sequence[AppState],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Wait until nothing runs of *apps* any more; return how many pods still end."""
    last = clock() + SECONDS
    while True:
        left = sum(len(pods(api, app)) for app in apps)
        if not left or clock() >= last:
            return left
        sleep(POLL_SECONDS)


def pods(api: Api, app: AppState) -> list[dict[str, object]]:
    """The pods of *app* that have not ended."""
    return [
        pod
        for pod in api.items(pods_path(app.namespace, {names.LABEL_APP: app.name}))
        if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
    ]

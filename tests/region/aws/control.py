"""Our own path `/_region/…`: faults, settings and the log, for tests in any process."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.region.aws import faults, settings
from tests.region.aws.log import as_json

if TYPE_CHECKING:
    from tests.region.aws.server import AwsServer


class Control:
    def __init__(self, server: AwsServer) -> None:
        self._server = server
        self._routes: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("GET", "log"): lambda _: [as_json(call) for call in server.log()],
            ("GET", "told"): lambda _: [
                dataclasses.asdict(told) for told in server.world.log.told()
            ],
            ("DELETE", "log"): lambda _: server.world.log.clear(),
            ("GET", "faults"): lambda _: [dataclasses.asdict(f) for f in server.world.faults.all()],
            ("POST", "faults"): self._add_faults,
            ("DELETE", "faults"): lambda _: server.world.faults.clear(),
            ("GET", "config"): lambda _: dataclasses.asdict(server.world.settings),
            ("POST", "config"): self._configure,
            ("POST", "reset"): lambda _: server.reset(),
            ("GET", "leftovers"): lambda _: server.leftovers(),
            ("GET", "snapshot"): lambda _: _plain(dataclasses.asdict(server.snapshot())),
        }

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        route = self._routes.get((method, path.removeprefix("/_region/").strip("/")))
        if route is None:
            return 404, {"error": f"no such control: {method} {path}"}
        try:
            return 200, route(json.loads(body) if body else {})
        except (KeyError, ValueError, TypeError) as error:
            return 400, {"error": str(error)}

    def _add_faults(self, value: Any) -> None:
        for each in value if isinstance(value, list) else [value]:
            self._server.world.faults.add(faults.parse(each))

    def _configure(self, value: Any) -> dict[str, Any]:
        world = self._server.world
        world.settings = settings.changed(world.settings, value)
        return dataclasses.asdict(world.settings)


def _plain(value: Any) -> Any:
    """Return *value* with bytes as text, so that it can be JSON."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.decode("latin-1") if isinstance(value, bytes) else value

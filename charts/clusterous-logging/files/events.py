"""Says each of Kubernetes' events as one line of JSON, for the collector of its node to find.

One reader for the whole cluster: if each node's collector read them, each event would be there as
often as there are nodes. How far it came stands in a ConfigMap, so that another pod goes on there;
one that is killed may say the last seconds again. It takes Python alone.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SERVER = "https://kubernetes.default.svc"
EVENTS = "/api/v1/events"
STATE = "clusterous-logs-events"
KEY = "seen"
# How often it is written down how far it came, and for how long one watch lasts.
WRITE_SECONDS = 5.0
WATCH_SECONDS = 300
AGAIN_SECONDS = 2.0

Event = dict[str, Any]


def line(event: Event) -> str:
    """Return an occurrence of an event as the collectors read it."""
    about = event.get("involvedObject") or {}
    count = (event.get("series") or {}).get("count") or event.get("count") or 1
    said = {
        "message": f"{event.get('reason') or 'Event'}: {event.get('message') or ''}",
        "level": "warn" if event.get("type") == "Warning" else "info",
        "kind": about.get("kind"),
        "name": about.get("name"),
        "namespace": about.get("namespace"),
        "reason": event.get("reason"),
        "count": count,
    }
    return json.dumps({key: value for key, value in said.items() if value is not None})


def version(thing: Event) -> int:
    """Return the number of a thing's change; the API server counts upwards."""
    return int(thing["metadata"]["resourceVersion"])


class Server:
    """The API server, as the pod's account sees it."""

    def __init__(self, url: str, token: Path, context: ssl.SSLContext | None) -> None:
        self.url, self.token, self.context = url, token, context

    def open(self, path: str, method: str = "GET", body: Event | None = None) -> Any:
        """Ask; an answer that is no success raises HTTPError."""
        headers = {
            "Authorization": f"Bearer {self.token.read_text().strip()}",
            "Content-Type": "application/merge-patch+json"
            if method == "PATCH"
            else "application/json",
        }
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data, headers, method=method)
        return urllib.request.urlopen(asked, timeout=WATCH_SECONDS + 30, context=self.context)

    def read(self, path: str) -> Event:
        """Return what is at *path*."""
        with self.open(path) as answer:
            found: Event = json.load(answer)
        return found


class Memory:
    """How far it came: in a ConfigMap of its own namespace."""

    def __init__(self, server: Server, namespace: str) -> None:
        self.server = server
        self.space = f"/api/v1/namespaces/{namespace}/configmaps"
        self.seen = self._written = self._read()
        self._at = 0.0

    def _read(self) -> int:
        try:
            found = self.server.read(f"{self.space}/{STATE}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            body = {"metadata": {"name": STATE}, "data": {KEY: "0"}}
            self.server.open(self.space, "POST", body).close()
            return 0
        return int((found.get("data") or {}).get(KEY) or 0)

    def note(self, number: int, now: float) -> None:
        """Remember that all up to *number* was said; write it down now and then."""
        self.seen = max(self.seen, number)
        if self.seen > self._written and now - self._at >= WRITE_SECONDS:
            change = {"data": {KEY: str(self.seen)}}
            self.server.open(f"{self.space}/{STATE}", "PATCH", change).close()
            self._written, self._at = self.seen, now


def occurrences(server: Server, memory: Memory) -> Iterator[Event]:
    """Return what is new: first what there is, then what comes, until the watch ends."""
    there = server.read(EVENTS)
    for event in sorted(there.get("items", ()), key=version):
        if version(event) > memory.seen:
            yield event
    since = there["metadata"]["resourceVersion"]
    how = f"watch=true&resourceVersion={since}&timeoutSeconds={WATCH_SECONDS}"
    with server.open(f"{EVENTS}?{how}") as stream:
        for raw in stream:
            change = json.loads(raw)
            if change["type"] == "ERROR":  # what was seen is too long ago: all is asked anew
                return
            if change["type"] in ("ADDED", "MODIFIED") and version(change["object"]) > memory.seen:
                yield change["object"]


def follow(server: Server, memory: Memory) -> None:
    """Say what is new, until the watch ends."""
    for event in occurrences(server, memory):
        print(line(event), flush=True)
        memory.note(version(event), time.monotonic())


def main() -> None:
    """Go on for ever; a server that is away comes back."""
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    server = Server(SERVER, ACCOUNT / "token", context)
    memory: Memory | None = None
    while True:
        try:
            memory = memory or Memory(server, os.environ["POD_NAMESPACE"])
            follow(server, memory)
        except (OSError, ValueError) as error:
            print(f"events are not read: {error}", file=sys.stderr, flush=True)
            time.sleep(AGAIN_SECONDS)


if __name__ == "__main__":
    main()

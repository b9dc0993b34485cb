"""Pushes images by the OCI distribution API, with a password that is fetched when it is needed.

Specification: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push
"""

import base64
import hashlib
import json
import threading
import time
import urllib.error
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from clusterous_api.errors import FailedError, TransientError
from clusterous_cli.images.assembly import pull
from clusterous_cli.images.assembly.archives import CONFIG_TYPE, MANIFEST_TYPE, Blob
from clusterous_cli.images.sending.saved import Layer, Saved
from clusterous_cli.system import download

# Layers at a time: what costs is waiting for answers, and packing, which uses one processor each.
AT_A_TIME: Final = 4
TRIES: Final = 3
# In seconds: a registry looks at a whole layer before it answers.
TIMEOUT: Final = 300
# What registries answer where a tag may not change.
_FIXED: Final = (400, 405, 409)
KINDS: Final = {"Accept": pull.ACCEPT}
_CHUNK: Final = 1 << 20
# Told how many bytes were sent of how many.
Progress = Callable[[int, int], None]


class Refused(FailedError):
    """The registry said no; *code* is its word for why."""

    def __init__(self, url: str, status: int, text: bytes) -> None:
        self.status, self.code, said = status, *_said(text)
        super().__init__(f"The registry refused {url} ({status}): {said}")


def _said(text: bytes) -> tuple[str, str]:
    try:
        first = json.loads(text)["errors"][0]
        return str(first.get("code", "")), str(first.get("message") or first.get("code"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "", text.decode(errors="replace").strip()[:200] or "it gave no reason"


@dataclass(slots=True, kw_only=True)
class Repository:
    """A repository that we may write to.

    *registry* is its host, as images are called by it, and *address* the URL where it answers, who
    is known by an *authority*; *password* fetches one that is good from now on. Without a *user* it
    is a token.
    """

    registry: str
    name: str
    user: str
    password: Callable[[], str]
    address: str = ""
    authority: str = field(default="", repr=False)
    _header: str = field(default="", repr=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def digest(self, tag: str) -> str | None:
        """Return what *tag* stands for; None if there is none."""
        try:
            with self._ask("HEAD", self._url(f"manifests/{tag}"), KINDS) as answer:
                return str(answer.headers["Docker-Content-Digest"])
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def has(self, digest: str) -> bool:
        """Whether a part of an image is there."""
        try:
            self._ask("HEAD", self._url(f"blobs/{digest}"), {}).close()
        except Refused as refused:
            if refused.status == 404:
                return False
            raise
        return True

    def send(self, blob: Blob, tell: Callable[[int], None]) -> None:
        """Upload a part of an image, unless it is there."""
        if self.has(blob.digest):
            return
        none = {"Content-Length": "0"}
        with self._ask("POST", self._url("blobs/uploads/"), none, b"") as answer:
            place = self._onward(answer.headers["Location"])
        whole = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        with self._ask("PATCH", place, whole, lambda: _pieces(blob.path, tell)) as answer:
            place = self._onward(answer.headers["Location"])
        joint = "&" if "?" in place else "?"
        end = f"{place}{joint}{urllib.parse.urlencode({'digest': blob.digest})}"
        self._ask("PUT", end, none, b"").close()

    def config(self, digest: str) -> dict[str, Any]:
        """Return what an image says of itself."""
        with self._ask("GET", self._url(f"manifests/{digest}"), KINDS) as answer:
            named = json.loads(answer.read(pull.MOST))["config"]["digest"]
        with self._ask("GET", self._url(f"blobs/{named}"), {}) as answer:
            text = answer.read(pull.MOST)
        if f"sha256:{hashlib.sha256(text).hexdigest()}" != named:
            raise FailedError(f"{self.registry} did not send what it was asked for ({named}).")
        return dict(json.loads(text))

    def point(self, tag: str, digest: str) -> None:
        """Let *tag* stand for an image that is there, whatever it stood for before."""
        with self._ask("GET", self._url(f"manifests/{digest}"), KINDS) as answer:
            manifest, kind = answer.read(pull.MOST), str(answer.headers["Content-Type"])
        headers = {"Content-Type": kind, "Content-Length": str(len(manifest))}
        self._ask("PUT", self._url(f"manifests/{tag}"), headers, manifest).close()

    def put(self, manifest: bytes, tag: str) -> str:
        """Let *tag* stand for an image whose parts are all there; return the image's digest.

        Where it stands for another already and may not change, that one is what it stands for.
        """
        headers = {"Content-Type": MANIFEST_TYPE, "Content-Length": str(len(manifest))}
        try:
            self._ask("PUT", self._url(f"manifests/{tag}"), headers, manifest).close()
        except Refused as refused:
            there = self.digest(tag) if refused.status in _FIXED else None
            if there is None:
                raise
            return there
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    def authorization(self) -> str:
        """Return what proves who we are, for whoever only reads."""
        return self._authorization("")

    # -- asking ----------------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        sent: bytes | Callable[[], Iterator[bytes]] | None = None,
    ) -> Any:
        """Ask; a password that was refused may have ended meanwhile, so a new one is tried."""
        used = self._authorization("")
        for last in (False, True):
            body = sent() if callable(sent) else sent
            private = {"Authorization": used}
            try:
                return download.opened(
                    url, headers, private, method, body, TIMEOUT, authority=self.authority
                )
            except urllib.error.HTTPError as error:
                with error:
                    text = error.read(pull.MOST)
                if error.code in (401, 403) and not last:
                    used = self._authorization(used)
                    continue
                if error.code >= 500 or error.code == 429:
                    raise TransientError(
                        f"{self.registry} answered {error.code}; try again later."
                    ) from error
                raise Refused(url, error.code, text) from error
            except (OSError, HTTPException) as error:
                reason = getattr(error, "reason", error)
                raise TransientError(f"{self.registry} cannot be reached: {reason}.") from error
        raise AssertionError

    @property
    def _base(self) -> str:
        return self.address or f"https://{self.registry}"

    def _url(self, what: str) -> str:
        return f"{self._base}/v2/{self.name}/{what}"

    def _onward(self, location: str) -> str:
        """Return where an upload goes on, at the address where we found the registry."""
        split = urllib.parse.urlsplit(location)
        return f"{self._base}{split.path}{'?' if split.query else ''}{split.query}"

    def _authorization(self, refused: str) -> str:
        """Return how to prove who we are, in another way than by what was *refused*."""
        with self._turn:
            if not self._header or self._header == refused:
                said = self.password()
                told = base64.b64encode(f"{self.user}:{said}".encode()).decode()
                self._header = f"Basic {told}" if self.user else f"Bearer {said}"
            return self._header


def _pieces(path: Path, tell: Callable[[int], None]) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece
            tell(len(piece))


# -- an image -----------------------------------------------------------------------------


class _Stopped(Exception):
    """Somebody else failed, or the person does not want it any more."""


@dataclass(slots=True, kw_only=True)
class _Count:
    """How much of how much was sent, by all that send."""

    tell: Progress
    done: int = 0
    total: int = 0
    stopped: bool = False
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def add(self, done: int = 0, total: int = 0) -> None:
        with self._turn:
            if self.stopped:
                raise _Stopped
            self.done, self.total = self.done + done, self.total + total
            self.tell(self.done, self.total)


def push(
    image: Saved,
    to: Repository,
    tag: str,
    scratch: Path,
    tell: Progress,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """Push *image* under a tag that was never given to another; return its digest there.

    What breaks off begins again, less what has arrived: nothing is built anew for that.
    """
    for tried in range(1, TRIES):
        try:
            return _pushed(image, to, tag, scratch, tell)
        except TransientError:
            pause(tried)
    return _pushed(image, to, tag, scratch, tell)


def _pushed(image: Saved, to: Repository, tag: str, scratch: Path, tell: Progress) -> str:
    if there := to.digest(tag):
        return there
    count = _Count(tell=tell)
    config = _config(image, scratch)

    def send(layer: Layer) -> Mapping[str, Any]:
        return _layer(image, layer, to, scratch, count)

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        try:
            layers = list(pool.map(send, image.layers))
        except BaseException:
            count.stopped = True
            raise
    to.send(config, lambda sent: count.add(sent))
    return to.put(_manifest(config, layers), tag)


def _config(image: Saved, scratch: Path) -> Blob:
    path = scratch / "config.json"
    path.write_bytes(image.config)
    digest = f"sha256:{hashlib.sha256(image.config).hexdigest()}"
    return Blob(path=path, digest=digest, size=len(image.config), media_type=CONFIG_TYPE)


def _layer(
    image: Saved, layer: Layer, to: Repository, scratch: Path, count: _Count
) -> Mapping[str, Any]:
    """Send a layer, unless the registry has it: then it is not even packed."""
    known = _noted(layer)
    if known and to.has(str(known["digest"])):
        return known
    blob = image.pack(layer, scratch)
    count.add(total=blob.size)
    to.send(blob, lambda sent: count.add(sent))
    blob.path.unlink()
    _note(layer, blob)
    return blob.described


def _notes(layer: Layer) -> Path:
    return download.cache() / "layers" / layer.diff_id.removeprefix("sha256:")


def _noted(layer: Layer) -> Mapping[str, Any] | None:
    """Return how this machine packed a layer before, if it did."""
    try:
        known = json.loads(_notes(layer).read_text())
    except (OSError, ValueError):
        return None
    expected = {"mediaType": str, "digest": str, "size": int}
    if not isinstance(known, dict) or known.keys() != expected.keys():
        return None
    return known if all(isinstance(known[key], kind) for key, kind in expected.items()) else None


def _note(layer: Layer, blob: Blob) -> None:
    path = _notes(layer)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{threading.get_ident()}.new")
    fresh.write_text(json.dumps(blob.described))
    fresh.replace(path)


def _manifest(config: Blob, layers: list[Mapping[str, Any]]) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config.described,
        "layers": layers,
    }
    return json.dumps(document, sort_keys=True).encode()

"""Files and answers of web sites: over TLS, whole or an error that says who can mend it."""

import hashlib
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, TypeVar

from clusterous_api.errors import FailedError, TransientError, UserError
from clusterous_cli.system import private

AGENT: Final = "clusterous"
CHUNK: Final = 1 << 20
TRIES: Final = 3
TIMEOUT_SECONDS: Final = 30
# What of the cache is fetched or made anew when it is needed, and how long it is kept unused.
RENEWABLE: Final = ("blobs", "debs", "images", "releases")
UNUSED_SECONDS: Final = 60 * 86_400
TRUSTED: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE")
T = TypeVar("T")
# Told of what is fetched: its name, how many bytes there are, how many it will be.
Progress = Callable[[str, int, int], None]
# Told in words of what is done.
Tell = Callable[[str], None]


class Missing(UserError):
    """The site is there, and the file is not."""


def read(url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Return the answer to a GET, asked for again where it did not come whole."""

    def ask() -> bytes:
        with answer(url, headers or {}) as got:
            return body(url, got)

    return _again(ask)


def _again(ask: Callable[[], T]) -> T:
    """Return what *ask* does, at one of a few tries."""
    for _ in range(TRIES - 1):
        with suppress(TransientError):
            return ask()
    return ask()


def body(url: str, got: Any) -> bytes:
    """Read an answer to its end."""
    try:
        content: bytes = got.read()
    except (OSError, HTTPException) as error:
        raise TransientError(f"The download of {url} broke off: {error}") from error
    return content


def fetch(
    url: str,
    part: Path,
    progress: Callable[[int, int], None],
    private: Mapping[str, str] | None = None,
    authority: str = "",
) -> None:
    """Fetch a file to *part*, going on where an earlier try ended.

    The headers *private* are for this site alone, and not for where it may redirect us. An
    *authority* (a certificate) is trusted beside those that are.
    """
    _again(lambda: _fetch(url, part, progress, private or {}, authority))


def kept(target: Path, wanted: str, get: Callable[[Path], str], wrong: str) -> Path:
    """Return *target*, got anew unless its sum is *wanted*; got once, whoever else asks.

    *get* puts it to the path that it is given and says from where; *wrong* says what it means that
    it has another sum.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    while not _is(target, wanted):
        with _alone(part) as is_ours:
            if is_ours and not _is(target, wanted):
                _get(part, wanted, get, wrong)
                return part.replace(target)
    return used(target)


def _is(target: Path, wanted: str) -> bool:
    return target.exists() and sha256(target) == wanted


def _get(part: Path, wanted: str, get: Callable[[Path], str], wrong: str) -> None:
    url = get(part)
    if sha256(part) != wanted:
        part.unlink()
        raise FailedError(
            f"{url} {wrong}; it was thrown away. Try again; if it stays so, somebody changed it on"
            " its way."
        )


@contextmanager
def _alone(part: Path) -> Iterator[bool]:
    """Hold the file *part* while nobody else does; tell if it is still the one of this name.

    It is not when another has finished it, or thrown it away, while we waited.
    """
    import fcntl  # not on every system that may ask for --help

    with part.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield _is_named(part, file.fileno())
        finally:
            if _is_named(part, file.fileno()) and not part.stat().st_size:
                part.unlink()


def _is_named(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _fetch(
    url: str,
    part: Path,
    progress: Callable[[int, int], None],
    private: Mapping[str, str],
    authority: str,
) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with answer(url, headers, private, authority) as got:
        resumed = got.status == 206
        have = have if resumed else 0
        total = have + int(got.headers.get("Content-Length") or 0)
        with part.open("ab" if resumed else "wb") as file:
            try:
                while chunk := got.read(CHUNK):
                    file.write(chunk)
                    have += len(chunk)
                    progress(have, total)
            except (OSError, HTTPException) as error:
                raise TransientError(f"The download of {url} broke off: {error}") from error
    if have < total:
        raise TransientError(f"The download of {url} broke off at {have} of {total}.")


def answer(
    url: str,
    headers: Mapping[str, str],
    private: Mapping[str, str] | None = None,
    authority: str = "",
) -> Any:
    """Open *url*; errors are ours, and say who can mend them."""
    try:
        return opened(url, headers, private, authority=authority)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part is whole already
            return opened(url, {}, private, authority=authority)
        if error.code in (403, 404, 410):
            raise Missing(f"{url} does not exist ({error.code}). Is the version right?") from error
        raise TransientError(f"{url} answered {error.code}; try again later.") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise TransientError(
            f"{url} cannot be reached: {reason}. The first cluster needs it; check the network or"
            " a proxy (HTTPS_PROXY) and try again."
        ) from error


def opened(
    url: str,
    headers: Mapping[str, str],
    private: Mapping[str, str] | None = None,
    method: str = "GET",
    sent: bytes | Iterable[bytes] | None = None,
    timeout: float = TIMEOUT_SECONDS,
    authority: str = "",
) -> Any:
    """Open *url* as it is; a refusal is urllib's HTTPError.

    Pieces that are *sent* need their Content-Length among the *headers*. An *authority* (a
    certificate) is trusted beside those that are.
    """
    known = {"User-Agent": AGENT, **headers}
    request = urllib.request.Request(url, data=sent, headers=known, method=method)
    for name, value in (private or {}).items():
        request.add_unredirected_header(name, value)
    https = urllib.request.HTTPSHandler(context=trust(authority))
    return urllib.request.build_opener(https, _Proxies, _Redirects).open(request, timeout=timeout)


class _Proxies(urllib.request.ProxyHandler):
    """Lets no proxy be asked for what this machine itself serves, as by a tunnel."""

    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:
        if req.host.partition(":")[0] == "127.0.0.1":
            return None
        return super().proxy_open(req, proxy, type)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Lets a HEAD stay one: a link that is signed for it is good for nothing else.

    Python does so from 3.13 on (https://github.com/python/cpython/issues/99730).
    """

    def redirect_request(self, req: urllib.request.Request, *told: Any) -> Any:
        onward = super().redirect_request(req, *told)
        if onward and req.get_method() == "HEAD":
            onward.method = "HEAD"
        return onward


def trust(authority: str = "") -> ssl.SSLContext:
    """Trust the system's authorities, those that the usual variables name, and *authority*."""
    named = [os.environ.get(name) for name in TRUSTED]
    files = [Path(path) for path in named if path and Path(path).is_file()]
    known = tuple((str(file), file.stat().st_mtime_ns) for file in files)
    return _trusting(known, os.environ.get("SSL_CERT_DIR"), authority)


@lru_cache(maxsize=4)
def _trusting(
    files: tuple[tuple[str, int], ...], _folder: str | None, authority: str
) -> ssl.SSLContext:
    """Read what is trusted once, not for each request: that takes longer than most of them."""
    context = ssl.create_default_context()
    for path, _ in files:
        context.load_verify_locations(cafile=path)
    if authority:
        context.load_verify_locations(cadata=authority)
    return context


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache() -> Path:
    """Return the folder of what was fetched and can be fetched again."""
    base = os.environ.get("CLUSTEROUS_CACHE_HOME")
    return Path(base) if base else private.user_folder() / ".cache" / "clusterous"


def used(path: Path) -> Path:
    """Note of a file of the cache that it is in use, and return it."""
    with suppress(OSError):
        os.utime(path)
    return path


def tidy(clock: Callable[[], float] = time.time) -> None:
    """Remove what nobody has used for long: each version of k3s alone is 250 MB."""
    oldest = clock() - UNUSED_SECONDS
    for name in RENEWABLE:
        for path in (cache() / name).rglob("*"):
            with suppress(OSError):
                held = path.suffix == ".lock"  # by whom, its age does not tell
                if path.is_file() and not held and path.stat().st_mtime < oldest:
                    path.unlink()

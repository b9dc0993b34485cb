"""Bodies of S3 requests: plain or aws-chunked, hashed while they pass, never whole in memory."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.region.aws import errors, signatures
from tests.region.aws.errors import Refusal
from tests.region.aws.request import Request
from tests.region.aws.signatures import Verified

_PIECE: Final = 1 << 20
_STREAMING: Final = "STREAMING-"
_PREFIX: Final = "x-amz-checksum-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What came in: where it is, how much, its MD5 and the checksums that were told and true."""

    path: Path
    size: int
    md5: str
    checksums: Mapping[str, str]


class _Crc32:
    """zlib's checksum in the shape of hashlib's."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


_HASHES: Final[Mapping[str, Callable[[], Any]]] = {
    "crc32": _Crc32,
    "sha1": hashlib.sha1,
    "sha256": hashlib.sha256,
}


def receive(request: Request, verified: Verified, path: Path) -> Received:
    """Write the body of *request* to *path*, checking all that the client said about it."""
    trailers: dict[str, str] = {}
    md5 = hashlib.md5(usedforsecurity=False)
    whole = hashlib.sha256() if _is_hash(verified.claim.payload) else None
    wanted = _wanted(request)
    hashes = {name: _HASHES[name]() for name in wanted}
    size = 0
    with path.open("wb") as file:
        for piece in _pieces(request, verified, trailers):
            size += len(piece)
            file.write(piece)
            md5.update(piece)
            for each in (whole, *hashes.values()):
                if each is not None:
                    each.update(piece)
    try:
        _check(request, verified, whole, md5, size)
        checksums = _checked(request, trailers, hashes)
    except Refusal:
        path.unlink()
        raise
    return Received(path=path, size=size, md5=md5.hexdigest(), checksums=checksums)


def small(request: Request, verified: Verified, folder: Path) -> bytes:
    """Return a body that is a document: checked like any other, then read back."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"document-{request.request_id}"
    receive(request, verified, path)
    try:
        return path.read_bytes()
    finally:
        path.unlink()


# --- the pieces -------------------------------------------------------------------------------


def _pieces(request: Request, verified: Verified, trailers: dict[str, str]) -> Iterator[bytes]:
    stream = request.stream
    payload = verified.claim.payload
    if not payload.startswith(_STREAMING):
        while piece := stream.read(_PIECE):
            yield piece
        return
    signed = payload.startswith("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    if not signed and payload != "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
        raise errors.not_implemented(f"the payload {payload}")
    yield from _chunks(stream, verified if signed else None, trailers)


def _chunks(
    stream: io.RawIOBase, verified: Verified | None, trailers: dict[str, str]
) -> Iterator[bytes]:
    """Unwrap aws-chunked: `SIZE[;chunk-signature=…]`, data, …, `0`, trailers, an empty line."""
    previous = verified.claim.signature if verified else ""
    while True:
        size, _, extension = stream.readline().strip().decode().partition(";")
        length = _length(size)
        data = stream.read(length)
        if len(data) != length:
            raise Refusal("IncompleteBody", "The request body terminated unexpectedly")
        if verified:
            previous = _check_chunk(verified, previous, extension, data)
        if length == 0:
            break
        stream.readline()
        yield data
    while line := stream.readline().strip().decode():
        name, _, value = line.partition(":")
        trailers[name.strip().lower()] = value.strip()


def _length(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        raise Refusal("IncompleteBody", "The chunk of the request body is malformed") from None


def _check_chunk(verified: Verified, previous: str, extension: str, data: bytes) -> str:
    told = extension.removeprefix("chunk-signature=")
    digest = hashlib.sha256(data).hexdigest()
    if not hmac.compare_digest(signatures.chunk_signature(verified, previous, digest), told):
        raise Refusal(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method.",
            403,
        )
    return told


# --- the checks -------------------------------------------------------------------------------


def _is_hash(payload: str) -> bool:
    return len(payload) == 64 and all(c in "0123456789abcdef" for c in payload)


def _wanted(request: Request) -> list[str]:
    """Return the checksums that the client tells, in a header or in a trailer to come."""
    told = [name for name in request.headers if name.startswith(_PREFIX)]
    told += [n.strip() for n in request.headers.get("x-amz-trailer", "").lower().split(",")]
    names = {n.removeprefix(_PREFIX) for n in told if n.startswith(_PREFIX)}
    names -= {"mode", "algorithm", "type"}
    unknown = names - set(_HASHES)
    if unknown:
        raise errors.not_implemented(f"the checksum {sorted(unknown)[0]}")
    return sorted(names)


def _check(request: Request, verified: Verified, whole: Any, md5: Any, size: int) -> None:
    if whole is not None and whole.hexdigest() != verified.claim.payload:
        raise Refusal(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
            400,
            {"ClientComputedContentSHA256": verified.claim.payload},
        )
    told = request.headers.get("content-md5")
    if told and told != base64.b64encode(md5.digest()).decode():
        raise Refusal("BadDigest", "The Content-MD5 you specified did not match what we received.")
    decoded = request.headers.get("x-amz-decoded-content-length")
    if decoded is not None and int(decoded) != size:
        raise Refusal("IncompleteBody", "You did not provide the number of bytes specified")


def _checked(
    request: Request, trailers: Mapping[str, str], hashes: Mapping[str, Any]
) -> dict[str, str]:
    checked: dict[str, str] = {}
    for name, computed in hashes.items():
        header = _PREFIX + name
        told = request.headers.get(header) or trailers.get(header)
        value = base64.b64encode(computed.digest()).decode()
        if told != value:
            raise Refusal(
                "BadDigest",
                f"The {name.upper()} you specified did not match the calculated checksum.",
            )
        checked[header] = value
    return checked

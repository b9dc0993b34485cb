"""The way to the simulated AWS without a wire: no socket, no TLS, the same requests and answers.

Hundreds of clusters come and go here, and most of what that costs is to be told the same again: a
question is carried out anew when something has changed that is not an object of S3.
"""

import email.utils
import io
import threading
import uuid
from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.useragent import UserAgentString
from moto.core.utils import method_names_from_class

from tests.region.aws import gate, hosts
from tests.region.aws.log import is_mutating
from tests.region.aws.request import Answer, FilePart, Request
from tests.region.aws.world import World

# What holds what it has, whoever asks when; of S3 nothing is kept, since it answers at once.
STEADY: Final = ("ec2", "iam", "efs", "ssm")


class Wire:
    """Carries requests to the *world*."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._asked = threading.local()
        self._epochs = {"ec2": 0, "iam": 0}
        self._known: dict[Any, Answer] = {}

    def laid(self, session: Any, patch: pytest.MonkeyPatch) -> None:
        """Lead all that a botocore *session* asks this way, until *patch* is undone."""
        bump = self._world.changes.bump

        def bumped() -> None:
            self._changed(getattr(self._asked, "service", ""))
            bump()

        patch.setattr(self._world.changes, "bump", bumped)
        # What is worked out anew with each call, and is the same each time.
        names = cache(method_names_from_class)
        patch.setattr("moto.core.responses.method_names_from_class", names)
        patch.setattr(UserAgentString, "to_string", lambda _: "clusterous")
        session.register("before-send", self.carried)

    def _changed(self, by: str) -> None:
        """Note that a call *by* a service changed something, or that time did.

        Whatever call lets time pass, states of machines and volumes may have changed; roles only
        change when they are.
        """
        if by != "s3":
            self._epochs["ec2"] += 1
        if by in ("iam", ""):
            self._epochs["iam"] += 1

    def forget(self) -> None:
        """Know nothing any more: the account was emptied."""
        self._changed("")
        self._known.clear()

    def carried(self, request: Any, **_: Any) -> AWSResponse:
        """Return the answer to a request of botocore's."""
        body = _body(request.body)
        url = urlsplit(request.url)
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        headers = {"host": url.netloc, **headers, "content-length": str(len(body))}
        target = hosts.resolve(headers["host"])
        assert target is not None, headers["host"]
        asked = Request(
            method=request.method, raw_path=url.path or "/", raw_query=url.query, headers=headers,
            body=b"" if target.service == "s3" else body,
            stream=io.BytesIO(body),  # type: ignore[arg-type]  # it is read alike
            length=len(body), target=target, request_id=str(uuid.uuid4()), peer="127.0.0.1",
        )  # fmt: skip
        answer = self._answer(asked, body)
        data = _data(answer.body)
        told = {
            "Date": email.utils.formatdate(self._world.clock(), usegmt=True),
            "x-amzn-RequestId": asked.request_id, "x-amz-request-id": asked.request_id,
            "Content-Length": str(len(data)), **answer.headers,
        }  # fmt: skip
        named = HTTPHeaders()
        for name, value in told.items():
            named[name] = value
        sent = b"" if asked.method == "HEAD" else data
        return AWSResponse(request.url, answer.status, named, _Raw(sent))

    def _answer(self, asked: Request, body: bytes) -> Answer:
        service = asked.target.service
        self._asked.service = service
        try:
            return self._kept(asked, body) if service in STEADY else gate.handle(self._world, asked)
        finally:
            self._asked.service = ""

    def _kept(self, asked: Request, body: bytes) -> Answer:
        with self._world.lock:
            self._asked.service, service = "", asked.target.service
            self._world.timers.run_due()
            self._asked.service = service
            epoch = self._epochs["iam" if service == "iam" else "ec2"]
        key = (asked.headers["host"], asked.method, asked.raw_path, asked.raw_query, body)
        kept = self._known.get((epoch, key))
        if kept is not None:
            return kept
        answer = gate.handle(self._world, asked)
        reads = not is_mutating(asked.action) and answer.status < 400
        if reads and not self._world.settings.not_found:
            self._known[epoch, key] = answer
        return answer


class _Raw(io.BytesIO):
    """What botocore reads an answer from, as urllib3 has it."""

    def stream(self, amount: int = 1 << 16, decode_content: bool | None = None) -> Iterator[bytes]:
        while piece := self.read(amount):
            yield piece


def _body(body: Any) -> bytes:
    if hasattr(body, "read"):
        body = body.read()
    return body.encode() if isinstance(body, str) else bytes(body or b"")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _data(body: bytes | FilePart) -> bytes:
    if isinstance(body, bytes):
        return body
    with body.file as file:
        return file.read(body.length)

"""How AWS says no: one exception, and its wording in each of AWS's wire protocols."""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape


class Protocol(StrEnum):
    EC2 = "ec2"
    QUERY = "query"
    JSON = "json"
    REST_JSON = "rest-json"
    S3 = "s3"


class Refusal(Exception):
    """The API's answer is an error: *code*, *message* and the HTTP *status*."""

    def __init__(
        self, code: str, message: str, status: int = 400, details: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.details = dict(details or {})


def not_implemented(what: str) -> Refusal:
    """The region lacks *what*; a code of our own, so that no test mistakes it for AWS."""
    return Refusal("RegionNotImplemented", f"The simulated region does not implement {what}.")


def bug(error: BaseException) -> Refusal:
    """The region itself failed; 400, because clients would retry a 500 and hide it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    said = f"{type(error).__name__}: {error} ({where})"
    return Refusal("RegionBug", f"The simulated region failed: {said}")


def render(protocol: Protocol, refusal: Refusal, request_id: str) -> tuple[dict[str, str], bytes]:
    """Return the headers and body of *refusal* as *protocol* words it."""
    match protocol:
        case Protocol.EC2:
            return _xml(_ec2(refusal, request_id))
        case Protocol.QUERY:
            return _xml(_query(refusal, request_id))
        case Protocol.S3:
            return _xml(_s3(refusal, request_id))
        case Protocol.JSON:
            return _json(refusal, {"__type": refusal.code, "message": refusal.message})
        case Protocol.REST_JSON:
            said = {"ErrorCode": refusal.code, "Message": refusal.message}
            return _json(refusal, {**said, **refusal.details})


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"


def _said(refusal: Refusal) -> str:
    return _element("Code", refusal.code) + _element("Message", refusal.message)


def _ec2(refusal: Refusal, request_id: str) -> str:
    error = f"<Errors><Error>{_said(refusal)}</Error></Errors>"
    return f"<Response>{error}{_element('RequestID', request_id)}</Response>"


def _query(refusal: Refusal, request_id: str) -> str:
    kind = _element("Type", "Sender" if refusal.status < 500 else "Receiver")
    error = f"<Error>{kind}{_said(refusal)}</Error>"
    return f"<ErrorResponse>{error}{_element('RequestId', request_id)}</ErrorResponse>"


def _s3(refusal: Refusal, request_id: str) -> str:
    details = "".join(_element(name, text) for name, text in refusal.details.items())
    return f"<Error>{_said(refusal)}{details}{_element('RequestId', request_id)}</Error>"


def _xml(text: str) -> tuple[dict[str, str], bytes]:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    return {"Content-Type": "application/xml"}, body


def _json(refusal: Refusal, value: dict[str, Any]) -> tuple[dict[str, str], bytes]:
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": refusal.code}
    return headers, json.dumps(value).encode()

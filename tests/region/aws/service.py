"""What a service of the region is: how to name, permit and carry out a request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.region.aws import errors, store
from tests.region.aws.policies import Access
from tests.region.aws.request import Answer, Request
from tests.region.aws.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """*read* fills in the request's action and parameters, before anything is checked."""

    read: Callable[[Request], None]
    needs: Callable[[World, Request], Sequence[Access]]
    act: Callable[[World, Request], Answer]


def ask_moto(world: World, request: Request, params: Mapping[str, Any] | None = None) -> Answer:
    """Let moto carry out *request*, in whose form *params* replace what was sent."""
    body = request.body if params is None else urlencode(params).encode()
    request.raw_query = "" if params is not None else request.raw_query
    world.params = params if params is not None else request.params
    try:
        answer = store.call(request, body)
    except errors.Refusal:
        raise
    except NotImplementedError as error:
        raise errors.not_implemented(f"{request.action} ({error})") from error
    except Exception as error:
        raise errors.bug(error) from error
    if answer.status >= 400:
        return Answer(
            status=_status(answer), headers=answer.headers, body=answer.body, error=code(answer)
        )
    return answer


def _status(answer: Answer) -> int:
    return 400 if answer.status == 412 else answer.status


_CODE = re.compile(rb"<Code>([^<]+)</Code>")
_TYPE = re.compile(rb'"(?:__type|ErrorCode|code)":\s*"([^"]+)"')


def code(answer: Answer) -> str | None:
    """Return the error code in the answer of moto."""
    body = answer.body if isinstance(answer.body, bytes) else b""
    found = _CODE.search(body) or _TYPE.search(body)
    if found:
        return found[1].decode().rpartition("#")[2]
    return answer.headers.get("x-amzn-ErrorType") or answer.headers.get("x-amzn-errortype")


def json_answer(value: Any, content_type: str = "application/x-amz-json-1.1") -> Answer:
    return Answer(headers={"Content-Type": content_type}, body=json.dumps(value).encode())


def xml_answer(text: str) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    return Answer(headers={"Content-Type": "text/xml;charset=UTF-8"}, body=body)

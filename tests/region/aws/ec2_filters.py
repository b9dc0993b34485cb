"""The filters that each Describe has, as the API's own description lists them."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from botocore.model import OperationNotFoundError
from moto.core.utils import get_service_model

from tests.region.aws.errors import Refusal
from tests.region.aws.request import structures

_NAME: Final = re.compile(r"<code>([^<]+)</code>\s*[-\u2013]")
# It is written as a name, and as a name before a colon.
_TAG: Final = re.compile(r"<code>tag(?:</code>)?:")
_ANY_TAG: Final = "tag:<key>"


def check(action: str, params: Mapping[str, str]) -> None:
    """Raise what EC2 says of a filter that *action* does not have."""
    for each in structures(params, "Filter"):
        name, known = each.get("Name", ""), _known(action)
        asked = _ANY_TAG if name.startswith("tag:") else name
        if known and asked not in known:
            raise Refusal("InvalidParameterValue", f"The filter '{name}' is invalid")


@cache
def _known(action: str) -> frozenset[str]:
    try:
        shape = get_service_model("ec2").operation_model(action).input_shape
    except OperationNotFoundError:
        return frozenset()
    texts = [
        shape.members[name].documentation for name in ("Filters", "Filter") if name in shape.members
    ]
    names = {html.unescape(name) for text in texts for name in _NAME.findall(text)}
    return frozenset(names | {_ANY_TAG for text in texts if _TAG.search(text)})

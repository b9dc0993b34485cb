"""What server-side apply takes, and how it answers what it does not take. Pure.

What is applied travels as YAML: here it becomes JSON that a YAML reader takes for the same.

The API server reads an applied object by a YAML library that refuses JSON's pairs of escapes for
characters beyond U+FFFF (https://github.com/yaml/go-yaml, `invalid Unicode character escape code`),
and raw characters that YAML does not count as printable.
"""

import json
import re
from typing import Any

# Everything beyond ASCII that one escape can say, and DEL. Longer ones stay as they are.
_ESCAPED = re.compile("[\x7f-\uffff]")
_REPLACEMENT = "\\ufffd"


def dumps(value: Any) -> str:
    """Return *value* as JSON that is YAML, too; half a surrogate pair becomes U+FFFD."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if text.isascii() and "\x7f" not in text:
        return text
    return _ESCAPED.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return _REPLACEMENT if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"


# Server-side apply answers 500 where the object is not of its schema's shape, as if the server had
# failed: https://github.com/kubernetes/kubernetes/issues/122480 and 139253.
_MISSHAPEN = re.compile(
    r"typed patch object|field not declared in schema|failed to convert new object|"
    r"unable to convert|cannot unmarshal|errors parsing|expected (?:map|list|string|numeric)"
)


_DENIED = re.compile(
    r"""admission webhook "[^"]*" denied the request|"""
    r"""ValidatingAdmissionPolicy '[^']*' with binding '[^']*' denied request"""
)


def is_denied(message: str) -> bool:
    """Tell whether a policy has refused an object, with whatever code: it chooses that itself."""
    return _DENIED.search(message) is not None


def is_misshapen(message: str) -> bool:
    """Tell whether an answer 500 means that the object is wrong, and will be at the next try."""
    return _MISSHAPEN.search(message) is not None

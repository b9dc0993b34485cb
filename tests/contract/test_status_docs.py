"""docs/status.md names every reason that the status can give."""

import re
from pathlib import Path

import pytest

from clusterous_operator.objects.trouble import Reason

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "status.md").read_text()
CODE = ROOT / "operator" / "clusterous_operator"
# As they stand in the code: reason="Ready", and the reason that a refusal of a whole app gives.
LITERAL = re.compile(r'(?:reason=|_REASON = |GAVE_UP = |FAILED_BY_POLICY = )"([A-Z]\w+)"')


def reasons() -> set[str]:
    """Return all reasons of conditions."""
    rooms = ("decisions", "status", "controller")
    files = [
        CODE / "client/skew.py",
        *(file for room in rooms for file in (CODE / room).glob("*.py")),
    ]
    text = "".join(file.read_text() for file in files)
    return {str(one) for one in Reason} | set(LITERAL.findall(text))


@pytest.mark.parametrize("reason", sorted(reasons()))
def test_every_reason_is_explained(reason: str) -> None:
    assert f"`{reason}`" in PAGE

"""Each claim about ourselves in docs/comparison.md leads to a file that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    line.split("|")[1:3]
    for line in (ROOT / "docs" / "comparison.md").read_text().splitlines()
    if line.startswith("|") and line.count("|") == 8
]
CLAIMS = {feature.strip(): ours for feature, ours in ROWS if ours.strip()[:1] in ("Y", "P", "N")}


@pytest.mark.parametrize("feature", CLAIMS)
def test_a_claim_leads_to_its_evidence(feature: str) -> None:
    paths = [one for one in re.findall(r"`([^`]+)`", CLAIMS[feature]) if "/" in one]

    assert [one for one in paths if not (ROOT / one).exists()] == []
    assert CLAIMS[feature].strip()[0] == "N" or "`" in CLAIMS[feature]


def test_there_are_claims() -> None:
    assert len(CLAIMS) > 25

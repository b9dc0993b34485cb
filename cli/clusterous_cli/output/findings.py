"""How the findings of checks look: lines for people, a mapping for programs. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from clusterous_cli.checks.check import Finding, Mark
from clusterous_cli.terminal import spell

SIGNS: Final = {Mark.OK: "✓", Mark.WARNING: "!", Mark.FAILURE: "✗", Mark.UNKNOWN: "?"}


def data(findings: Mapping[str, Finding]) -> dict[str, Any]:
    """Return findings for programs."""
    checks = [
        {
            "check": name,
            "state": str(one.mark),
            "says": one.says,
            "why": one.why or None,
            "do": one.do or None,
        }
        for name, one in findings.items()
    ]
    counts = {str(mark): sum(one.mark is mark for one in findings.values()) for mark in Mark}
    return {"checks": checks, "counts": counts}


def table(findings: Mapping[str, Finding]) -> str:
    """Return findings for people: what is, and below it why that matters and what to do."""
    width = max(map(len, findings), default=0)
    return "\n".join(
        line for name, one in findings.items() for line in _lines(name.ljust(width), one)
    )


def _lines(name: str, finding: Finding) -> list[str]:
    first, *more = finding.says.splitlines() or [""]
    below = [*more, *finding.why.splitlines(), *(f"→ {one}" for one in finding.do.splitlines())]
    indent = " " * (len(name) + 5)
    return [f"{SIGNS[finding.mark]} {name}   {first}", *(f"{indent}{line}" for line in below)]


def sentence(name: str, finding: Finding) -> str:
    """Spell a finding in one line, for a message among others."""
    parts = [finding.says, *filter(None, (finding.why, finding.do))]
    return f"{name}: " + "; ".join(" ".join(part.split()).rstrip(".") for part in parts)


def failed(findings: Mapping[str, Finding]) -> str:
    """Say what must be mended first."""
    wrong = {name: one for name, one in findings.items() if one.mark is Mark.FAILURE}
    count = spell.plural(len(wrong), "check")
    return f"{count} failed, nothing was created.\n{table(wrong)}"

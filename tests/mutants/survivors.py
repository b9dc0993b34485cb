"""Faults that no test notices, each with the reason why that is right; and the verdict on a run."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("survivors.toml")
# Of a hundred faults so many may live on, and only where it is said why.
PERCENT: Final = 10

Result = Mapping[str, Any]


def reasons() -> dict[str, str]:
    """Return why a fault may live on, by its id."""
    listed = tomllib.loads(FILE.read_text()).get("survivor", [])
    return {one["id"]: one["why"] for one in listed}


def wrong(results: Sequence[Result], named: Sequence[Result], why: Mapping[str, str]) -> list[str]:
    """Say what is not as it should be; nothing, if all is well."""
    alive = [one for one in results if one["verdict"] == "survived"]
    said = [f"survived, with no reason in {FILE.name}: {told(one)}" for one in alive
            if one["id"] not in why]  # fmt: skip
    if len(alive) * 100 > PERCENT * len(results):
        said.append(f"{len(alive)} of {len(results)} survived: more than {PERCENT} %")
    said += [
        f"survived, though it has a name: {one['name']}"
        for one in named
        if one["verdict"] == "survived"
    ]
    return said


def told(one: Result) -> str:
    """Say a fault in a line."""
    return (
        f"{one['id']} {one['module']}:{one['line']} {one['operator']}:"
        f" {_short(one['removed'])} -> {_short(one['added']) or 'nothing'}"
    )


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 100 else f"{flat[:97]}..."

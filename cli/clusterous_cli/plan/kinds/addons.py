"""What the cluster itself runs: the table in the bucket, which the controller follows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from clusterous_cli.addons import table
from clusterous_cli.cluster.payload import ADDONS as KEY
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.files import CLOSED
from clusterous_cli.plan.kinds.kind import (
    Found,
    Id,
    Kind,
    Ref,
    Resource,
    Scope,
    Step,
    Value,
    Wish,
)

PART: Final = "add-ons"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Value):
    """The table as it is written."""

    bucket: Id
    text: str = field(repr=False)


def _want(wish: Wish) -> list[Resource]:
    made = wish.addons
    if made is None:
        return []
    # The controller fetches what the table names as soon as it sees it.
    files = tuple(f"s3:{blob.key}" for blob in made.blobs)
    value = Table(bucket=Ref("bucket"), text=made.text)
    return [Resource(kind=ADDONS, key="addons", value=value, needs=(*CLOSED, *files))]


def _look(at: Scope) -> list[Found]:
    text = at.told(KEY)
    if text is None:
        return []
    return [Found(kind=ADDONS, key="addons", id=KEY, value=Table(bucket=at.who.bucket, text=text))]


def _differ(wanted: Table, there: Table) -> tuple[str, ...]:
    """Name the add-ons that are not as wanted."""
    new, old = table.digests(wanted.text), table.digests(there.text)
    changed = [name for name in {**new, **old} if new.get(name) != old.get(name)]
    # The same things from other places, as when another release names its files otherwise.
    return tuple(changed) or (() if wanted.text == there.text else ("files",))


def _make(to: Site, step: Step, wanted: Table) -> str:
    to.s3("put_object", Key=KEY, Body=wanted.text.encode())
    return KEY


def _words(steps: Sequence[Step]) -> str:
    return ", ".join(_step_words(step) for step in steps)


def _step_words(step: Step) -> str:
    assert step.resource is not None
    new = table.digests(step.resource.value.text)
    if step.found is None:
        return ", ".join(table.noun(name) for name in new)
    old = table.digests(step.found.value.text)
    said = [f"{table.noun(name)} {_change(name, new, old)}" for name in step.drift]
    return ", ".join(said)


def _change(name: str, new: dict[str, str], old: dict[str, str]) -> str:
    if name not in old:
        return "added" if name in new else "moved"
    return "changed" if name in new else "removed"


ADDONS: Final = Kind(
    name="add-ons",
    part=PART,
    words=_words,
    wants=_want,
    look=_look,
    make=_make,
    changeable=True,
    differ=_differ,
)

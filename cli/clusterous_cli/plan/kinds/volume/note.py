"""What the controller is told of the shared volume: which, whose, and whether it was formatted.

It is an object of the bucket and no boot file, since the volume's id is known only when the machine
boots already. It is also how the record knows the volume: one that stands there and is not in AWS
any more was lost.
"""

import re
from dataclasses import dataclass
from typing import Final

from clusterous_cli.cluster.payload import VOLUME as OBJECT
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

PART: Final = "volume"
LINE: Final = re.compile(r"(vol-[0-9a-f]+) (ours|given) (blank|formatted)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Value):
    """A line: `vol-1 ours blank`. A volume that was *given* is never formatted."""

    volume: Id
    given: bool
    formatted: bool

    @property
    def line(self) -> str:
        """Spell it as the controller reads it."""
        whose = "given" if self.given else "ours"
        return f"{self.volume} {whose} {'formatted' if self.formatted else 'blank'}\n"


def _want(wish: Wish) -> list[Resource]:
    asked = wish.config.volume
    if not asked.served:
        return []
    is_given = asked.id is not None
    value = Note(volume=Ref("volume"), given=is_given, formatted=is_given or wish.formatted)
    return [Resource(kind=NOTE, key="volume-note", value=value, needs=CLOSED)]


def look(at: Scope) -> list[Found]:
    """Read what the controller was told."""
    owner = {"Bucket": at.who.bucket, "ExpectedBucketOwner": at.who.account}
    answer = at.cloud.find("s3", "get_object", Key=OBJECT, **owner)
    line = LINE.fullmatch(answer["Body"].read().decode("utf-8", "replace")) if answer else None
    if line is None:
        return []
    id, whose, state = line.groups()
    value = Note(volume=id, given=whose == "given", formatted=state == "formatted")
    return [Found(kind=NOTE, key="volume-note", id=OBJECT, value=value)]


def _make(to: Site, step: Step, wanted: Note) -> str:
    put(to, wanted)
    return OBJECT


def put(to: Site, told: Note) -> None:
    """Tell the controller."""
    to.s3("put_object", Key=OBJECT, Body=told.line.encode())


NOTE: Final = Kind(name="volume-note", part=PART, wants=_want, make=_make, changeable=True)

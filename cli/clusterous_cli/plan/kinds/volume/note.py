"""What the controller is told of the shared volume: which, whose, and whether it was formatted.

It is an object of the bucket and no boot file, since the volume's id is known only when the machine
boots already. It is also how the record knows the volume: one that stands there and is not in AWS
any more was lost. Of a file system on EFS, which no controller serves, it is for that alone.
"""

import re
from dataclasses import dataclass
from typing import Final

from clusterous_cli.addons import volumeserver
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
TEXT: Final = re.compile(r"id=((?:vol|fs)-[0-9a-f]+)\ngiven=(yes|no)\nmarked=(yes|no)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Value):
    """Which volume, and how; one that was *given* is never formatted."""

    volume: Id
    given: bool
    formatted: bool

    @property
    def is_own_on_efs(self) -> bool:
        """Whether it is a file system that the cluster made, which its tags find."""
        return not self.given and str(self.volume).startswith("fs-")

    @property
    def text(self) -> str:
        """Spell it as the volume server reads it."""
        return volumeserver.order(str(self.volume), given=self.given, marked=self.formatted)


def _want(wish: Wish) -> list[Resource]:
    asked = wish.config.volume
    is_given = asked.id is not None
    if not asked.served and not wish.on_efs:
        return []
    is_formatted = is_given or wish.on_efs or wish.formatted
    value = Note(volume=Ref("volume"), given=is_given, formatted=is_formatted)
    return [Resource(kind=NOTE, key="volume-note", value=value, needs=CLOSED)]


def look(at: Scope) -> list[Found]:
    """Read what the controller was told."""
    told = TEXT.fullmatch(at.told(OBJECT) or "")
    if told is None:
        return []
    id, is_given, is_marked = told.groups()
    value = Note(volume=id, given=is_given == "yes", formatted=is_marked == "yes")
    return [Found(kind=NOTE, key="volume-note", id=OBJECT, value=value)]


def _make(to: Site, step: Step, wanted: Note) -> str:
    put(to, wanted)
    return OBJECT


def put(to: Site, told: Note) -> None:
    """Tell the controller."""
    to.s3("put_object", Key=OBJECT, Body=told.text.encode())


NOTE: Final = Kind(name="volume-note", part=PART, wants=_want, make=_make, changeable=True)

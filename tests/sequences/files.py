"""Cluster files as values: random ones, and random changes of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

import yaml

NAME: Final = "reef"
TYPES: Final = ("t3.large", "m7i.large", "t3.medium")
POOLS: Final = ("worker", "cpu", "big")
MOST: Final = 3  # machines of a pool
USUAL: Final = {"size": 20, "iops": 3000, "throughput": 125}
# The volume that was kept last, whatever its id.
KEPT: Final = "kept"
# A volume that is not there.
NOWHERE: Final = "vol-0123456789abcdef0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """How many machines of which type."""

    type: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """The shared volume that a file asks for; *figures* are those that it says."""

    type: str = "ebs"  # ebs, efs, none
    id: str | None = None
    figures: Mapping[str, int] = field(default_factory=dict)

    @property
    def spelled(self) -> Any:
        """Spell it as the file has it."""
        if self.id:
            return {"id": self.id, **self.figures}
        return {"type": self.type, **self.figures} if self.figures else self.type


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A cluster file. *master* is the type of the machine for masters, None where there is none."""

    pools: Mapping[str, Pool]
    master: str | None = "t3.medium"
    volume: Volume = field(default_factory=Volume)
    zone: str | None = None

    @property
    def text(self) -> str:
        """Spell it."""
        content: dict[str, Any] = {
            "name": NAME,
            "pools": {
                name: {"type": one.type, "count": one.count} for name, one in self.pools.items()
            },
            "master": {"type": self.master} if self.master else "none",
            "volume": self.volume.spelled,
        }
        if self.zone:
            content["network"] = {"zone": self.zone}
        return yaml.safe_dump(content, sort_keys=False)

    def counted(self, pool: str, count: int) -> "File":
        """Return the file with another number of machines."""
        return replace(self, pools={**self.pools, pool: replace(self.pools[pool], count=count)})


def drawn(random: Random, *, kept: bool) -> File:
    """Draw a file; one with the volume that was kept, sometimes, where there is one."""
    names = random.sample(POOLS, random.choice((1, 1, 2)))
    return File(
        pools={name: _pool(random) for name in names},
        master=random.choice((None, "t3.medium", "t3.large")),
        volume=Volume(id=KEPT) if kept and random.random() < 0.7 else _volume(random),
        zone=random.choice((None, None, "a", "b")),
    )


def _pool(random: Random) -> Pool:
    return Pool(type=random.choice(TYPES), count=random.choice((0, 1, 1, 2)))


def _volume(random: Random) -> Volume:
    type = random.choice(("ebs", "ebs", "ebs", "efs", "none"))
    figures = {"size": random.choice((20, 30))} if type == "ebs" and random.random() < 0.7 else {}
    return Volume(type=type, figures=figures)


def changed(random: Random, file: File) -> File:
    """Change one thing of a file or two."""
    for _ in range(random.choice((1, 1, 2))):
        file = random.choice(CHANGES)(random, file)
    return file


def _counts(random: Random, file: File) -> File:
    return file.counted(random.choice(sorted(file.pools)), random.randint(0, MOST))


def _more_pools(random: Random, file: File) -> File:
    return replace(file, pools={**file.pools, random.choice(POOLS): _pool(random)})


def _fewer_pools(random: Random, file: File) -> File:
    gone = random.choice(sorted(file.pools))
    rest = {name: one for name, one in file.pools.items() if name != gone}
    return replace(file, pools=rest or {"other": _pool(random)})


def _renamed(random: Random, file: File) -> File:
    old, new = random.choice(sorted(file.pools)), random.choice(("renamed", *POOLS))
    return replace(
        file, pools={(new if name == old else name): one for name, one in file.pools.items()}
    )


def _type(random: Random, file: File) -> File:
    name = random.choice(sorted(file.pools))
    other = replace(file.pools[name], type=random.choice(TYPES))
    return replace(file, pools={**file.pools, name: other})


def _master(random: Random, file: File) -> File:
    return replace(file, master=random.choice((None, "t3.medium", "t3.large")))


def _figures(random: Random, file: File) -> File:
    if file.volume.type != "ebs":
        return replace(file, volume=_volume(random))
    name = random.choice(("size", "size", "iops", "throughput"))
    there = file.volume.figures.get(name, USUAL[name])
    other = {
        "size": max(10, there + random.choice((-10, 10, 20))),
        "iops": random.choice((3000, 4000, 5000)),
        "throughput": random.choice((125, 250)),
    }
    figures = {**file.volume.figures, name: other[name]}
    return replace(file, volume=replace(file.volume, figures=figures))


def _other_volume(random: Random, file: File) -> File:
    others = (Volume(type="efs"), Volume(type="none"), Volume(), Volume(id=NOWHERE))
    return replace(file, volume=random.choice((*others, Volume(id=KEPT))))


def _zone(random: Random, file: File) -> File:
    return replace(file, zone=random.choice((None, "a", "b")))


CHANGES: Final[tuple[Callable[[Random, File], File], ...]] = (
    *(_counts, _counts, _counts, _more_pools, _fewer_pools, _renamed, _type, _master),
    *(_figures, _figures, _other_volume, _zone),
)

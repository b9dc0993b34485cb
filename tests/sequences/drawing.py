"""Random sequences of steps: each is drawn for what there is by then, as the model says it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random
from typing import Final

from tests.sequences import files, model, steps
from tests.sequences.files import KEPT, File, Volume
from tests.sequences.model import NEW, Account, Cluster
from tests.sequences.steps import (
    KEEPS,
    Add,
    Create,
    Destroy,
    Earlier,
    Kill,
    LoseVolume,
    Remove,
    RemoveNamed,
    RestoreState,
    RestoreVolume,
    Snapshot,
    Step,
    SwitchOff,
)

FEWEST: Final = 8  # steps of a sequence
MORE: Final = 1
# How often there is a volume of before.
EARLIER: Final = 0.3
# How often commands die, of those that may.
DEATHS: Final = 0.25
CALLS: Final = 80  # that change something, at most, of which one is the last


def drawn(seed: int) -> tuple[Step, ...]:
    """Draw the sequence with this number: the same each time."""
    random = Random(seed)
    return tuple(_steps(random, FEWEST + random.randint(0, MORE)))


def _steps(random: Random, count: int) -> Iterator[Step]:
    """Yield so many steps, of which the last destroys what there is."""
    life = _Life(random)
    if random.random() < EARLIER:
        life.owed = [Earlier(zone=random.choice("ab"))]
    for _ in range(count - 1):
        yield life.next()
    yield Destroy(option=random.choice(("", KEEPS)))


@dataclass(slots=True)
class _Life:
    """What there is, with ids that only look like AWS's; *owed* is what follows by itself."""

    random: Random
    account: Account = field(default_factory=Account)
    owed: list[Step] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def next(self) -> Step:
        cluster = self.account.cluster
        if self.owed:
            step = self.owed.pop(0)
        else:
            step = self._begun() if cluster is None else self._lived(cluster)
        self.account = self._bound(model.after(self.account, step).account)
        return step

    def _begun(self) -> Step:
        if self.account.copies and self.random.random() < 0.3:
            return RestoreVolume()
        file = files.drawn(self.random, kept=bool(self.account.kept))
        return Create(file=file, dies=self._dies())

    def _lived(self, cluster: Cluster) -> Step:
        chance, file = self.random.random(), _as_meant(cluster.file)
        if cluster.lost:
            return self._mended(file)
        if chance < 0.37:
            return Create(file=files.changed(self.random, file), dies=self._dies())
        if chance < 0.47:
            return Add(pool=self._pool(file), count=self.random.randint(1, 2))
        if chance < 0.57:
            pool = self._pool(file)
            return Remove(pool=pool, count=self.random.randint(1, max(file.pools[pool].count, 1)))
        if chance < 0.64:
            return RemoveNamed(pool=self._pool(file), replaces=self.random.random() < 0.5)
        if chance < 0.86:
            return self._killed(cluster)
        if chance < 0.90:
            return RestoreState()
        if chance < 0.97 and file.volume.type == "ebs":
            self.owed = [LoseVolume()]
            return Snapshot()
        return Destroy(option=self.random.choice(("", KEEPS, KEEPS, steps.FORCES)),
                       dies=self._dies())  # fmt: skip

    def _killed(self, cluster: Cluster) -> Step:
        there = sorted(pool for pool, one in cluster.machines.items() if one.ids)
        what = self.random.choice((*there, *there, *steps.GROUND, "off"))
        if self.random.random() < 0.5:
            self.owed = [Create(dies=self._dies())]
        return SwitchOff() if what == "off" else Kill(what=what)

    def _mended(self, file: File) -> Step:
        """Go on after the shared volume was lost, or first try what will not do."""
        if self.random.random() < 0.4:
            other = None if self.random.random() < 0.5 else files.changed(self.random, file)
            return Create(file=other)
        self.owed = [Create(file=replace(file, volume=Volume(id=KEPT)))]
        return RestoreVolume()

    def _pool(self, file: File) -> str:
        return self.random.choice(sorted(file.pools))

    def _dies(self) -> int | None:
        return self.random.randint(0, CALLS) if self.random.random() < DEATHS else None

    def _bound(self, account: Account) -> Account:
        """Give ids to what is new, as AWS would."""
        cluster = account.cluster
        file_system = cluster and cluster.volume == NEW and cluster.file.volume.type == "efs"
        return model.bound(
            account, lambda _, one: self._machines(one),
            volume=self._id("fs" if file_system else "vol"), copy=self._id("snap"),
            state=self._id("vol"),
        )  # fmt: skip

    def _machines(self, one: model.Machines) -> model.Machines:
        stay = sorted(one.ids)[: len(one.ids) - one.fewer]
        more = [self._id("i") for _ in range(one.more)]
        return model.Machines(type=one.type, ids=frozenset((*stay, *more)))

    def _id(self, kind: str) -> str:
        return f"{kind}-{next(self.numbers)}"


def _as_meant(file: File) -> File:
    """Put the word back for the id of a volume that was taken: AWS gives others."""
    return replace(file, volume=replace(file.volume, id=KEPT)) if file.volume.id else file

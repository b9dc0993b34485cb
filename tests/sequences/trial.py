"""A sequence is tried: each step happens, and what there is then is held to the model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clusterous_cli.cluster import config
from tests.sequences import compare, model
from tests.sequences.account import Stage
from tests.sequences.model import Account, Outcome
from tests.sequences.steps import Destroy, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a sequence went: at which *step* it went otherwise than the model, and in what."""

    steps: int
    sequence: tuple[str, ...] = ()
    step: str = ""
    other: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    said: str = ""

    @property
    def good(self) -> bool:
        return not self.other and not self.left

    def shown(self) -> dict[str, Any]:
        """Return what is told of one that failed."""
        return {
            "steps": list(self.sequence), "at": self.step, "other": list(self.other),
            "left": list(self.left), "said": self.said,
        }  # fmt: skip


class Trials:
    """Tries sequences in one account, one after another."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        # What clusters stand on that were made at once, by what makes a difference there.
        self._grounds: dict[tuple[str, ...], tuple[str, ...]] = {}

    def run(self, sequence: Sequence[Step]) -> Result:
        """Try one; the account is empty before and after."""
        self._stage.empty()
        account = Account()
        for number, step in enumerate((*sequence, Destroy()), start=1):
            if number > len(sequence) and account.cluster is None:
                break  # it ended with that
            result = self._step(account, step, number)
            if isinstance(result, Result):
                return replace(result, sequence=tuple(str(one) for one in sequence))
            account = result
        self._stage.clear(account)
        left = tuple(self._stage.world.server.leftovers())
        return Result(steps=len(sequence), step="the end", left=left, said=self._stage.said)

    def _step(self, account: Account, step: Step, number: int) -> Account | Result:
        wanted = model.after(account, step)
        first = len(self._stage.world.mutating())
        try:
            code = self._stage.carry_out(account, step)
        except Exception as error:  # of the product: a traceback is what a person would see
            return self._result(number, step, (f"{type(error).__name__}: {error}",))
        seen = self._stage.look()
        found = compare.compare(wanted.account, seen)
        other = [
            *found.other,
            *_code(code, wanted),
            *_calls(self._stage.world.mutating()[first:], wanted),
            *self._ground(account, found.account, step, seen.ground),
            *self._record(found.account),
        ]
        return self._result(number, step, tuple(other)) if other else found.account

    def _result(self, number: int, step: Step, other: tuple[str, ...]) -> Result:
        return Result(steps=number, step=str(step), other=other, said=self._stage.said)

    def _ground(
        self, before: Account, after: Account, step: Step, ground: tuple[str, ...]
    ) -> Iterator[str]:
        """Compare what a whole cluster stands on with what one has that was made at once."""
        cluster = after.cluster
        if cluster is None or cluster.hurt:
            return
        key = (cluster.zone, cluster.file.volume.type, str(cluster.given))
        if before.cluster is None and getattr(step, "dies", None) is None:
            self._grounds.setdefault(key, ground)
        usual = self._grounds.get(key, ground)
        yield from (f"the ground lacks: {one}" for one in sorted(set(usual) - set(ground)))
        yield from (f"the ground has: {one}" for one in sorted(set(ground) - set(usual)))

    def _record(self, account: Account) -> Iterator[str]:
        """Look whether the record says what is wanted; a cluster that is lost has its own."""
        kept, cluster = self._stage.record(), account.cluster
        wanted = config.parse(cluster.file.text) if cluster else None
        if kept != wanted:
            yield f"the record says {kept}, not {wanted}"


def _code(code: int, wanted: Outcome) -> Iterator[str]:
    if code != wanted.code:
        yield f"the exit code is {code}, not {wanted.code}"


def _calls(calls: Sequence[str], wanted: Outcome) -> Iterator[str]:
    strange = [one for one in calls if not (wanted.still and one.startswith("s3:"))]
    if wanted.silent and calls:
        yield f"what is refused called {calls}"
    elif wanted.still and strange:
        yield f"where nothing was to change it called {strange}"

"""What the operator is to reach, in one table, and whether it was met."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A figure, and the bound that it must keep."""

    figure: str
    words: str
    bound: float
    at_least: bool = False

    def is_met(self, value: float) -> bool:
        """Tell whether a value keeps the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


def _times_writer(apps: int) -> Target:
    words = f"{apps:,} apps: time against the plain bulk writer's"
    return Target(figure=f"times_writer_{apps}", words=words, bound=1.3)


TARGETS: Final[tuple[Target, ...]] = (
    _times_writer(200),
    _times_writer(500),
    _times_writer(1000),
    Target(
        figure="times_faster_than_dask_200",
        words="200 apps: how many times faster than dask-kubernetes",
        bound=3.5,
        at_least=True,
    ),
    Target(
        figure="change_p99_ms",
        words="change to first child write, p99, in ms",
        bound=100,
    ),
    Target(figure="resident_mib_1000", words="1,000 apps: resident MiB", bound=128),
    Target(figure="growth_kb_per_app", words="growth of memory in kB per app", bound=20),
    Target(figure="quiet_writes", words="writes in the quiet minutes, leases aside", bound=0),
    Target(figure="restart_seconds", words="1,000 apps: restart caught up, in s", bound=5),
    Target(figure="restart_writes", words="writes after the restart, leases aside", bound=0),
    Target(
        figure="neighbour_times",
        words="others' p99 beside a 500-worker app against before",
        bound=2,
    ),
    Target(figure="idle_cpu_percent", words="CPU while idle, in percent", bound=1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A target and what was measured; None where it was not."""

    target: Target
    value: float | None

    @property
    def word(self) -> str:
        """Return it in words."""
        if self.value is None:
            return "not measured"
        return "met" if self.target.is_met(self.value) else "not met"


def judge(figures: Figures) -> list[Verdict]:
    """Hold figures to the targets."""
    return [Verdict(target=one, value=figures.get(one.figure)) for one in TARGETS]

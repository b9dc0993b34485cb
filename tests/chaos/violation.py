"""What a rule is, and what it says when it was broken. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from tests.chaos.history import Body, Moment, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A rule that was broken, and how."""

    rule: str
    subject: str
    version: int
    what: str

    def __str__(self) -> str:
        """Return it as a person reads it."""
        return f"{self.rule}: {self.subject} at version {self.version}: {self.what}"


def of_app(rule: str, app: Body, moment: Moment, what: str) -> Violation:
    """Return how an app broke a rule at that moment."""
    name = str(app["metadata"]["name"])
    return Violation(rule=rule, subject=name, version=moment.version, what=what)


class Rule(Protocol):
    """Something that must hold."""

    def look(self, world: World, moment: Moment) -> Iterable[Violation]:
        """Say what *moment* broke; *world* is as it left it."""

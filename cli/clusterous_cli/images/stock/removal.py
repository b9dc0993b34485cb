"""Decides which images may go: none that anybody uses, or that such a one is built on. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from clusterous_cli.images.stock.shelf import Item
from clusterous_cli.images.stock.usage import Uses


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What goes, and what stays with the reason why."""

    go: tuple[Item, ...] = ()
    stay: tuple[tuple[Item, str], ...] = ()

    @property
    def size(self) -> int:
        """Return how many bytes go, at most: layers that others have, too, stay."""
        return sum(item.size for item in self.go)


def decide(wanted: Sequence[Item], everything: Sequence[Item], uses: Uses) -> Decision:
    """Decide about the images that are *wanted* away, of *everything* that the registry has."""
    reasons = [(item, why_not(item, everything, uses)) for item in wanted]
    return Decision(
        go=tuple(item for item, why in reasons if not why),
        stay=tuple((item, why) for item, why in reasons if why),
    )


def why_not(item: Item, everything: Sequence[Item], uses: Uses) -> str:
    """Say why an image has to stay; nothing if it need not."""
    if users := users_of(item, uses):
        return f"used by {', '.join(users)}"
    for other in everything:
        if is_built_on(other, item) and (users := users_of(other, uses)):
            return f"{other.title} is built on it, which is used by {', '.join(users)}"
    if uses.unasked:
        name, reason = next(iter(uses.unasked.items()))
        return f"{name} could not be asked whether it uses it ({reason})"
    return ""


def users_of(item: Item, uses: Uses) -> tuple[str, ...]:
    """Return who names an image: by its digest, wherever that may be, or by one of its tags."""
    tagged = {f"/{item.repository}:{tag}" for tag in item.tags}
    whole = f"/{item.repository}"
    found = {
        f"{use.who} on {use.cluster}"
        for use in uses.found
        if item.digest in use.image
        or any(use.image.endswith(tag) for tag in tagged)
        or (use.image.endswith(whole) and "latest" in item.tags)
    }
    return tuple(sorted(found))


def is_built_on(upper: Item, lower: Item) -> bool:
    """Whether *upper* begins with all that *lower* is."""
    count = len(lower.layers)
    begins = upper.layers[:count] == lower.layers
    return count > 0 and begins and upper.digest != lower.digest


def prunable(
    items: Sequence[Item], now: datetime, older: timedelta, also_named: bool
) -> list[Item]:
    """Return what nobody would miss if nobody uses it: no name of people's, and not just pushed.

    Who builds would miss a cache; the registry removes one that is old by itself.
    """
    return [
        item
        for item in items
        if now - item.pushed >= older and (also_named or not (item.pointers or item.is_cache))
    ]

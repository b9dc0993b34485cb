"""How images look: a table for people, mappings for programs. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from clusterous_cli.images.stock.removal import Decision
from clusterous_cli.images.stock.shelf import Item
from clusterous_cli.terminal import spell

HEAD: Final = ("image", "also", "built of", "digest", "size", "age")


def listed_data(items: Sequence[Item], registry: str, now: datetime) -> list[dict[str, Any]]:
    """Return images for programs; sizes in bytes, as the registry keeps them."""
    return [item_data(item, registry, now) for item in items]


def item_data(item: Item, registry: str, now: datetime) -> dict[str, Any]:
    """Return one image for programs."""
    return {
        "name": item.name,
        "tags": list(item.tags),
        "digest": item.digest,
        "reference": f"{registry}/{item.repository}@{item.digest}",
        "size": item.size,
        "pushed": item.pushed.isoformat(timespec="seconds"),
        "age_seconds": round((now - item.pushed).total_seconds()),
    }


def listed_table(items: Sequence[Item], now: datetime) -> str:
    """Return images for people."""
    total = sum(item.size for item in items)
    count = spell.plural(len(items), "image")
    words = f"  {count}, {spell.size(total)} (layers that several have are counted for each)"
    return "\n".join([spell.table([HEAD, *(_row(item, now) for item in items)]), words])


def _row(item: Item, now: datetime) -> tuple[str, ...]:
    return (
        item.title,
        " ".join(item.pointers[1:]) or "-",
        " ".join(tag for tag in item.tags if tag not in item.pointers) or "-",
        item.digest[:19],
        spell.size(item.size),
        spell.duration((now - item.pushed).total_seconds()),
    )


def described_data(
    item: Item, config: Mapping[str, Any], registry: str, now: datetime
) -> dict[str, Any]:
    """Return for programs what an image is, and what it says of itself."""
    return {
        **item_data(item, registry, now),
        "author": str(config.get("author") or ""),
        "created": str(config.get("created") or ""),
        "platform": f"{config.get('os')}/{config.get('architecture')}",
    }


def described_table(data: Mapping[str, Any]) -> str:
    """Return the same for people."""
    age = spell.duration(data["age_seconds"])
    rows = [
        ("name", str(data["name"])),
        ("tags", " ".join(data["tags"]) or "-"),
        ("id", str(data["digest"])),
        ("author", data["author"] or "-"),
        ("created", data["created"] or "-"),
        ("platform", str(data["platform"])),
        ("pushed", f"{data['pushed']}, {age} ago"),
        ("size", spell.size(data["size"])),
        ("by digest", str(data["reference"])),
    ]
    return spell.table(rows)


def stay_words(decision: Decision) -> list[str]:
    """Say of each image that stays, why."""
    return [f"{item.title} stays: {why}" for item, why in decision.stay]


def removal_words(decision: Decision, place: str) -> str:
    """Say what is about to be removed."""
    rows = [(item.title, item.digest[:19], spell.size(item.size)) for item in decision.go]
    count = spell.plural(len(rows), "image")
    return f"This removes {count} from the registry of {place}:\n{spell.table(rows)}"


def removal_data(decision: Decision) -> dict[str, Any]:
    """Return for programs what goes and what stays."""
    return {
        "removed": [{"name": one.name, "digest": one.digest} for one in decision.go],
        "kept": [
            {"name": one.name, "digest": one.digest, "reason": why} for one, why in decision.stay
        ],
    }

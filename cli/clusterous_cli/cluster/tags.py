"""Whose a thing is that AWS lists, by its tags."""

from collections.abc import Mapping
from typing import Any, Final

from clusterous_api import names
from clusterous_cli.cluster.identity import Identity

# The states of a machine that is not (about to be) gone.
LIVE: Final = ("pending", "running", "stopping", "stopped")
ENDED: Final = ("shutting-down", "terminated")  # which EC2 tells for about an hour

# What says whose a thing is, and what for: without these it is nobody's.
OWN: Final = (names.TAG_ROLE, names.TAG_CLUSTER, names.TAG_UID)


def tags_of(item: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of an AWS answer as a mapping."""
    return {tag["Key"]: tag["Value"] for tag in item.get("Tags") or ()}


def as_items(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as AWS takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tagged(who: Identity) -> list[dict[str, Any]]:
    """Return EC2's filter for what bears our tags."""
    return [{"Name": f"tag:{names.TAG_UID}", "Values": [who.uid]}]


def is_ours(item: Mapping[str, Any], who: Identity) -> bool:
    """Whether a thing bears our tags.

    Asked again here, since a filter that is ignored would show us another cluster's things.
    """
    return tags_of(item).get(names.TAG_UID) == who.uid


def is_named(item: Mapping[str, Any], who: Identity) -> bool:
    """Whether a thing bears all that names it ours, as the call that made it gave it."""
    tags = tags_of(item)
    whole = tags.get(names.TAG_CLUSTER) == who.name and bool(tags.get(names.TAG_ROLE))
    return is_ours(item, who) and whole


def key_of(item: Mapping[str, Any], who: Identity) -> str:
    """Return what the plan calls a thing of ours; nothing for others."""
    return tags_of(item).get(names.TAG_ROLE, "") if is_ours(item, who) else ""


def belongs_to(tags: Mapping[str, str], who: Identity) -> bool:
    """Whether the tags are our cluster's; by its name alone where there is no other's uid."""
    uid = tags.get(names.TAG_UID)
    return uid == who.uid or (uid is None and tags.get(names.TAG_CLUSTER) == who.name)


def is_kept_from(tags: Mapping[str, str], who: Identity) -> bool:
    """Whether the tags are those of what outlasts our cluster on purpose, and is nobody's."""
    return tags.get(names.TAG_KEPT) == who.name and not belongs_to(tags, who)


def made_by_aws(item: Mapping[str, Any]) -> str:
    """Say which service of AWS put a thing into the network by itself, and whether it may go."""
    if tags_of(item).get("GuardDutyManaged") == "true":
        return (
            "Amazon GuardDuty made it by itself; it may be removed (destroy --guardduty), and comes"
            " back while GuardDuty watches this network"
        )
    return ""


def owner_of(tags: Mapping[str, str]) -> str | None:
    """Return the name of the cluster whose own a thing with these tags is."""
    return tags.get(names.TAG_CLUSTER) if tags.get(names.TAG_UID) else None

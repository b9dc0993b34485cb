"""What destroy says: what goes, what stays and what is kept, for people and for programs. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from clusterous_cli.cluster import config, prices
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.plan import sweep
from clusterous_cli.plan.kinds.images import REPOSITORY, SHARED
from clusterous_cli.plan.kinds.kind import Found, Left
from clusterous_cli.plan.kinds.kubernetes.balancers import BALANCER
from clusterous_cli.plan.kinds.kubernetes.claims import CLAIM
from clusterous_cli.plan.kinds.machines import MACHINES
from clusterous_cli.plan.kinds.network import VPC
from clusterous_cli.plan.kinds.volume import ebs, efs
from clusterous_cli.terminal import spell

GIVEN: Final = (ebs.GIVEN, efs.GIVEN)


def seen_data(cluster: str, seen: sweep.Seen) -> dict[str, Any]:
    """Return for programs what destroy left behind, and what it could not look for."""
    left = [_left_data(one) for one in seen.left]
    return {"cluster": cluster, "left": left, "unseen": list(seen.unseen)}


def _left_data(one: Left) -> dict[str, Any]:
    # An hourly price of None is not known.
    hourly = None if one.hourly is None else round(one.hourly, 4)
    return {"kind": one.kind, "id": one.id, "ours": one.ours, "hourly": hourly}


WHERE_TO: Final = (
    "What central logging has collected goes with the cluster. Into which folder here is it to be"
    " written first (-: it is not)"
)
LOGS_FLAGS: Final = "--export-logs FOLDER, or --discard-logs"
NOWHERE: Final = "-"
NO_EXPORT: Final = (
    "What was collected is in {store}, which has ways of its own to export it. Nothing was removed;"
    " --discard-logs lets it go with the cluster."
)
NOT_SAVED: Final = (
    "So what central logging has collected could not be written, and nothing was removed."
    " --discard-logs lets it go with the cluster."
)


def saved_words(files: int, folder: str) -> str:
    """Say what was written before anything goes."""
    if not files:
        return "Central logging has collected nothing of any program."
    return f"{spell.plural(files, 'file')} of what central logging has collected: {folder}/logs"


def has_controller(found: Sequence[Found]) -> bool:
    """Whether there is a way to what runs on the cluster, as far as AWS knows."""
    machines = [one for one in found if one.kind is MACHINES and one.ours]
    return any(one.key == config.CONTROLLER.key for one in machines)


def removal_words(
    who: Identity,
    found: Sequence[Found],
    *,
    keep: bool = False,
    force: bool = False,
    logs: bool = False,
    keep_images: bool = False,
) -> str:
    """Say what destroy is about to remove, and what it is to *keep*.

    With *force*, a volume that was taken by its id goes, too; with *logs*, what was collected.
    """
    machines = sum(len(one.id.split()) for one in found if one.kind is MACHINES and one.ours)
    images = sum(one.kind is REPOSITORY for one in found)
    things = [spell.plural(machines, "machine")] if machines else []
    things += ["the network"] if any(one.kind is VPC and one.ours for one in found) else []
    things += [] if keep else _data_words(found)
    things += _made_by_kubernetes(found)
    given = [one.id for one in found if one.kind in GIVEN and force]
    things += [f"the volume {id}, which was there before it" for id in given]
    things += [spell.plural(images, "image repository")] if images and not keep_images else []
    shared = [one for one in found if one.kind is SHARED and not keep_images]
    things += [f"the images in the bucket {one.id}" for one in shared if not one.value.others]
    things += ["what central logging has collected"] if logs else []
    what = ", ".join(things) or "what is left of it"
    stays = [f" The volume {one.id} stays." for one in _staying(found, keep=keep, force=force)]
    stays += [
        f" The images in the bucket {one.id} stay: {_listed(one)} uses them, too."
        for one in shared
        if one.value.others
    ]
    stays += [" Its images stay."] if keep_images and has_images(found) else []
    return (
        f"This removes {who.name} in {who.region} (account {who.account}): {what}.{''.join(stays)}"
    )


def has_images(found: Sequence[Found]) -> bool:
    """Tell whether there is a question about images: those that others use stay in any case."""
    return any(one.kind is REPOSITORY or (one.kind is SHARED and not one.value.others)
               for one in found)  # fmt: skip


def images_words(found: Sequence[Found]) -> str:
    """Say where the images are that were built for the cluster."""
    repositories = sum(one.kind is REPOSITORY for one in found)
    places = [f"{spell.plural(repositories, 'repository')} of ECR"] if repositories else []
    places += [f"the bucket {one.id}" for one in found if one.kind is SHARED]
    return f"Images were built for it: in {' and '.join(places)}."


def _listed(shared: Found) -> str:
    return ", ".join(name for _, name in shared.value.others)


def _data_words(found: Sequence[Found]) -> list[str]:
    """Say of which volumes of the cluster's own the data goes."""
    sizes = [one.value.size for one in found if one.kind is efs.FILE_SYSTEM]
    data = [f"the volume with {spell.size(sum(sizes))} of data"] if sizes else []
    return data + [f"the volume {ebs.spelled(one)}" for one in found if one.kind is ebs.VOLUME]


def _made_by_kubernetes(found: Sequence[Found]) -> list[str]:
    """Say what controllers on the cluster made for programs, and what goes with them of data."""
    sizes = [one.value.size for one in found if one.kind is CLAIM and one.value.proven]
    volumes = spell.plural(len(sizes), "volume")
    balancers = sum(one.kind is BALANCER and one.ours for one in found)
    return [
        *([f"{volumes} of programs' claims ({sum(sizes)} GiB)"] if sizes else []),
        *([spell.plural(balancers, "load balancer")] if balancers else []),
    ]


def _staying(found: Sequence[Found], *, keep: bool, force: bool) -> list[Found]:
    """Return the shared volumes that outlast their cluster."""
    own = (ebs.VOLUME, efs.FILE_SYSTEM)
    return [
        one for one in found
        if (one.kind in GIVEN and not force) or (keep and one.kind in own)
    ]  # fmt: skip


def kept_data(
    found: Sequence[Found], seen: sweep.Seen, region: str, *, keep: bool, force: bool = False
) -> list[dict[str, Any]]:
    """Return what outlasts the cluster on purpose, with the dollars of a month.

    That is of what was *found* the shared volume, and what the last look *seen* knows as kept.
    """
    factor = prices.FACTORS.get(region, 1.0)
    volumes = {
        one.id: (efs if one.id.startswith("fs-") else ebs).monthly(one.value) * factor
        for one in _staying(found, keep=keep, force=force)
    }
    rest = [one for one in seen.kept if one.id not in volumes]
    return [
        *({"kind": "volume", "id": id, "monthly": round(cost, 2)} for id, cost in volumes.items()),
        *({"kind": one.kind, "id": one.id, "monthly": _monthly(one)} for one in rest),
    ]


def _monthly(one: Left) -> float:
    return round((one.hourly or 0.0) * prices.HOURS_PER_MONTH, 2)


def kept_words(kept: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what outlasts the cluster, what it costs, and how the next one takes it."""
    return [KEPT[one["kind"]].format(**one) for one in kept]


KEPT: Final = {
    "volume": "the volume {id} is kept, {monthly:.2f} $ a month: the next cluster takes it by"
    " volume: {{id: {id}}}",
    "snapshot": "the snapshot {id} is kept, at most {monthly:.2f} $ a month",
    "image repository": "the image repository {id} is kept; the next cluster of its name takes it",
}


def nothing_words(who: Identity, seen: sweep.Seen) -> str:
    """Say that nothing was there to be removed; never that there is nothing, unless it was seen."""
    place = f"in {who.region} (account {who.account})"
    if seen.unseen:
        return f"Nothing of {who.name} was found {place}, but not all could be looked at."
    return f"There is nothing of {who.name} {place}."


def gone_words(who: Identity, seen: sweep.Seen, seconds: float) -> str:
    """Say that what was found is gone, and how far that is all."""
    looked = sweep.kinds() - len(seen.unseen)
    took = f"after {spell.duration(seconds)}"
    if seen.unseen:
        return (
            f"✓ what was found of {who.name} is gone {took}; only {looked} of {sweep.kinds()} kinds"
            " of things could be looked for."
        )
    return f"✓ {who.name} is gone {took}; nothing is left (looked for {looked} kinds of things)."


def managed_words(found: Sequence[Found]) -> str:
    """Say what AWS made by itself in the network, without which it cannot go."""
    things = ", ".join(f"{one.kind.noun} {one.id}" for one in found)
    return f"Amazon GuardDuty made {things} in the network by itself, which keeps it from going."

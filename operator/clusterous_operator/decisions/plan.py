"""The difference between what is wanted and what is there, as a list of steps. Pure.

Only what we own is compared: a field that the API server or somebody else filled in is none of our
business, a field of ours that was changed is put back.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clusterous_api import names, quantity
from clusterous_operator.cache import observed
from clusterous_operator.cache.observed import CLAIM, VOLUME, Child
from clusterous_operator.manifests import JOB_LIMITS, JOB_MUTABLE, Manifest
from clusterous_operator.objects import merge


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """Make or mend an object. *exists* False: it must not be another's that has its name.

    *version* is the one that was seen; should it not be the present one, we look again. And *uid*
    says whose version: without it the API server makes an object anew that is gone by now.
    """

    manifest: Manifest
    exists: bool
    version: int = field(default=0, compare=False)
    uid: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Change a few fields of an object that may not be applied as a whole."""

    child: Child
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Remove an object, and its pods with it."""

    child: Child


Step = Apply | Patch | Delete
_OURS = (names.LABEL_APP, names.LABEL_MANAGED_BY)
Children = Mapping[tuple[str, str], Child]
Begun = Callable[[str | None], bool]


def plan(
    wanted: Iterable[Manifest],
    kept: frozenset[tuple[str, str]],
    found: Children,
    begun: Begun = lambda component: False,
    accepted: Collection[int] = (),
) -> list[Step]:
    """Return the steps from *found* to *wanted*; objects of the app beyond *kept* are removed.

    *begun* tells whether a pod of a component has begun to run: its Job is not made anew then.
    *accepted* are marks of what an apply led to, other than it was applied: a policy or a default
    makes it so, and would again.
    """
    removals: list[Step] = [
        Delete(child=one)
        for key, one in found.items()
        if key not in kept and one.kind not in (CLAIM, VOLUME) and not one.deleting
    ]
    changes = [
        _step(one, found.get((one["kind"], one["metadata"]["name"])), begun, accepted)
        for one in wanted
    ]
    return removals + [one for one in changes if one is not None]


def waves(steps: Iterable[Step]) -> list[list[Step]]:
    """Return the steps as groups of what may be done side by side, one group after the other.

    Volumes come first. A claim that finds its volume is bound at once; one that is made beside it
    may wait for the volume controller's next round, 15 s later.
    """
    first: list[Step] = []
    rest: list[Step] = []
    for one in steps:
        (first if _makes_volume(one) else rest).append(one)
    return [wave for wave in (first, rest) if wave]


def _makes_volume(step: Step) -> bool:
    return isinstance(step, Apply) and step.manifest["kind"] == VOLUME


def next_run(
    wanted: Iterable[Manifest], found: Children, begun: Begun = lambda component: False
) -> frozenset[str]:
    """Return the components whose Job runs what was asked before: a change counts from the next."""
    late = set()
    for one in wanted:
        child = found.get((one["kind"], one["metadata"]["name"]))
        if child is None or child.kind != observed.JOB or child.deleting:
            continue
        is_over = child.state.get("complete") or child.state.get("broken")
        if child.component and not is_over and _is_stuck_to(one, child, begun):
            late.add(child.component)
    return frozenset(late)


def _is_stuck_to(manifest: Manifest, child: Child, begun: Begun) -> bool:
    """Tell whether a Job is not as it is wanted, and too far to be made anew."""
    noted = manifest["metadata"]["annotations"]
    if child.applied == noted[names.ANNOTATION_APPLIED] or not _has_run(child, begun):
        return False
    fixed = {key: value for key, value in manifest["spec"].items() if key not in JOB_MUTABLE}
    return not holds(fixed, child.content()["spec"])


def _has_run(child: Child, begun: Begun) -> bool:
    has_ended = child.state.get("succeeded") or child.state.get("failed")
    return bool(has_ended) or begun(child.component)


def _step(
    manifest: Manifest, child: Child | None, begun: Begun, accepted: Collection[int]
) -> Step | None:
    if child is None:
        return Apply(manifest=manifest, exists=False)
    if child.deleting:
        return None  # made anew when it is gone
    match child.kind:
        case observed.VOLUME:
            return _volume_step(child)
        case observed.CLAIM:
            return _claim_step(manifest, child)
        case observed.JOB:
            return _job_step(manifest, child, begun)
        case observed.SERVICE if _has_address(manifest) == (child.state["address"] == "None"):
            return Delete(child=child)  # made anew: an address is given once and for all
    if not differs(manifest, child) or mark(manifest, child) in accepted:
        return None
    return Apply(manifest=manifest, exists=True, version=child.version, uid=child.uid)


def _has_address(service: Manifest) -> bool:
    return bool(service["spec"].get("clusterIP") != "None")


def _volume_step(child: Child) -> Step | None:
    """Free a volume whose claim is gone, so that the next claim of that name gets it back."""
    if child.state.get("phase") != "Released":
        return None
    return Patch(child=child, body={"spec": {"claimRef": {"uid": None, "resourceVersion": None}}})


def _claim_step(manifest: Manifest, child: Child) -> Step | None:
    """Let a claim of ours go with its app, or stay: the rest of a claim is never edited."""
    metadata = manifest["metadata"]
    if any(child.labels.get(key) != metadata["labels"].get(key) for key in _OURS):
        return None  # somebody else made it: it is used, but it is not ours to give away
    owners = metadata.get("ownerReferences") or []
    if owners and child.owner_uid is None:
        return Patch(child=child, body={"metadata": {"ownerReferences": owners}})
    if not owners and child.owner_uid is not None:
        return Patch(child=child, body={"metadata": {"ownerReferences": None}})
    return None


def _job_step(manifest: Manifest, child: Child, begun: Begun) -> Step | None:
    """Replace a Job that is asked to run something else; its template may not be changed.

    While none of its pods has begun, whatever else is asked for otherwise counts, too: so a Job
    that waits for a node, or for an image, can be mended.
    """
    noted = manifest["metadata"]["annotations"]
    if child.run != noted[names.ANNOTATION_RUN]:
        return Delete(child=child)
    if child.state.get("complete") or child.state.get("broken"):
        return None
    if child.applied != noted[names.ANNOTATION_APPLIED] and not _has_run(child, begun):
        return Delete(child=child)
    spec = manifest["spec"]
    changes = {key: spec.get(key) for key in JOB_LIMITS if spec.get(key) != child.state.get(key)}
    if spec["suspend"] != child.state.get("suspended"):
        changes["suspend"] = spec["suspend"]
    return Patch(child=child, body={"spec": changes}) if changes else None


def differs(manifest: Manifest, child: Child) -> bool:
    """Tell whether an object is not as it was applied, or was applied otherwise."""
    if child.applied != manifest["metadata"]["annotations"][names.ANNOTATION_APPLIED]:
        return True
    owners = manifest["metadata"].get("ownerReferences") or ()
    if any(one["uid"] != child.owner_uid for one in owners):
        return True
    content = child.content()
    labels = {"labels": manifest["metadata"].get("labels", {})}
    return not holds(labels, content["metadata"]) or not holds(manifest["spec"], content["spec"])


def mark(manifest: Manifest, child: Child) -> int:
    """Return by what an object is known again that is as it was when this manifest was applied."""
    applied = manifest["metadata"]["annotations"][names.ANNOTATION_APPLIED]
    return hash((child.kind, child.name, child.owner_uid, applied, child.packed))


def difference(manifest: Manifest, child: Child) -> str:
    """Return the path of the first field that is not as it was applied; none: it is as applied."""
    content = child.content()
    labels = {"labels": manifest["metadata"].get("labels", {})}
    of_labels = _where("metadata", labels, content["metadata"])
    return of_labels or _where("spec", manifest["spec"], content["spec"])


def _where(path: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    for key, value in ours.items():
        found = theirs.get(key)
        if not _same(key, value, found):
            return _within(f"{path}.{key}", key, value, found)
    return ""


def _within(path: str, key: str, ours: Any, theirs: Any) -> str:
    """Return where in a field the difference is, as far as it has parts."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return _where(path, ours, theirs) or path
    are_lists = isinstance(ours, list) and isinstance(theirs, list)
    if are_lists and merge.are_named(key, [*ours, *theirs]):
        named = {merge.identity(key, item): item for item in theirs}
        for item in ours:
            identity = merge.identity(key, item)
            if not holds(item, named.get(identity, {})):
                return _where(f"{path}[{identity[0]}]", item, named.get(identity, {}))
    return path


def holds(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Tell whether every field of *ours* stands in *theirs*."""
    return all(_same(key, value, theirs.get(key)) for key, value in ours.items())


_QUANTITIES = frozenset({"requests", "limits", "capacity", "overhead"})
_QUANTITY = frozenset({"sizeLimit", "divisor"})


def _same(key: str, ours: Any, theirs: Any) -> bool:
    if ours == theirs:
        return True  # most are, and to find that out takes no step of ours
    if theirs is None:
        return not ours  # the API server drops what is empty
    if isinstance(ours, Mapping):
        if key in _QUANTITIES:
            return _same_amounts(ours, theirs)
        return isinstance(theirs, Mapping) and holds(ours, theirs)
    if isinstance(ours, list | tuple):
        return isinstance(theirs, list) and _same_list(key, ours, theirs)
    return key in _QUANTITY and quantity.same(ours, theirs)


def _same_amounts(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    return all(quantity.same(value, theirs.get(name)) for name, value in ours.items())


def _same_list(key: str, ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    if merge.are_named(key, [*ours, *theirs]):
        named = {merge.identity(key, item): item for item in theirs}
        return all(holds(item, named.get(merge.identity(key, item), {})) for item in ours)
    if len(ours) != len(theirs):
        return False
    return all(_same("", one, other) for one, other in zip(ours, theirs, strict=True))

"""Placement groups in the strict EC2, which has none: one kind, in one module."""

from typing import Any
from uuid import uuid4

from tests.region.aws import store
from tests.region.aws.ec2_answers import elements, passes, tag_set, wrapped
from tests.region.aws.ec2_kind import Kind
from tests.region.aws.errors import Refusal
from tests.region.aws.request import Answer, Request, structures
from tests.region.aws.world import World

Params = dict[str, str]
Groups = dict[str, dict[str, str]]  # by name


def groups(backend: Any) -> Groups:
    """Return the placement groups of a region; moto has no place for them."""
    found: Groups = vars(backend).setdefault("placement_groups", {})
    return found


def _create(_: World, request: Request, params: Params) -> Answer:
    backend, name = store.ec2(request.region), params["GroupName"]
    if name in groups(backend):
        raise Refusal("InvalidPlacementGroup.Duplicate", f"The placement group '{name}' exists.")
    group = {"groupId": f"pg-{uuid4().hex[:17]}", "groupName": name, "state": "available"}
    groups(backend)[name] = {**group, "strategy": params.get("Strategy", "cluster")}
    for specification in structures(params, "TagSpecification"):
        tags = {tag["Key"]: tag["Value"] for tag in structures(specification, "Tag")}
        backend.tags.setdefault(group["groupId"], {}).update(tags)
    return wrapped(request, f"<placementGroup>{_shown(backend, name)}</placementGroup>")


def _describe(_: World, request: Request, params: Params) -> Answer:
    backend = store.ec2(request.region)
    shown = [
        name
        for name, group in groups(backend).items()
        if passes(params, {"group-name": name}, backend.tags.get(group["groupId"], {}))
    ]
    items = "".join(f"<item>{_shown(backend, name)}</item>" for name in shown)
    return wrapped(request, f"<placementGroupSet>{items}</placementGroupSet>")


def _delete(_: World, request: Request, params: Params) -> Answer:
    groups(store.ec2(request.region)).pop(params["GroupName"])
    return wrapped(request, "<return>true</return>")


def _known(_: World, backend: Any, params: Any) -> None:
    name = params["GroupName"]
    if name not in groups(backend):
        raise Refusal("InvalidPlacementGroup.Unknown", f"The placement group '{name}' is unknown.")


def _shown(backend: Any, name: str) -> str:
    group = groups(backend)[name]
    return elements(group) + tag_set(backend, group["groupId"])


PLACEMENT = Kind(
    name="placement-group",
    prefix="pg",
    noun="placement group",
    made_by=("CreatePlacementGroup",),
    unknown="InvalidPlacementGroup.Unknown",
    left=groups,
    own=lambda backend: (group["groupId"] for group in groups(backend).values()),
    answers={
        "CreatePlacementGroup": _create,
        "DescribePlacementGroups": _describe,
        "DeletePlacementGroup": _delete,
    },
    rules={"DeletePlacementGroup": _known},
)

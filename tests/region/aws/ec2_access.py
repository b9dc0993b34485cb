"""What an EC2 request needs to be permitted: the actions, resources and tags that IAM looks at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tests.region.aws import ec2_table, store
from tests.region.aws.policies import Access
from tests.region.aws.request import Request, members, structures
from tests.region.aws.world import World

_ID: Final = re.compile(r"([a-z]+)-[0-9a-f]{8,17}")
# IAM does not ask about every id that is named: rules name groups as sources, for one.
_IGNORED: Final = re.compile(r"^(ClientToken|Filter\.|TagSpecification|IpPermissions\.|UserData)")


def needs(world: World, request: Request) -> Sequence[Access]:
    """Return all that *request* must be permitted; every one is evaluated by itself."""
    action = f"ec2:{request.action}"
    if request.action.startswith(("Describe", "Get")) and request.action != "GetConsoleOutput":
        return (Access(action=action, context={"ec2:region": request.region}),)
    needs = [*_existing(request, action), *_made(world, request, action)]
    needs += _tagging(world, request)
    needs += _passing(world, request)
    return needs or [Access(action=action, context={"ec2:region": request.region})]


def arn(region: str, account: str, kind: str, id: str) -> str:
    # Images are public: their ARN has no account.
    return f"arn:aws:ec2:{region}:{'' if kind == 'image' else account}:{kind}/{id}"


def _existing(request: Request, action: str) -> Iterator[Access]:
    for name, value in request.params.items():
        found = _ID.fullmatch(str(value))
        known = ec2_table.of_id(str(value)) if found else None
        if known is None or _IGNORED.match(name):
            continue
        kind = known.name
        account = request.identity.account if request.identity else ""
        context = {"ec2:region": request.region, **_tags_of(request.region, value)}
        if request.action in ("CreateTags", "DeleteTags"):
            context |= _request_tags(structures(request.params, "Tag"))
        elif _made_tags(request, kind):
            context |= _request_tags(_made_tags(request, kind))
        yield Access(
            action=action, resource=arn(request.region, account, kind, value), context=context
        )


def _tags_of(region: str, id: str) -> dict[str, Any]:
    tags = store.ec2(region).tags.get(id, {})
    return {f"{space}/{k.lower()}": v for k, v in tags.items() for space in _RESOURCE_TAG}


_RESOURCE_TAG: Final = ("aws:resourcetag", "ec2:resourcetag")


def _made(world: World, request: Request, action: str) -> Iterator[Access]:
    # IAM asks about what a call makes before it exists, with the request's tags.
    for kind in (one.name for one in ec2_table.made_by(request.action)):
        context: dict[str, Any] = {"ec2:region": request.region}
        context |= _request_tags(_made_tags(request, kind))
        if kind == "instance":
            context["ec2:instancetype"] = request.params.get("InstanceType", "")
            context["ec2:metadatahttptokens"] = request.params.get(
                "MetadataOptions.HttpTokens", "optional"
            )
        resource = arn(request.region, world.settings.account, kind, "*")
        yield Access(action=action, resource=resource, context=context)


def _made_tags(request: Request, kind: str) -> list[dict[str, str]]:
    for specification in structures(request.params, "TagSpecification"):
        if specification.get("ResourceType") == kind:
            return structures(specification, "Tag")
    return []


def _request_tags(tags: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    context: dict[str, Any] = {
        f"aws:requesttag/{tag.get('Key', '').lower()}": tag.get("Value", "") for tag in tags
    }
    if tags:
        context["aws:tagkeys"] = [tag.get("Key", "") for tag in tags]
    return context


def _tagging(world: World, request: Request) -> Iterator[Access]:
    """Tags in a create call need CreateTags too, with the call's name as ec2:CreateAction."""
    for specification in structures(request.params, "TagSpecification"):
        kind = specification.get("ResourceType", "")
        context = _request_tags(structures(specification, "Tag"))
        context |= {"ec2:createaction": request.action, "ec2:region": request.region}
        resource = arn(request.region, world.settings.account, kind, "*")
        yield Access(action="ec2:CreateTags", resource=resource, context=context)


def _passing(world: World, request: Request) -> Iterator[Access]:
    params = request.params
    name = (
        params.get("IamInstanceProfile.Name")
        or params.get("IamInstanceProfile.Arn", "").rpartition("/")[2]
    )
    if not name:
        return
    for profile in store.iam().instance_profiles.values():
        if profile.name == name:
            for role in profile.roles:
                yield Access(
                    action="iam:PassRole",
                    resource=role.arn,
                    context={"iam:passedtoservice": "ec2.amazonaws.com"},
                )


def ids(params: Mapping[str, str], name: str) -> list[str]:
    return members(params, name) or ([params[name]] if name in params else [])

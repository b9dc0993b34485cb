"""IAM: roles, profiles and policies in moto; what AWS refuses and moto does not."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from tests.region.aws import iam_simulator, store
from tests.region.aws.errors import Refusal
from tests.region.aws.policies import Access
from tests.region.aws.request import Answer, Request, form, structures
from tests.region.aws.service import Service, ask_moto
from tests.region.aws.world import World

# The managed policies that a cluster may attach; moto would take 1.7 s to load all of AWS's.
MANAGED: Final = (
    "AdministratorAccess",
    "ReadOnlyAccess",
    "AmazonSSMManagedInstanceCore",
    "AmazonEC2ContainerRegistryReadOnly",
    "AmazonEC2ContainerRegistryPullOnly",
    "AmazonS3ReadOnlyAccess",
    "AmazonEC2ReadOnlyAccess",
)
_NAME: Final = re.compile(r"[\w+=,.@-]{1,64}")


def _read(request: Request) -> None:
    request.params = form(request)
    request.action = request.params.get("Action", "")
    request.resource = request.params.get("RoleName") or request.params.get("InstanceProfileName")


_KINDS: Final = (
    ("InstanceProfile", "InstanceProfileName", "instance-profile"),
    ("Role", "RoleName", "role"),
    ("Policy", "PolicyName", "policy"),
    ("User", "UserName", "user"),
)


def _needs(world: World, request: Request) -> Sequence[Access]:
    params = request.params
    context: dict[str, Any] = {}
    if "PolicyArn" in params:
        context["iam:policyarn"] = params["PolicyArn"]
    for tag in structures(params, "Tags.member"):
        context[f"aws:requesttag/{tag.get('Key', '').lower()}"] = tag.get("Value", "")
    resource = _resource(world, request)
    needs = [Access(action=f"iam:{request.action}", resource=resource, context=context)]
    if request.action in ("CreateRole", "CreateInstanceProfile", "CreatePolicy"):
        kind = request.action.removeprefix("Create")
        if structures(params, "Tags.member"):
            needs.append(Access(action=f"iam:Tag{kind}", resource=resource, context=context))
    if request.action == "AddRoleToInstanceProfile":
        role = _arn(world, "role", params.get("RoleName", ""))
        needs.append(
            Access(
                action="iam:PassRole",
                resource=role,
                context={"iam:passedtoservice": "ec2.amazonaws.com"},
            )
        )
    return needs


def _resource(world: World, request: Request) -> str:
    """Return the ARN that the action's permission is about."""
    params = request.params
    if request.action in ("ListRoles", "ListPolicies", "ListInstanceProfiles", "ListUsers"):
        return "*"
    for _, parameter, kind in _KINDS:
        if parameter in params and not (parameter == "PolicyName" and "RoleName" in params):
            return _arn(world, kind, params[parameter], params.get("Path", ""))
    return str(params.get("PolicyArn") or params.get("PolicySourceArn", "*"))


def _arn(world: World, kind: str, name: str, path: str = "") -> str:
    account = world.settings.account
    existing: dict[str, Any] = {}
    if kind in ("role", "instance-profile"):
        backend = store.iam()
        found = backend.roles if kind == "role" else backend.instance_profiles
        existing = {item.name: item.arn for item in found.values()}
    return str(existing.get(name, f"arn:aws:iam::{account}:{kind}{path or '/'}{name}"))


def _act(world: World, request: Request) -> Answer:
    with world.lock:
        world.timers.run_due()
        if request.action == "SimulatePrincipalPolicy":
            return iam_simulator.simulate(world, request)
        check = _CHECKS.get(request.action)
        if check:
            check(world, request.params)
        answer = ask_moto(world, request)
        if request.action == "CreateInstanceProfile" and answer.status < 400:
            world.born[f"profile/{request.params['InstanceProfileName']}"] = world.clock()
        return answer


def _check_delete_policy(_: World, params: Any) -> None:
    arn = params.get("PolicyArn")
    backend = store.iam()
    holders = [*backend.roles.values(), *backend.users.values(), *backend.groups.values()]
    if any(arn in holder.managed_policies for holder in holders):
        raise Refusal("DeleteConflict", "Cannot delete a policy attached to entities.", 409)


def _check_name(parameter: str, limit: int) -> Any:
    def check(_: World, params: Any) -> None:
        name = params.get(parameter, "")
        if len(name) > limit:
            raise Refusal(
                "ValidationError",
                f"1 validation error detected: Value at '{parameter}' failed to satisfy "
                f"constraint: Member must have length less than or equal to {limit}",
            )

    return check


def _check_inline(_: World, params: Any) -> None:
    """A role's inline policies may have 10,240 characters in all, spaces not counted."""
    text = re.sub(r"\s", "", params.get("PolicyDocument", ""))
    if len(text) > 10_240:
        raise Refusal(
            "LimitExceeded",
            f"Maximum policy size of 10240 bytes exceeded for role {params.get('RoleName')}",
            409,
        )


_CHECKS: Final = {
    "DeletePolicy": _check_delete_policy,
    "CreateRole": _check_name("RoleName", 64),
    "CreateInstanceProfile": _check_name("InstanceProfileName", 128),
    "PutRolePolicy": _check_inline,
}


def load_managed_policies() -> None:
    """Add the few AWS managed policies that a cluster may attach."""
    from moto.iam.models import AWSManagedPolicy

    backend = store.iam()
    known = _managed_documents()
    for name in MANAGED:
        policy = AWSManagedPolicy.from_data(name, backend.account_id, "us-east-1", known[name])
        backend.managed_policies[policy.arn] = policy


@cache
def _managed_documents() -> dict[str, Any]:
    from moto.iam import aws_managed_policies

    known: dict[str, Any] = json.loads(aws_managed_policies.aws_managed_policies_data)
    return {name: known[name] for name in MANAGED}


SERVICE: Final = Service(read=_read, needs=_needs, act=_act)

"""EC2: checks first, then moto, then paging and idempotency as AWS does them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tests.region.aws import ec2_access, ec2_answers, ec2_born, ec2_launch, ec2_rules, ec2_table
from tests.region.aws.errors import Refusal
from tests.region.aws.policies import Access
from tests.region.aws.request import Answer, Request, form
from tests.region.aws.service import Service, ask_moto
from tests.region.aws.world import World

Params = Mapping[str, str]

# ClientToken of these is honoured: the same token again returns the first answer.
_IDEMPOTENT: Final = {
    "RunInstances",
    "CreateVolume",
    "CreateNatGateway",
    "CreateRouteTable",
    "CreateVpcEndpoint",
    "CreateLaunchTemplate",
    "CreateNetworkInterface",
}

# What AWS assumes when it is not said, and moto does not.
_DEFAULTS: Final[Mapping[str, Params]] = {"CreateVpcEndpoint": {"VpcEndpointType": "Gateway"}}


# Said where the caller may do it and has asked for it in the right form. What stands in its way is
# not looked at, but by RunInstances, which looks at all that it names.
_DRY: Final = Refusal(
    "DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412
)


def _read(request: Request) -> None:
    request.params = form(request)
    request.action = request.params.get("Action", "")
    request.resource = next(
        (v for k, v in request.params.items() if k in ("InstanceId", "InstanceId.1", "VpcId")),
        None,
    )


def _needs(world: World, request: Request) -> Sequence[Access]:
    with world.lock:
        return ec2_access.needs(world, request)


def _act(world: World, request: Request) -> Answer:
    with world.lock:
        world.timers.run_due()
        return _idempotent(world, request, _do)


def _do(world: World, request: Request) -> Answer:
    params = ec2_born.seen(world, {**_DEFAULTS.get(request.action, {}), **request.params})
    ec2_rules.check_form(request.action, params)
    dry = params.pop("DryRun", "false") == "true"
    if dry and request.action != "RunInstances":
        raise _DRY
    ec2_rules.check(world, request.action, params, request.region)
    if request.action == "RunInstances":
        params = ec2_launch.prepared(world, params, request.region)
    if dry:
        raise _DRY
    own = ec2_answers.ANSWERS.get(request.action) or ec2_table.answer(request.action)
    answer = own(world, request, params) if own else ask_moto(world, request, params)
    if answer.status < 400:
        answer = ec2_answers.paged(world, request, params, answer)
        ec2_rules.after(world, request.action, params, request.region)
        ec2_born.note(world, request.action, answer)
    return answer


def _idempotent(world: World, request: Request, do: Callable[[World, Request], Answer]) -> Answer:
    token = request.params.get("ClientToken")
    if not token or request.action not in _IDEMPOTENT:
        return do(world, request)
    key = ("ec2", request.region, request.action, token)
    digest = _digest(request.params)
    if key in world.tokens:
        before, answer = world.tokens[key]
        if before != digest:
            raise Refusal(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in "
                "previous request(s).",
            )
        request.replayed = True
        return Answer(status=answer.status, headers=answer.headers, body=answer.body)
    answer = do(world, request)
    if answer.status < 400:
        world.tokens[key] = (digest, answer)
    return answer


def _digest(params: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()


SERVICE: Final = Service(read=_read, needs=_needs, act=_act)

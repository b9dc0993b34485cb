"""STS: who am I, and the keys of a role for whom it trusts. Other calls are refused loudly."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.region.aws import authorization, errors, policies, store
from tests.region.aws.errors import Protocol, Refusal
from tests.region.aws.keys import Credentials, Identity
from tests.region.aws.policies import Access
from tests.region.aws.request import Answer, Request, form
from tests.region.aws.service import Service, xml_answer
from tests.region.aws.world import World

_NAMESPACE: Final = "https://sts.amazonaws.com/doc/2011-06-15/"


def _read(request: Request) -> None:
    request.params = form(request)
    request.action = request.params.get("Action", "")


def _needs(_: World, request: Request) -> Sequence[Access]:
    # GetCallerIdentity needs no permission; not even a Deny can forbid it.
    if request.action == "GetCallerIdentity":
        return ()
    return (Access(action=f"sts:{request.action}", resource=request.params.get("RoleArn", "*")),)


def _act(world: World, request: Request) -> Answer:
    if request.action == "AssumeRole":
        return _assume(world, request)
    if request.action != "GetCallerIdentity":
        raise errors.not_implemented(f"sts {request.action}")
    identity = request.identity
    assert identity is not None
    user_id = f"{identity.user_id}:{identity.session}" if identity.role else identity.user_id
    return xml_answer(
        f'<GetCallerIdentityResponse xmlns="{_NAMESPACE}"><GetCallerIdentityResult>'
        f"<Arn>{identity.arn}</Arn><UserId>{user_id}</UserId>"
        f"<Account>{identity.account}</Account></GetCallerIdentityResult>"
        f"<ResponseMetadata><RequestId>{request.request_id}</RequestId></ResponseMetadata>"
        "</GetCallerIdentityResponse>"
    )


def _assume(world: World, request: Request) -> Answer:
    """Give the keys of a role to a caller who may take it, and whom it trusts."""
    caller, params = request.identity, request.params
    assert caller is not None
    seconds = int(params.get("DurationSeconds", 3600))
    if caller.role and seconds > 3600:
        words = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed"
        raise Refusal("ValidationError", f"{words} by role chaining")
    arn, session = params["RoleArn"], params["RoleSessionName"]
    with world.lock:
        role = next((one for one in store.iam().roles.values() if one.arn == arn), None)
        trust = json.loads(role.assume_role_policy_document) if role else {}
    # Whether there is such a role, AWS does not tell.
    wanted = Access(action="sts:AssumeRole", resource=arn)
    if role is None or not _trusts(trust, caller, wanted):
        raise authorization.denied(caller, wanted, Protocol.QUERY)
    identity = Identity(
        account=caller.account, role=role.name, session=session, user_id=str(role.id)
    )
    keys = world.keys.issue_temporary(identity, world.clock() + seconds)
    return xml_answer(_assumed(identity, keys, request.request_id))


def _trusts(trust: Mapping[str, Any], caller: Identity, wanted: Access) -> bool:
    """Whether a role's trust policy lets a caller of the account take it."""
    root = f"arn:aws:iam::{caller.account}:root"
    named = (root, caller.account, caller.principal)
    statements = trust.get("Statement", [])
    statements = statements if isinstance(statements, list) else [statements]
    meant = [
        {**one, "Resource": "*"}
        for one in statements
        if any(name in named for name in _principals(one))
    ]
    context = {"aws:principalarn": caller.principal, "aws:principalaccount": caller.account}
    asked = Access(action=wanted.action, resource=wanted.resource, context=context)
    return policies.allows([{"Statement": meant}], asked)


def _principals(statement: Mapping[str, Any]) -> list[str]:
    principal = statement.get("Principal", {})
    found = principal.get("AWS", []) if isinstance(principal, Mapping) else []
    return [found] if isinstance(found, str) else list(found)


def _assumed(identity: Identity, keys: Credentials, id: str) -> str:
    assert keys.expiration is not None
    until = keys.expiration.strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f'<AssumeRoleResponse xmlns="{_NAMESPACE}">\n  <AssumeRoleResult>\n'
        f"    <AssumedRoleUser><AssumedRoleId>{identity.user_id}:{identity.session}"
        f"</AssumedRoleId><Arn>{identity.arn}</Arn></AssumedRoleUser>\n    <Credentials>\n"
        f"      <AccessKeyId>{keys.access_key_id}</AccessKeyId>\n"
        f"      <SecretAccessKey>{keys.secret_access_key}</SecretAccessKey>\n"
        f"      <SessionToken>{keys.token}</SessionToken>\n"
        f"      <Expiration>{until}</Expiration>\n    </Credentials>\n  </AssumeRoleResult>\n"
        f"  <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata>\n"
        "</AssumeRoleResponse>\n"
    )


SERVICE: Final = Service(read=_read, needs=_needs, act=_act)

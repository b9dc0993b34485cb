"""Whether the caller may do what a request needs, and how AWS words it when not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from tests.region.aws import policies, store
from tests.region.aws.errors import Protocol, Refusal
from tests.region.aws.keys import Identity
from tests.region.aws.policies import Access
from tests.region.aws.world import World


def check(world: World, identity: Identity, needs: Sequence[Access], protocol: Protocol) -> None:
    """Raise AWS's refusal unless *identity* may have every one of *needs*."""
    documents = documents_of(world, identity)
    if len(documents) == 1 and policies.is_everything(documents[0]):
        return
    for access in needs:
        if not policies.allows(documents, _with_caller(world, access, identity)):
            raise denied(identity, access, protocol)


def allowed(world: World, identity: Identity, access: Access) -> bool:
    return policies.allows(documents_of(world, identity), _with_caller(world, access, identity))


def documents_of(world: World, identity: Identity) -> list[Mapping[str, Any]]:
    """Return the policies of the account's user, or those of the role at this moment."""
    if identity.role is None:
        return [world.settings.user_policy]
    with world.lock:
        role = next((r for r in store.iam().roles.values() if r.name == identity.role), None)
        if role is None:
            return []
        texts = [*role.policies.values()]
        texts += [_document(policy) for policy in role.managed_policies.values()]
    return [json.loads(text) for text in texts]


def _document(policy: Any) -> str:
    text = next(v.document for v in policy.versions if v.is_default)
    return text if text.lstrip().startswith("{") else unquote(text)


def _with_caller(world: World, access: Access, identity: Identity) -> Access:
    caller = {
        "aws:principalarn": identity.principal,
        "aws:principalaccount": identity.account,
        "aws:userid": f"{identity.user_id}:{identity.session}"
        if identity.role
        else identity.user_id,
        "aws:securetransport": "true",
    }
    if identity.user:
        caller["aws:username"] = identity.user
    if identity.session:
        caller["ec2:sourceinstancearn"] = (
            f"arn:aws:ec2:{world.settings.region}:{identity.account}:instance/{identity.session}"
        )
    own = {key.lower(): value for key, value in access.context.items()}
    return Access(action=access.action, resource=access.resource, context={**caller, **own})


def denied(identity: Identity, access: Access, protocol: Protocol) -> Refusal:
    said = (
        f"User: {identity.arn} is not authorized to perform: {access.action} on resource: "
        f"{access.resource} because no identity-based policy allows the {access.action} action"
    )
    match protocol:
        case Protocol.EC2:
            message = f"You are not authorized to perform this operation. {said}."
            return Refusal("UnauthorizedOperation", message, 403)
        case Protocol.S3 | Protocol.QUERY:
            return Refusal("AccessDenied", said, 403)
        case Protocol.REST_JSON:
            return Refusal("AccessDeniedException", said, 403)
        case Protocol.JSON:
            return Refusal("AccessDeniedException", said, 400)

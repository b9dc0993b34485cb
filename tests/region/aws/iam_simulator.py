"""IAM's policy simulator: what a user or a role may do, judged by the policies of this account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.sax.saxutils import escape

from tests.region.aws import authorization, policies, store
from tests.region.aws.errors import Refusal
from tests.region.aws.keys import Identity
from tests.region.aws.policies import Access
from tests.region.aws.request import Answer, Request, members, structures
from tests.region.aws.service import xml_answer
from tests.region.aws.world import World

_NAMESPACE: Final = "https://iam.amazonaws.com/doc/2010-05-08/"
_PAGE: Final = 100


def simulate(world: World, request: Request) -> Answer:
    """Answer SimulatePrincipalPolicy, a page at a time."""
    params = request.params
    documents = authorization.documents_of(world, _principal(world, params["PolicySourceArn"]))
    context = _context(params)
    found = [
        _result(documents, Access(action=action, resource=resource, context=context))
        for action in members(params, "ActionNames.member")
        for resource in members(params, "ResourceArns.member") or ["*"]
    ]
    start = int(params.get("Marker", 0))
    end = start + int(params.get("MaxItems", _PAGE))
    more = f"<Marker>{end}</Marker>" if end < len(found) else ""
    return xml_answer(
        f'<SimulatePrincipalPolicyResponse xmlns="{_NAMESPACE}"><SimulatePrincipalPolicyResult>'
        f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>{more}"
        f"<EvaluationResults>{''.join(found[start:end])}</EvaluationResults>"
        "</SimulatePrincipalPolicyResult>"
        f"<ResponseMetadata><RequestId>{request.request_id}</RequestId></ResponseMetadata>"
        "</SimulatePrincipalPolicyResponse>"
    )


def _principal(world: World, arn: str) -> Identity:
    """Return whose policies count; sessions and the root user have none of their own."""
    account = world.settings.account
    if arn == f"arn:aws:iam::{account}:user/{world.settings.user}":
        return Identity(account=account, user=world.settings.user)
    role = next((one for one in store.iam().roles.values() if one.arn == arn), None)
    if role is not None:
        return Identity(account=account, role=role.name, session="simulated")
    if not arn.startswith(("arn:aws:iam::",)) or arn.endswith(":root"):
        raise Refusal(
            "InvalidInput",
            f"Invalid Entity Arn: {arn} does not clearly define entity type and name.",
        )
    raise Refusal("NoSuchEntity", f"{arn} does not exist.", 404)


def _context(params: Mapping[str, Any]) -> dict[str, Any]:
    context: dict[str, Any] = {}
    for entry in structures(params, "ContextEntries.member"):
        values = list(_values(entry))
        several = entry.get("ContextKeyType", "").endswith("List")
        context[entry["ContextKeyName"].lower()] = values if several else values[0]
    return context


def _values(entry: Mapping[str, str]) -> Iterator[str]:
    number = 1
    while (key := f"ContextKeyValues.member.{number}") in entry:
        yield entry[key]
        number += 1


def _result(documents: list[Mapping[str, Any]], access: Access) -> str:
    lacking = "".join(f"<member>{escape(k)}</member>" for k in policies.missing(documents, access))
    return (
        f"<member><EvalActionName>{escape(access.action)}</EvalActionName>"
        f"<EvalResourceName>{escape(access.resource)}</EvalResourceName>"
        f"<EvalDecision>{policies.decision(documents, access)}</EvalDecision>"
        f"<MatchedStatements/><MissingContextValues>{lacking}</MissingContextValues></member>"
    )

"""STS: who am I. Other calls would need a trust policy and are refused loudly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.region.aws import errors
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
    return (Access(action=f"sts:{request.action}"),)


def _act(_: World, request: Request) -> Answer:
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


SERVICE: Final = Service(read=_read, needs=_needs, act=_act)

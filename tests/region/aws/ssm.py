"""SSM parameters: the public ones that name images are ours, the account's own are moto's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from tests.region.aws import images
from tests.region.aws.errors import Refusal
from tests.region.aws.policies import Access
from tests.region.aws.request import Answer, Request, document
from tests.region.aws.service import Service, ask_moto, json_answer
from tests.region.aws.world import World

_MADE: Final = 1_762_171_200.0


def _read(request: Request) -> None:
    request.action = request.headers.get("x-amz-target", "").rpartition(".")[2]
    request.params = document(request)
    request.resource = request.params.get("Name") or request.params.get("Path")


def _needs(world: World, request: Request) -> Sequence[Access]:
    params = request.params
    names = params.get("Names") or [params.get("Name") or params.get("Path") or "*"]
    return [
        Access(action=f"ssm:{request.action}", resource=_arn(world, request.region, name))
        for name in names
    ]


def _arn(world: World, region: str, name: str) -> str:
    # A public parameter belongs to no account.
    account = "" if name.startswith("/aws/service/") else world.settings.account
    return f"arn:aws:ssm:{region}:{account}:parameter/{name.lstrip('/')}"


def _act(world: World, request: Request) -> Answer:
    params = request.params
    names = params.get("Names") or [params.get("Name") or params.get("Path") or ""]
    if all(str(name).startswith("/aws/service/") for name in names):
        return _public(request)
    if request.action == "PutParameter":
        _check_put(params)
    with world.lock:
        world.timers.run_due()
        return ask_moto(world, request)


def _check_put(params: Any) -> None:
    if params.get("Name", "").lstrip("/").lower().startswith(("aws", "ssm")):
        raise Refusal(
            "AccessDeniedException", f"No access to reserved parameter name: {params['Name']}."
        )
    value = params.get("Value", "")
    if params.get("Tier", "Standard") == "Standard" and len(value.encode()) > 4096:
        raise Refusal(
            "ValidationException",
            "Standard tier parameters support a maximum parameter value of 4096 characters. "
            "To create a larger parameter value, upgrade the parameter to use the advanced-"
            "parameter tier.",
        )


def _public(request: Request) -> Answer:
    known = images.public_parameters(request.region)
    match request.action:
        case "GetParameter":
            name = request.params["Name"]
            if name not in known:
                raise Refusal("ParameterNotFound", f"Parameter {name} not found.")
            return json_answer({"Parameter": _parameter(request, name, known[name])})
        case "GetParameters":
            names = request.params["Names"]
            found = [_parameter(request, n, known[n]) for n in names if n in known]
            unknown = [n for n in names if n not in known]
            return json_answer({"Parameters": found, "InvalidParameters": unknown})
        case "GetParametersByPath":
            return json_answer(_by_path(request, known))
        case _:
            raise Refusal("AccessDeniedException", "Public parameters are read-only.")


def _by_path(request: Request, known: Any) -> dict[str, Any]:
    path = request.params["Path"].rstrip("/") + "/"
    deep = request.params.get("Recursive", False)
    names = [n for n in sorted(known) if n.startswith(path) and (deep or "/" not in n[len(path) :])]
    start = int(request.params.get("NextToken") or 0)
    end = start + int(request.params.get("MaxResults") or 10)
    page: dict[str, Any] = {
        "Parameters": [_parameter(request, n, known[n]) for n in names[start:end]]
    }
    if end < len(names):
        page["NextToken"] = str(end)
    return page


def _parameter(request: Request, name: str, value: str) -> dict[str, Any]:
    digits = int(hashlib.sha256(name.encode()).hexdigest(), 16)
    return {
        "Name": name,
        "Type": "String",
        "Value": value,
        "Version": digits % 90 + 10,
        "LastModifiedDate": _MADE,
        "ARN": f"arn:aws:ssm:{request.region}::parameter{name}",
        "DataType": "aws:ec2:image",
    }


SERVICE: Final = Service(read=_read, needs=_needs, act=_act)

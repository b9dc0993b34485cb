"""EC2 answers that moto lacks or gets wrong: console, prefix lists, tag filters, paging."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.region.aws import ec2_models, store
from tests.region.aws.errors import Refusal
from tests.region.aws.request import Answer, Request, members, structures
from tests.region.aws.service import ask_moto, xml_answer
from tests.region.aws.world import World

NAMESPACE: Final = "http://ec2.amazonaws.com/doc/2016-11-15/"
Params = Mapping[str, str]


def wrapped(request: Request, inner: str) -> Answer:
    name = f"{request.action}Response"
    return xml_answer(
        f'<{name} xmlns="{NAMESPACE}"><requestId>{request.request_id}</requestId>{inner}</{name}>'
    )


# --- console ----------------------------------------------------------------------------------


def _console(world: World, request: Request, params: Params) -> Answer:
    """Empty until the machine has said something, as on EC2."""
    instance = store.ec2(request.region).get_instance(params["InstanceId"])
    text = world.console(instance.id)
    output = base64.b64encode(text.encode()[-65536:]).decode()
    now = datetime.fromtimestamp(world.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return wrapped(
        request,
        f"<instanceId>{instance.id}</instanceId><timestamp>{now}</timestamp>"
        f"<output>{output}</output>",
    )


# --- regions ----------------------------------------------------------------------------------


def _regions(world: World, request: Request, params: Params) -> Answer:
    """Those that the account has enabled; with AllRegions also those that are asked by name."""
    enabled = world.settings.regions
    named = members(params, "RegionName")
    shown = [name for name in named or enabled if name in enabled or params.get("AllRegions")]
    items = "".join(
        f"<item><regionName>{escape(name)}</regionName><optInStatus>"
        f"{'opt-in-not-required' if name in enabled else 'not-opted-in'}</optInStatus></item>"
        for name in shown
    )
    return wrapped(request, f"<regionInfo>{items}</regionInfo>")


# --- prefix lists -----------------------------------------------------------------------------


def _prefix_lists(_: World, request: Request, params: Params) -> Answer:
    backend = store.ec2(request.region)
    wanted = members(params, "PrefixListId")
    lists = [each for each in backend.managed_prefix_lists.values() if each.owner_id == "AWS"]
    unknown = set(wanted) - {each.id for each in lists}
    if unknown:
        raise Refusal(
            "InvalidPrefixListId.NotFound",
            f"The prefix list ID '{sorted(unknown)[0]}' does not exist",
        )
    shown = [
        each
        for each in lists
        if (not wanted or each.id in wanted)
        and passes(params, {"prefix-list-name": each.prefix_list_name, "prefix-list-id": each.id})
    ]
    items = "".join(f"<item>{_prefix_list(each)}</item>" for each in shown)
    return wrapped(request, f"<prefixListSet>{items}</prefixListSet>")


def _prefix_list(each: Any) -> str:
    networks = ec2_models.S3_NETWORKS if each.prefix_list_name.endswith(".s3") else ()
    cidrs = "".join(f"<item>{cidr}</item>" for cidr in networks)
    return (
        f"<prefixListId>{each.id}</prefixListId>"
        f"<prefixListName>{each.prefix_list_name}</prefixListName><cidrSet>{cidrs}</cidrSet>"
    )


def _filters(params: Params) -> dict[str, list[str]]:
    # NAT gateways are the one kind whose list is called Filter in some SDKs; the wire agrees.
    return {each["Name"]: members(each, "Value") for each in structures(params, "Filter")}


def passes(
    params: Params, values: Mapping[str, str], tags: Mapping[str, str] | None = None
) -> bool:
    """Tell whether a thing with these *values*, and *tags* if it can have some, is asked for."""
    for name, patterns in _filters(params).items():
        if tags is not None and name.startswith("tag:"):
            key = name.removeprefix("tag:")
            found = [tags[key]] if key in tags else []
        elif tags is not None and name == "tag-key":
            found = list(tags)
        elif name in values:
            found = [values[name]]
        else:
            raise Refusal("InvalidParameterValue", f"The filter '{name}' is invalid")
        if not any(fnmatchcase(value, pattern) for value in found for pattern in patterns):
            return False
    return True


# --- NAT gateways -----------------------------------------------------------------------------


def _nat_gateways(world: World, request: Request, params: Params) -> Answer:
    """moto knows no tag filters here: a destroy by tag would take everyone's gateways."""
    backend = store.ec2(request.region)
    ids = members(params, "NatGatewayId")
    shown = [
        nat
        for nat in backend.nat_gateways.values()
        if (not ids or nat.id in ids) and _nat_passes(backend, nat, params)
    ]
    page, token = _page(world, shown, params)
    items = "".join(f"<item>{_nat(backend, nat)}</item>" for nat in page)
    return wrapped(request, f"<natGatewaySet>{items}</natGatewaySet>{_token(token)}")


def _nat_passes(backend: Any, nat: Any, params: Params) -> bool:
    values = {
        "nat-gateway-id": nat.id,
        "vpc-id": nat.vpc_id,
        "subnet-id": nat.subnet_id,
        "state": nat.state,
    }
    return passes(params, values, backend.tags.get(nat.id, {}))


def _nat(backend: Any, nat: Any) -> str:
    address = nat.address_set[0]
    shown = {
        "allocationId": address.get("allocationId"),
        "associationId": address.get("associationId"),
        "networkInterfaceId": address.get("networkInterfaceId"),
        "privateIp": nat._eni.private_ip_address,
        "publicIp": address.get("publicIp"),
    }
    fields = {
        "natGatewayId": nat.id,
        "vpcId": nat.vpc_id,
        "subnetId": nat.subnet_id,
        "state": nat.state,
        "connectivityType": nat.connectivity_type,
        "createTime": nat.create_time,
        "failureCode": nat.region_failure and nat.region_failure[0],
        "failureMessage": nat.region_failure and nat.region_failure[1],
    }
    addresses = f"<natGatewayAddressSet><item>{elements(shown)}</item></natGatewayAddressSet>"
    return elements(fields) + addresses + tag_set(backend, nat.id)


def elements(values: Mapping[str, Any]) -> str:
    return "".join(f"<{k}>{escape(str(v))}</{k}>" for k, v in values.items() if v)


def tag_set(backend: Any, id: str) -> str:
    tags = backend.tags.get(id, {})
    items = "".join(
        f"<item><key>{escape(k)}</key><value>{escape(v)}</value></item>" for k, v in tags.items()
    )
    return f"<tagSet>{items}</tagSet>"


# --- paging -----------------------------------------------------------------------------------

# The list in the answer of each describe that AWS pages; moto shows everything at once.
_PAGED: Final = {
    "DescribeVolumes": "volumeSet",
    "DescribeVolumesModifications": "volumeModificationSet",
    "DescribeSnapshots": "snapshotSet",
    "DescribeSubnets": "subnetSet",
    "DescribeSecurityGroups": "securityGroupInfo",
    "DescribeVpcs": "vpcSet",
    "DescribeNetworkInterfaces": "networkInterfaceSet",
    "DescribeImages": "imagesSet",
    "DescribeInstanceStatus": "instanceStatusSet",
    "DescribeTags": "tagSet",
    "DescribeRouteTables": "routeTableSet",
    "DescribeLaunchTemplates": "launchTemplates",
    "DescribeInternetGateways": "internetGatewaySet",
    "DescribeInstanceTypes": "instanceTypeSet",
    "DescribeInstanceTypeOfferings": "instanceTypeOfferingSet",
    "DescribeVpcEndpoints": "vpcEndpointSet",
    "DescribeSecurityGroupRules": "securityGroupRuleSet",
}


def paged(world: World, request: Request, params: Params, answer: Answer) -> Answer:
    """Cut moto's complete list to the page that was asked for."""
    name = _PAGED.get(request.action)
    cut = "MaxResults" in params or "NextToken" in params or world.settings.page_size
    if name is None or not cut or not isinstance(answer.body, bytes):
        return answer
    ElementTree.register_namespace("", NAMESPACE)
    root = ElementTree.fromstring(answer.body)
    space = root.tag.partition("}")[0] + "}"
    listed = root.find(f"{space}{name}")
    if listed is None:
        return answer
    page, token = _page(world, list(listed), params)
    listed[:] = page
    for old in root.findall(f"{space}nextToken"):
        root.remove(old)
    if token:
        ElementTree.SubElement(root, f"{space}nextToken").text = token
    return Answer(status=answer.status, headers=answer.headers, body=ElementTree.tostring(root))


def _page(world: World, items: list[Any], params: Params) -> tuple[list[Any], str | None]:
    start = _start(params)
    most = int(params.get("MaxResults") or world.settings.page_size or len(items) or 1)
    end = start + most
    return items[start:end], _opaque(end) if end < len(items) else None


def _opaque(offset: int) -> str:
    return base64.urlsafe_b64encode(f"region-{offset}".encode()).decode()


def _start(params: Params) -> int:
    token = params.get("NextToken")
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token).removeprefix(b"region-"))
    except ValueError:
        raise Refusal("InvalidNextToken", f"The token '{token}' is invalid.") from None


def _token(token: str | None) -> str:
    return f"<nextToken>{token}</nextToken>" if token else ""


# AWS pages instances, moto reservations, and moto cuts at 100 without being asked.
_RESERVATION: Final = re.compile(rb"<item>\s*<reservationId>")


def _instances(world: World, request: Request, params: Params) -> Answer:
    if members(params, "InstanceId") and "MaxResults" in params:
        raise Refusal(
            "InvalidParameterCombination",
            "The parameter instancesSet cannot be used with the parameter maxResults",
        )
    whole = {k: v for k, v in params.items() if k not in ("MaxResults", "NextToken")}
    if not members(params, "InstanceId"):
        whole["MaxResults"] = "100000"
    answer = _all_instances(world, request, whole)
    if answer.status >= 400 or not isinstance(answer.body, bytes):
        return answer
    if "MaxResults" in params or "NextToken" in params or world.settings.page_size:
        return _cut_reservations(world, params, answer)
    return answer


def _all_instances(world: World, request: Request, params: dict[str, str]) -> Answer:
    """Ask in hundreds: with ids, moto shows a hundred and there is no way to ask for more."""
    ids = members(params, "InstanceId")
    if len(ids) <= 100:
        return ask_moto(world, request, params)
    rest = {k: v for k, v in params.items() if not k.startswith("InstanceId.")}
    answers = []
    for start in range(0, len(ids), 100):
        some = {f"InstanceId.{n}": id for n, id in enumerate(ids[start : start + 100], 1)}
        answer = ask_moto(world, request, {**rest, **some})
        if answer.status >= 400:
            return answer
        answers.append(answer)
    return _merged(answers)


def _merged(answers: list[Answer]) -> Answer:
    roots = [ElementTree.fromstring(bytes(each.body)) for each in answers]  # type: ignore[arg-type]
    space = roots[0].tag.partition("}")[0] + "}"
    first = roots[0].find(f"{space}reservationSet")
    assert first is not None
    for other in roots[1:]:
        first.extend(other.findall(f"{space}reservationSet/{space}item"))
    ElementTree.register_namespace("", NAMESPACE)
    return Answer(headers=answers[0].headers, body=ElementTree.tostring(roots[0]))


def _cut_reservations(world: World, params: Params, answer: Answer) -> Answer:
    ElementTree.register_namespace("", NAMESPACE)
    root = ElementTree.fromstring(bytes(answer.body))  # type: ignore[arg-type]
    space = root.tag.partition("}")[0] + "}"
    reservations = root.find(f"{space}reservationSet")
    assert reservations is not None
    found = [
        (reservation, item)
        for reservation in reservations
        for item in reservation.findall(f"{space}instancesSet/{space}item")
    ]
    page, token = _page(world, found, params)
    kept = {id(item) for _, item in page}
    for reservation in list(reservations):
        listed = reservation.find(f"{space}instancesSet")
        assert listed is not None
        listed[:] = [item for item in listed if id(item) in kept]
        if not len(listed):
            reservations.remove(reservation)
    if token:
        ElementTree.SubElement(root, f"{space}nextToken").text = token
    return Answer(status=answer.status, headers=answer.headers, body=ElementTree.tostring(root))


# moto's own words for two kinds, in DescribeTags.
_KINDS: Final = ((b">nat-gateway<", b">natgateway<"), (b">vpc-elastic-ip<", b">elastic-ip<"))


def _tags(world: World, request: Request, params: dict[str, str]) -> Answer:
    answer = ask_moto(world, request, params)
    body = bytes(answer.body)  # type: ignore[arg-type]
    for theirs, ours in _KINDS:
        body = body.replace(theirs, ours)
    return Answer(status=answer.status, headers=answer.headers, body=body, error=answer.error)


ANSWERS: Final[Mapping[str, Callable[[World, Request, dict[str, str]], Answer]]] = {
    "GetConsoleOutput": _console,
    "DescribeRegions": _regions,
    "DescribePrefixLists": _prefix_lists,
    "DescribeNatGateways": _nat_gateways,
    "DescribeInstances": _instances,
    "DescribeTags": _tags,
}

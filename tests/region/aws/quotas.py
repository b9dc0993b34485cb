"""Service Quotas: the few that a cluster's plan looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tests.region.aws import errors
from tests.region.aws.errors import Refusal
from tests.region.aws.policies import Access
from tests.region.aws.request import Answer, Request, document
from tests.region.aws.service import Service, json_answer
from tests.region.aws.world import World

# (service, code) → (name, what of the settings is its value).
_QUOTAS: Final = {
    ("ec2", "L-1216C47A"): (
        "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
        "vcpu_limit",
    ),
    ("ec2", "L-0263D0A3"): ("EC2-VPC Elastic IPs", "eip_limit"),
    ("vpc", "L-F678F1CE"): ("VPCs per Region", "vpc_limit"),
    ("vpc", "L-FE5A380F"): ("NAT gateways per Availability Zone", "nat_limit"),
    ("ebs", "L-7A658B76"): (
        "Storage for General Purpose SSD (gp3) volumes, in TiB",
        "gp3_tib_limit",
    ),
}


def _read(request: Request) -> None:
    request.action = request.headers.get("x-amz-target", "").rpartition(".")[2]
    request.params = document(request)
    request.resource = request.params.get("QuotaCode") or request.params.get("ServiceCode")


def _needs(_: World, request: Request) -> Sequence[Access]:
    return (Access(action=f"{request.target.signing}:{request.action}"),)


def _act(world: World, request: Request) -> Answer:
    service = request.params.get("ServiceCode", "")
    match request.action:
        case "GetServiceQuota" | "GetAWSDefaultServiceQuota":
            code = request.params.get("QuotaCode", "")
            if (service, code) not in _QUOTAS:
                raise Refusal("NoSuchResourceException", "The request failed: no such quota.")
            return json_answer({"Quota": _quota(world, service, code)})
        case "ListServiceQuotas":
            codes = [code for name, code in _QUOTAS if name == service]
            return json_answer({"Quotas": [_quota(world, service, code) for code in codes]})
        case _:
            raise errors.not_implemented(f"servicequotas {request.action}")


def _quota(world: World, service: str, code: str) -> dict[str, Any]:
    name, setting = _QUOTAS[service, code]
    return {
        "ServiceCode": service,
        "QuotaCode": code,
        "QuotaName": name,
        "Value": float(getattr(world.settings, setting)),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
        "QuotaArn": f"arn:aws:servicequotas:{world.settings.region}:{world.settings.account}:"
        f"{service}/{code}",
    }


SERVICE: Final = Service(read=_read, needs=_needs, act=_act)

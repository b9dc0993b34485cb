"""The price list, in AWS's own form: products with many attributes, and terms as JSON in strings.

What a filter does not name, is all there: a question that forgets one gets prices of other things.
https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.region.aws import errors
from tests.region.aws.errors import Refusal
from tests.region.aws.policies import Access
from tests.region.aws.request import Answer, Request, document
from tests.region.aws.service import Service, json_answer
from tests.region.aws.world import World

# USD an hour on demand, by region; of types that are not here there are no products.
_MACHINES: Final[Mapping[str, Mapping[str, float]]] = {
    "eu-west-1": {
        "t3.nano": 0.0057, "t3.micro": 0.0114, "t3.small": 0.0228, "t3.medium": 0.0456,
        "t3.large": 0.0912, "t3.xlarge": 0.1824, "m5.large": 0.107, "c5.large": 0.096,
        "c7i.xlarge": 0.2026, "t4g.small": 0.0184, "t4g.medium": 0.0368,
    },
    "us-east-1": {"t3.nano": 0.0052, "t3.medium": 0.0416, "t3.large": 0.0832},
}  # fmt: skip
_PREFIX: Final = {"eu-west-1": "EU-", "us-east-1": ""}
_SERVICES: Final = ("AmazonEC2", "AmazonVPC")
_MOST: Final = 100


def _read(request: Request) -> None:
    request.action = request.headers.get("x-amz-target", "").rpartition(".")[2]
    request.params = document(request)
    request.resource = request.params.get("ServiceCode")


def _needs(_: World, request: Request) -> Sequence[Access]:
    return (Access(action=f"{request.target.signing}:{request.action}"),)


def _act(_: World, request: Request) -> Answer:
    if request.action != "GetProducts":
        raise errors.not_implemented(f"pricing {request.action}")
    params = request.params
    service = params.get("ServiceCode", "")
    if not service:
        raise Refusal("InvalidParameterException", "ServiceCode cannot be null or empty")
    if service not in _SERVICES:
        raise Refusal("NotFoundException", f"Service code {service} is not found.")
    if not 1 <= (most := int(params.get("MaxResults", _MOST))) <= _MOST:
        raise Refusal("InvalidParameterException", "MaxResults must be between 1 and 100.")
    found = [one for one in _products() if one["serviceCode"] == service]
    for one in params.get("Filters", ()):
        if one.get("Type") not in ("TERM_MATCH", "EQUALS"):
            raise Refusal("InvalidParameterException", f"Invalid filter type: {one.get('Type')}")
        found = [product for product in found if _fits(product, one["Field"], one["Value"])]
    start = int(params.get("NextToken") or 0)
    page = [json.dumps(one) for one in found[start : start + most]]
    more = {"NextToken": str(start + most)} if len(found) > start + most else {}
    return json_answer({"FormatVersion": "aws_v1", "PriceList": page, **more})


def _fits(product: Mapping[str, Any], field: str, value: str) -> bool:
    attributes = {**product["product"]["attributes"]}
    attributes |= {"productFamily": product["product"]["productFamily"]}
    return str(attributes.get(field, "")).lower() == value.lower()


def _products() -> list[dict[str, Any]]:
    return [one for region in _MACHINES for one in (*_machines(region), *_others(region))]


def _machines(region: str) -> list[dict[str, Any]]:
    found = []
    for type, price in _MACHINES[region].items():
        usage = f"{_PREFIX[region]}BoxUsage:{type}"
        usual = {"instanceType": type, "operatingSystem": "Linux", "tenancy": "Shared",
                 "preInstalledSw": "NA", "capacitystatus": "Used", "usagetype": usage,
                 "licenseModel": "No License required", "marketoption": "OnDemand"}  # fmt: skip
        for change, factor in (
            ({}, 1.0),
            ({"operatingSystem": "Windows"}, 1.9),
            ({"tenancy": "Dedicated"}, 1.1),
            ({"preInstalledSw": "SQL Std"}, 5.0),
            # A reservation of capacity that is in use costs nothing more.
            ({"capacitystatus": "AllocatedCapacityReservation"}, 0.0),
        ):
            attributes = {**usual, **change}
            found.append(_product("Compute Instance", region, attributes, "Hrs", price * factor))
    return found


def _others(region: str) -> list[dict[str, Any]]:
    start = _PREFIX[region]
    gp3 = {"volumeApiName": "gp3"}
    rows: list[tuple[str, str, Mapping[str, str], str, float]] = [
        ("AmazonEC2", "NAT Gateway", {"usagetype": f"{start}NatGateway-Bytes"}, "GB", 0.048),
        ("AmazonEC2", "NAT Gateway", {"usagetype": f"{start}NatGateway-Hours"}, "Hrs", 0.048),
        ("AmazonEC2", "Storage", {**gp3, "usagetype": f"{start}EBS:VolumeUsage.gp3"}, "GB-Mo",
         0.088),
        ("AmazonEC2", "Storage", {"volumeApiName": "gp2",
                                  "usagetype": f"{start}EBS:VolumeUsage.gp2"}, "GB-Mo", 0.11),
        ("AmazonEC2", "System Operation",
         {**gp3, "group": "EBS IOPS", "usagetype": f"{start}EBS:VolumeP-IOPS.gp3"}, "IOPS-Mo",
         0.0055),
        ("AmazonEC2", "Provisioned Throughput",
         {**gp3, "usagetype": f"{start}EBS:VolumeP-Throughput.gp3"}, "GiBps-mo", 45.056),
        ("AmazonVPC", "", {"group": "VPCPublicIPv4Address",
                           "usagetype": f"{start}PublicIPv4:IdleAddress"}, "Hrs", 0.006),
        ("AmazonVPC", "", {"group": "VPCPublicIPv4Address",
                           "usagetype": f"{start}PublicIPv4:InUseAddress"}, "Hrs", 0.005),
    ]  # fmt: skip
    return [
        _product(family, region, attributes, unit, price, service)
        for service, family, attributes, unit, price in rows
    ]


def _product(
    family: str,
    region: str,
    attributes: Mapping[str, str],
    unit: str,
    price: float,
    service: str = "AmazonEC2",
) -> dict[str, Any]:
    said = {"servicecode": service, "regionCode": region, "locationType": "AWS Region"}
    said |= attributes
    sku = hashlib.sha256(repr(sorted(said.items())).encode()).hexdigest()[:16].upper()
    term = f"{sku}.JRTCKXETXF"
    rate = f"{term}.6YS6EN2CT7"
    dimension = {
        "unit": unit,
        "endRange": "Inf",
        "description": f"${price} per {unit}",
        "appliesTo": [],
        "rateCode": rate,
        "beginRange": "0",
        "pricePerUnit": {"USD": f"{price:.10f}"},
    }
    offer = {
        "priceDimensions": {rate: dimension},
        "sku": sku,
        "effectiveDate": "2026-11-01T00:00:00Z",
        "offerTermCode": "JRTCKXETXF",
        "termAttributes": {},
    }
    return {
        "product": {"productFamily": family, "attributes": said, "sku": sku},
        "serviceCode": service,
        "terms": {"OnDemand": {term: offer}},
        "version": "20261101000000",
        "publicationDate": "2026-11-01T00:00:00Z",
    }


SERVICE: Final = Service(read=_read, needs=_needs, act=_act)

"""Which types may stand in for one that a zone has none of."""

from typing import Any

from clusterous_cli.plan.machines import sizes


def listed(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"InstanceType": name, "SupportedRootDeviceTypes": ["ebs"], **more} for name in names]


def test_those_of_the_same_family_come_first_and_only_what_the_zone_offers() -> None:
    known = listed("c5.large", "t3.medium", "t2.medium", "t3a.medium", "c7i.large", "m1.medium")

    found = sizes.nearest("t3.medium", known, {one["InstanceType"] for one in known[:5]})

    assert found == ("t3a.medium", "t2.medium", "c5.large", "c7i.large")


def test_nothing_that_costs_or_lacks_what_nobody_asked_for() -> None:
    known = [
        *listed("g4dn.xlarge", GpuInfo={"Gpus": [{}]}),
        {"InstanceType": "m1.large", "SupportedRootDeviceTypes": ["instance-store"]},
        *listed("m5.xlarge"),
    ]

    offered = {one["InstanceType"] for one in known}
    assert sizes.nearest("t3.xlarge", known, offered) == ("m5.xlarge",)

"""Which types of machine may stand in for one of which a zone has none. Pure but for `alike`."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from clusterous_cli.plan.kinds.cloud import Cloud
from clusterous_cli.plan.kinds.machines import ARCHITECTURE

MOST: Final = 4


def alike(cloud: Cloud, type: str, zone: str) -> tuple[str, ...]:
    """Ask for types of the same size that the zone offers, the nearest first."""
    of_it = cloud.pages(
        "ec2", "describe_instance_types", "InstanceTypes",
        Filters=[{"Name": "instance-type", "Values": [type]}],
    )  # fmt: skip
    if not of_it:
        return ()
    size = {
        "vcpu-info.default-vcpus": of_it[0]["VCpuInfo"]["DefaultVCpus"],
        "memory-info.size-in-mib": of_it[0]["MemoryInfo"]["SizeInMiB"],
        "processor-info.supported-architecture": ARCHITECTURE,
        "current-generation": "true",
    }
    filters = [{"Name": name, "Values": [str(value)]} for name, value in size.items()]
    listed = cloud.pages("ec2", "describe_instance_types", "InstanceTypes", Filters=filters)
    offered = cloud.pages(
        "ec2", "describe_instance_type_offerings", "InstanceTypeOfferings",
        LocationType="availability-zone", Filters=[{"Name": "location", "Values": [zone]}],
    )  # fmt: skip
    return nearest(type, listed, {str(one["InstanceType"]) for one in offered})


def nearest(
    type: str, listed: Sequence[Mapping[str, Any]], offered: Collection[str]
) -> tuple[str, ...]:
    """Return those of the types *listed* that a zone offers: first of the same family.

    What has a graphics card, or no disk of EBS, costs or lacks what nobody asked for.
    """
    fitting = [
        str(one["InstanceType"])
        for one in listed
        if one["InstanceType"] in offered
        and one["InstanceType"] != type
        and not one.get("GpuInfo")
        and "ebs" in one.get("SupportedRootDeviceTypes", ("ebs",))
    ]
    family = type.partition(".")[0]

    def distance(other: str) -> tuple[int, str]:
        same = 0
        for a, b in zip(family, other, strict=False):
            if a != b:
                break
            same += 1
        return (-same, other)

    return tuple(sorted(fitting, key=distance)[:MOST])

"""Calls that are only asked about: what is in their way is not looked at, and nothing is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.region.probes.stage import Row, Stage

SAID: Final = "Request would have succeeded, but DryRun flag is set."


def _row(name: str, call: Callable[[Stage], Any]) -> Row:
    return Row(f"{name} DryRun", "DryRunOperation", SAID, call)


DRY: Final = (
    _row("run_instances", lambda s: s.run(DryRun=True)),
    _row("create_vpc", lambda s: s.ec2.create_vpc(CidrBlock="10.90.0.0/16", DryRun=True)),
    _row(
        "terminate", lambda s: s.ec2.terminate_instances(InstanceIds=[s["bystander"]], DryRun=True)
    ),
    _row(
        "create_nat_gateway",
        lambda s: s.ec2.create_nat_gateway(
            SubnetId=s["public"], AllocationId=s["eip"], DryRun=True
        ),
    ),
    _row("delete_vpc", lambda s: s.ec2.delete_vpc(VpcId=s["vpc"], DryRun=True)),
    _row("allocate_address", lambda s: s.ec2.allocate_address(DryRun=True)),
    _row(
        "create_security_group",
        lambda s: s.ec2.create_security_group(
            GroupName="new", Description="d", VpcId=s["vpc"], DryRun=True
        ),
    ),
    _row(
        "create_volume",
        lambda s: s.ec2.create_volume(AvailabilityZone="eu-west-1a", Size=1, DryRun=True),
    ),
    _row("delete_volume", lambda s: s.ec2.delete_volume(VolumeId=s["volume"], DryRun=True)),
    _row(
        "create_subnet",
        lambda s: s.ec2.create_subnet(VpcId=s["vpc"], CidrBlock="10.40.30.0/24", DryRun=True),
    ),
    _row("create_key_pair", lambda s: s.ec2.create_key_pair(KeyName="new", DryRun=True)),
    _row(
        "create_launch_template",
        lambda s: s.ec2.create_launch_template(
            LaunchTemplateName="new", LaunchTemplateData={"InstanceType": "t3.micro"}, DryRun=True
        ),
    ),
    _row("create_internet_gateway", lambda s: s.ec2.create_internet_gateway(DryRun=True)),
    _row("create_route_table", lambda s: s.ec2.create_route_table(VpcId=s["vpc"], DryRun=True)),
    _row(
        "create_tags",
        lambda s: s.ec2.create_tags(
            Resources=[s["vpc"]], Tags=[{"Key": "a", "Value": "b"}], DryRun=True
        ),
    ),
    _row("describe_instances", lambda s: s.ec2.describe_instances(DryRun=True)),
    _row(
        "stop_instances", lambda s: s.ec2.stop_instances(InstanceIds=[s["bystander"]], DryRun=True)
    ),
)

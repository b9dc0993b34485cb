"""A whole cluster's resources made and removed, as the network sees them, and nothing left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.region.aws import loopback, view

TAG = {"Key": "clusterous.io/cluster", "Value": "c"}
TRUST = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",'
    '"Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
)


@pytest.fixture
def aws() -> Iterator[loopback.Account]:
    with loopback.account() as account:
        yield account


def tags(*kinds: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [TAG]} for kind in kinds]


def build(aws: loopback.Account) -> dict[str, Any]:
    """Make a gateway and two nodes behind a NAT gateway, with all that belongs to them."""
    made = subnets(aws.client("ec2"))
    routes(aws.client("ec2"), made)
    groups(aws.client("ec2"), made)
    profile(aws.client("iam"))
    instances(aws, made)
    return made


def subnets(ec2: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "vpc": ec2.create_vpc(CidrBlock="10.40.0.0/16", TagSpecifications=tags("vpc"))["Vpc"][
            "VpcId"
        ]
    }
    for name, cidr in (("public", "10.40.0.0/24"), ("private", "10.40.1.0/24")):
        made[name] = ec2.create_subnet(
            VpcId=made["vpc"],
            CidrBlock=cidr,
            AvailabilityZone="eu-west-1b",
            TagSpecifications=tags("subnet"),
        )["Subnet"]["SubnetId"]
        made[f"{name}-table"] = ec2.create_route_table(
            VpcId=made["vpc"], TagSpecifications=tags("route-table")
        )["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(RouteTableId=made[f"{name}-table"], SubnetId=made[name])
    return made


def routes(ec2: Any, made: dict[str, Any]) -> None:
    igw = ec2.create_internet_gateway(TagSpecifications=tags("internet-gateway"))
    made["igw"] = igw["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=made["igw"], VpcId=made["vpc"])
    made["eip"] = ec2.allocate_address(Domain="vpc", TagSpecifications=tags("elastic-ip"))
    made["nat"] = ec2.create_nat_gateway(
        SubnetId=made["public"],
        AllocationId=made["eip"]["AllocationId"],
        TagSpecifications=tags("natgateway"),
    )["NatGateway"]["NatGatewayId"]
    anywhere = {"DestinationCidrBlock": "0.0.0.0/0"}
    ec2.create_route(RouteTableId=made["public-table"], GatewayId=made["igw"], **anywhere)
    ec2.create_route(RouteTableId=made["private-table"], NatGatewayId=made["nat"], **anywhere)
    made["endpoint"] = ec2.create_vpc_endpoint(
        VpcId=made["vpc"],
        ServiceName="com.amazonaws.eu-west-1.s3",
        RouteTableIds=[made["private-table"]],
        TagSpecifications=tags("vpc-endpoint"),
    )["VpcEndpoint"]["VpcEndpointId"]


def groups(ec2: Any, made: dict[str, Any]) -> None:
    for name in ("gateway", "nodes"):
        made[name] = ec2.create_security_group(
            GroupName=name,
            Description=name,
            VpcId=made["vpc"],
            TagSpecifications=tags("security-group"),
        )["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=made["gateway"],
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 22,
                "ToPort": 22,
                "IpRanges": [{"CidrIp": "203.0.113.10/32"}],
            }
        ],
    )
    ec2.authorize_security_group_ingress(
        GroupId=made["nodes"],
        IpPermissions=[
            {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": made["nodes"]}]},
            {
                "IpProtocol": "tcp",
                "FromPort": 22,
                "ToPort": 22,
                "UserIdGroupPairs": [{"GroupId": made["gateway"]}],
            },
        ],
    )


def profile(iam: Any) -> None:
    iam.create_role(RoleName="node", AssumeRolePolicyDocument=TRUST, Tags=[TAG])
    iam.create_instance_profile(InstanceProfileName="node", Tags=[TAG])
    iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="node")


def instances(aws: loopback.Account, made: dict[str, Any]) -> None:
    ec2, ssm = aws.client("ec2"), aws.client("ssm")
    image = ssm.get_parameter(
        Name="/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
    )["Parameter"]["Value"]
    common = {
        "ImageId": image,
        "InstanceType": "t3.medium",
        "IamInstanceProfile": {"Name": "node"},
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "UserData": "#!/bin/sh\n",
        "TagSpecifications": tags("instance", "volume", "network-interface"),
    }
    outside = {
        "DeviceIndex": 0,
        "SubnetId": made["public"],
        "AssociatePublicIpAddress": True,
        "Groups": [made["gateway"]],
    }
    started = [
        *ec2.run_instances(MinCount=1, MaxCount=1, NetworkInterfaces=[outside], **common)[
            "Instances"
        ],
        *ec2.run_instances(
            MinCount=2,
            MaxCount=2,
            SubnetId=made["private"],
            SecurityGroupIds=[made["nodes"]],
            **common,
        )["Instances"],
    ]
    made["instances"] = [each["InstanceId"] for each in started]


def tear_down(aws: loopback.Account, made: dict[str, Any]) -> None:
    ec2, iam = aws.client("ec2"), aws.client("iam")
    ec2.terminate_instances(InstanceIds=made["instances"])
    ec2.delete_nat_gateway(NatGatewayId=made["nat"])
    ec2.release_address(AllocationId=made["eip"]["AllocationId"])
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made["endpoint"]])
    for name in ("nodes", "gateway"):
        ec2.delete_security_group(GroupId=made[name])
    for name in ("public", "private"):
        ec2.delete_subnet(SubnetId=made[name])
        ec2.delete_route_table(RouteTableId=made[f"{name}-table"])
    ec2.detach_internet_gateway(InternetGatewayId=made["igw"], VpcId=made["vpc"])
    ec2.delete_internet_gateway(InternetGatewayId=made["igw"])
    ec2.delete_vpc(VpcId=made["vpc"])
    iam.remove_role_from_instance_profile(InstanceProfileName="node", RoleName="node")
    iam.delete_instance_profile(InstanceProfileName="node")
    iam.delete_role(RoleName="node")


def test_the_network_sees_what_was_made(aws: loopback.Account) -> None:
    made = build(aws)

    seen = aws.server.snapshot()

    assert seen.vpcs == (view.Vpc(id=made["vpc"], cidr="10.40.0.0/16", igw_id=made["igw"]),)
    prefix_list = next(id for id, networks in seen.prefix_lists.items() if networks)
    routes = {table.id: set(table.routes) for table in seen.route_tables}
    assert routes[made["private-table"]] == {
        view.Route(destination="10.40.0.0/16", target="local"),
        view.Route(destination="0.0.0.0/0", target=made["nat"]),
        view.Route(destination=prefix_list, target=made["endpoint"]),
    }
    assert {s.id: s.route_table_id for s in seen.subnets} == {
        made["public"]: made["public-table"],
        made["private"]: made["private-table"],
    }
    nat = seen.nat_gateways[0]
    assert (nat.state, nat.public_ip) == ("available", made["eip"]["PublicIp"])
    nodes = next(group for group in seen.security_groups if group.id == made["nodes"])
    assert {(r.protocol, r.from_port, r.group_ids) for r in nodes.ingress} == {
        ("-1", None, (made["nodes"],)),
        ("tcp", 22, (made["gateway"],)),
    }
    gateway, first, second = seen.instances
    assert seen.public_ips == {
        nat.public_ip: nat.private_ip,
        gateway.public_ip: gateway.private_ip,
    }
    assert gateway.public_ip
    assert gateway.public_ip.startswith("198.51.100.")
    assert first.public_ip is None
    assert [each.launch_index for each in (first, second)] == [0, 1]
    assert len({each.mac for each in seen.instances}) == 3
    for each in seen.instances:
        assert (each.role_name, each.http_tokens, each.hop_limit) == ("node", "required", 1)
        assert (each.vcpus, each.memory_mib) == (2, 4096)
        assert each.user_data == b"#!/bin/sh\n"
        assert each.tags == {"clusterous.io/cluster": "c"}
        dashed = each.private_ip.replace(".", "-")
        assert each.private_dns_name == f"ip-{dashed}.eu-west-1.compute.internal"
    assert first.group_ids == (made["nodes"],)


def test_everything_can_be_found_by_tag_and_nothing_is_left(aws: loopback.Account) -> None:
    made = build(aws)
    ec2 = aws.client("ec2")
    found = ec2.describe_tags(Filters=[{"Name": "key", "Values": [TAG["Key"]]}])["Tags"]
    assert {tag["ResourceType"] for tag in found} == {
        "vpc",
        "subnet",
        "route-table",
        "internet-gateway",
        "elastic-ip",
        "natgateway",
        "vpc-endpoint",
        "security-group",
        "instance",
        "volume",
        "network-interface",
    }

    tear_down(aws, made)

    assert aws.server.leftovers() == []
    gone = {tag["ResourceType"] for tag in ec2.describe_tags()["Tags"]}
    assert gone <= {"instance", "natgateway"}  # AWS shows these for another hour, too.
    assert ec2.describe_vpc_endpoints()["VpcEndpoints"] == []


def test_a_filter_by_tag_finds_only_its_own(aws: loopback.Account) -> None:
    build(aws)
    ec2 = aws.client("ec2")
    for operation, key, filters in (
        ("describe_nat_gateways", "NatGateways", "Filter"),
        ("describe_addresses", "Addresses", "Filters"),
        ("describe_vpcs", "Vpcs", "Filters"),
        ("describe_volumes", "Volumes", "Filters"),
        ("describe_vpc_endpoints", "VpcEndpoints", "Filters"),
        ("describe_network_interfaces", "NetworkInterfaces", "Filters"),
    ):

        def count(value: str, call: Any, key: str, filters: str) -> int:
            wanted = [{"Name": "tag:clusterous.io/cluster", "Values": [value]}]
            return len(call(**{filters: wanted})[key])

        call = getattr(ec2, operation)
        assert count("c", call, key, filters) > 0, operation
        assert count("d", call, key, filters) == 0, operation


def test_an_image_that_was_pushed_is_seen_until_it_is_deleted(aws: loopback.Account) -> None:
    ecr = aws.client("ecr")
    ecr.create_repository(repositoryName="app", tags=[TAG])
    manifest = json.dumps({"schemaVersion": 2, "layers": []}).encode()
    kind = "application/vnd.oci.image.manifest.v1+json"
    first = "sha256:" + hashlib.sha256(manifest).hexdigest()
    second = "sha256:" + hashlib.sha256(manifest + b" ").hexdigest()
    told: list[tuple[str, str, str | None]] = []
    aws.server.ecr_image_deleted = lambda *what: told.append(what)
    assert aws.server.ecr_repository_exists("app")

    aws.server.ecr_put_image("app", "v1", first, manifest, kind)
    aws.server.ecr_put_image("app", "v1", first, manifest, kind)
    aws.server.ecr_put_image("app", "v1", second, manifest + b" ", kind)

    shown = ecr.describe_images(repositoryName="app", imageIds=[{"imageTag": "v1"}])
    assert [image["imageDigest"] for image in shown["imageDetails"]] == [second]
    got = ecr.batch_get_image(repositoryName="app", imageIds=[{"imageTag": "v1"}])["images"]
    assert got[0]["imageManifest"].encode() == manifest + b" "
    ecr.delete_repository(repositoryName="app", force=True)
    assert {digest for _, digest, _ in told} == {first, second}
    with pytest.raises(ClientError, match="RepositoryNotFoundException"):
        ecr.describe_images(repositoryName="app")


def test_a_rule_is_revoked_without_its_description(aws: loopback.Account) -> None:
    ec2 = aws.client("ec2")
    group = ec2.create_security_group(GroupName="nodes", Description="nodes")["GroupId"]
    peer = {"GroupId": group}
    everything = {"IpProtocol": "-1", "UserIdGroupPairs": [{**peer, "Description": "mine"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[everything])

    bare = {"IpProtocol": "-1", "UserIdGroupPairs": [peer]}
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[bare])

    left = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    assert left["IpPermissions"] == []

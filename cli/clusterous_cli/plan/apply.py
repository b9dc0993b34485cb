"""How each kind of thing is made: one mutating call each, tagged in that very call."""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import FailedError
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.plan.observe import POLICY_NAME, rules_of
from clusterous_cli.plan.planner import Step, resolved
from clusterous_cli.plan.resources import Kind, Rule
from clusterous_cli.system import wait

Facts = Mapping[str, Any]
# Gives the content of an object: bytes, or the path of a large file.
Supply = Callable[[str], Any]
TRUST: Final = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
NAT_SECONDS: Final = 600
MOUNT_SECONDS: Final = 600


class Builder:
    """Makes what a step wants and returns its id."""

    def __init__(self, cloud: Aws, who: Identity, pauses: wait.Pauses, supply: Supply) -> None:
        self.cloud = cloud
        self.who = who
        self.pauses = pauses
        self.supply = supply

    def act(self, step: Step, ids: Mapping[str, str]) -> str:
        """Carry out a step that creates or changes."""
        assert step.resource is not None
        facts = {name: resolved(value, ids) for name, value in step.resource.facts.items()}
        return HOW[step.kind](self, step, facts)

    def ec2(self, action: str, **params: Any) -> Any:
        return self.cloud.call("ec2", action, **params)

    def iam(self, action: str, **params: Any) -> Any:
        return self.cloud.call("iam", action, **params)

    def s3(self, action: str, **params: Any) -> Any:
        owner = {"Bucket": self.who.bucket, "ExpectedBucketOwner": self.who.account}
        return self.cloud.call("s3", action, **owner, **params)

    def tags(self, key: str) -> list[dict[str, str]]:
        return [{"Key": name, "Value": value} for name, value in self.who.tags(key).items()]

    def tagged(self, type: str, step: Step) -> list[dict[str, Any]]:
        return [{"ResourceType": type, "Tags": self.tags(step.key)}]

    def token(self, *parts: Any) -> str:
        """Derive a client token: a call that is repeated with the same parts has no new effect."""
        whole = "/".join(str(part) for part in (self.who.uid, *parts))
        return hashlib.sha256(whole.encode()).hexdigest()[:60]


def _vpc(to: Builder, step: Step, facts: Facts) -> str:
    answer = to.ec2("create_vpc", CidrBlock=facts["cidr"], TagSpecifications=to.tagged("vpc", step))
    return str(answer["Vpc"]["VpcId"])


def _vpc_dns(to: Builder, step: Step, facts: Facts) -> str:
    to.ec2("modify_vpc_attribute", VpcId=facts["vpc"], EnableDnsHostnames={"Value": True})
    return str(facts["vpc"])


def _subnet(to: Builder, step: Step, facts: Facts) -> str:
    answer = to.ec2(
        "create_subnet",
        VpcId=facts["vpc"],
        CidrBlock=facts["cidr"],
        AvailabilityZone=facts["zone"],
        TagSpecifications=to.tagged("subnet", step),
    )
    return str(answer["Subnet"]["SubnetId"])


def _gateway(to: Builder, step: Step, facts: Facts) -> str:
    answer = to.ec2(
        "create_internet_gateway", TagSpecifications=to.tagged("internet-gateway", step)
    )
    return str(answer["InternetGateway"]["InternetGatewayId"])


def _gateway_link(to: Builder, step: Step, facts: Facts) -> str:
    to.ec2("attach_internet_gateway", InternetGatewayId=facts["gateway"], VpcId=facts["vpc"])
    return str(facts["gateway"])


def _table(to: Builder, step: Step, facts: Facts) -> str:
    answer = to.ec2(
        "create_route_table",
        VpcId=facts["vpc"],
        TagSpecifications=to.tagged("route-table", step),
    )
    return str(answer["RouteTable"]["RouteTableId"])


def _table_link(to: Builder, step: Step, facts: Facts) -> str:
    answer = to.ec2("associate_route_table", RouteTableId=facts["table"], SubnetId=facts["subnet"])
    return str(answer["AssociationId"])


def _route(to: Builder, step: Step, facts: Facts) -> str:
    # After a NAT gateway was lost its route stays and leads nowhere.
    action = "create_route" if step.found is None else "replace_route"
    target = "NatGatewayId" if facts["target"].startswith("nat-") else "GatewayId"
    to.ec2(
        action,
        RouteTableId=facts["table"],
        DestinationCidrBlock=facts["destination"],
        **{target: facts["target"]},
    )
    return str(facts["table"])


def _address(to: Builder, step: Step, facts: Facts) -> str:
    answer = to.ec2(
        "allocate_address", Domain="vpc", TagSpecifications=to.tagged("elastic-ip", step)
    )
    return str(answer["AllocationId"])


def _nat(to: Builder, step: Step, facts: Facts) -> str:
    if step.found is None:
        answer = to.ec2(
            "create_nat_gateway",
            SubnetId=facts["subnet"],
            AllocationId=facts["address"],
            ClientToken=to.token("nat", facts["subnet"], facts["address"]),
            TagSpecifications=to.tagged("natgateway", step),
        )
        id = str(answer["NatGateway"]["NatGatewayId"])
    else:
        id = step.found.id
    return wait.until(lambda: _nat_ready(to, id), "The NAT gateway", to.pauses, timeout=NAT_SECONDS)


def _nat_ready(to: Builder, id: str) -> str | None:
    try:
        answer = to.ec2("describe_nat_gateways", NatGatewayIds=[id])
    except errors.NotFound:
        return None
    gateway = answer["NatGateways"][0]
    if gateway["State"] in ("failed", "deleting", "deleted"):
        raise FailedError(
            f"AWS could not make the NAT gateway: {gateway.get('FailureMessage', gateway['State'])}"
        )
    return id if gateway["State"] == "available" else None


def _endpoint(to: Builder, step: Step, facts: Facts) -> str:
    answer = to.ec2(
        "create_vpc_endpoint",
        VpcEndpointType="Gateway",
        VpcId=facts["vpc"],
        ServiceName=facts["service"],
        RouteTableIds=list(facts["tables"]),
        ClientToken=to.token("endpoint", *facts["tables"]),
        TagSpecifications=to.tagged("vpc-endpoint", step),
    )
    return str(answer["VpcEndpoint"]["VpcEndpointId"])


def _group(to: Builder, step: Step, facts: Facts) -> str:
    answer = to.ec2(
        "create_security_group",
        GroupName=facts["name"],
        Description=f"clusterous: the {step.key.removesuffix('-group')} of {to.who.name}",
        VpcId=facts["vpc"],
        TagSpecifications=to.tagged("security-group", step),
    )
    return str(answer["GroupId"])


def _rules(to: Builder, step: Step, facts: Facts) -> str:
    id, wanted = facts["group"], set(facts["rules"])
    # Asked now, not taken from the plan: a repeated attempt must not add what is there.
    listed = to.ec2("describe_security_groups", GroupIds=[id])["SecurityGroups"]
    present = set(rules_of(listed[0].get("IpPermissions", ()))) if listed else set()
    if missing := sorted(wanted - present):
        to.ec2("authorize_security_group_ingress", GroupId=id, IpPermissions=permissions(missing))
    if extra := sorted(present - wanted):
        to.ec2("revoke_security_group_ingress", GroupId=id, IpPermissions=permissions(extra))
    return str(id)


def permissions(rules: list[Rule]) -> list[dict[str, Any]]:
    """Spell rules as EC2 wants them."""
    spelled = []
    for rule in rules:
        one: dict[str, Any] = {"IpProtocol": rule.protocol}
        if rule.protocol != "-1":
            one |= {"FromPort": rule.low, "ToPort": rule.high}
        if rule.source.startswith("sg-"):
            one["UserIdGroupPairs"] = [{"GroupId": rule.source}]
        elif rule.source.startswith("pl-"):
            one["PrefixListIds"] = [{"PrefixListId": rule.source}]
        elif ":" in rule.source:
            one["Ipv6Ranges"] = [{"CidrIpv6": rule.source}]
        else:
            one["IpRanges"] = [{"CidrIp": rule.source, "Description": "clusterous"}]
        spelled.append(one)
    return spelled


def _role(to: Builder, step: Step, facts: Facts) -> str:
    to.iam(
        "create_role",
        RoleName=facts["name"],
        AssumeRolePolicyDocument=TRUST,
        Description=f"clusterous: machines of {to.who.name}",
        Tags=to.tags(step.key),
    )
    return str(facts["name"])


def _policy(to: Builder, step: Step, facts: Facts) -> str:
    to.iam(
        "put_role_policy",
        RoleName=facts["role"],
        PolicyName=POLICY_NAME,
        PolicyDocument=facts["document"],
    )
    return str(facts["role"])


def _profile(to: Builder, step: Step, facts: Facts) -> str:
    to.iam(
        "create_instance_profile",
        InstanceProfileName=facts["name"],
        Tags=to.tags(step.key),
    )
    return str(facts["name"])


def _profile_link(to: Builder, step: Step, facts: Facts) -> str:
    try:
        to.iam(
            "add_role_to_instance_profile",
            InstanceProfileName=facts["profile"],
            RoleName=facts["role"],
        )
    except errors.QuotaReached:
        # A profile holds one role; a call whose answer was lost has put ours there.
        answer = to.iam("get_instance_profile", InstanceProfileName=facts["profile"])
        if [role["RoleName"] for role in answer["InstanceProfile"]["Roles"]] != [facts["role"]]:
            raise
    return str(facts["profile"])


def _bucket(to: Builder, step: Step, facts: Facts) -> str:
    # S3's own us-east-1 takes no constraint and wants none.
    place = {"LocationConstraint": to.cloud.region}
    extra = {} if to.cloud.region == "us-east-1" else {"CreateBucketConfiguration": place}
    with contextlib.suppress(errors.AlreadyExists):
        to.cloud.call("s3", "create_bucket", Bucket=facts["name"], **extra)
    to.s3("put_bucket_tagging", Tagging={"TagSet": to.tags(step.key)})
    return str(facts["name"])


def _bucket_block(to: Builder, step: Step, facts: Facts) -> str:
    switches = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    to.s3(
        "put_public_access_block",
        PublicAccessBlockConfiguration=dict.fromkeys(switches, True),
    )
    return to.who.bucket


def _bucket_encryption(to: Builder, step: Step, facts: Facts) -> str:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": facts["algorithm"]}}
    to.s3("put_bucket_encryption", ServerSideEncryptionConfiguration={"Rules": [rule]})
    return to.who.bucket


def _bucket_policy(to: Builder, step: Step, facts: Facts) -> str:
    to.s3("put_bucket_policy", Policy=facts["document"])
    return to.who.bucket


def _object(to: Builder, step: Step, facts: Facts) -> str:
    content = to.supply(facts["key"])
    if isinstance(content, bytes):
        # The secrets are written once: of two creates at the same time one must lose here.
        once = {"IfNoneMatch": "*"} if facts["key"].startswith("private/") else {}
        to.s3("put_object", Key=facts["key"], Body=content, **once)
    else:
        _upload(to, facts["key"], content)
    return str(facts["key"])


def _upload(to: Builder, key: str, path: Any) -> None:
    from boto3.s3.transfer import TransferConfig

    from clusterous_cli.aws.client import translated

    client = to.cloud.client("s3", reads=True)  # repeating a part is harmless
    with translated("s3", "put_object", to.cloud.region):
        client.upload_file(
            str(path),
            to.who.bucket,
            key,
            ExtraArgs={"ExpectedBucketOwner": to.who.account},
            Config=TransferConfig(multipart_chunksize=16 << 20, max_concurrency=8),
        )


def _file_system(to: Builder, step: Step, facts: Facts) -> str:
    answer = to.cloud.call(
        "efs",
        "create_file_system",
        CreationToken=facts["token"],
        Encrypted=True,
        PerformanceMode="generalPurpose",
        ThroughputMode="elastic",
        Tags=to.tags(step.key),
    )
    return str(answer["FileSystemId"])


def _mount_target(to: Builder, step: Step, facts: Facts) -> str:
    if step.found is None:
        answer = to.cloud.call(
            "efs",
            "create_mount_target",
            FileSystemId=facts["file_system"],
            SubnetId=facts["subnet"],
            IpAddress=facts["address"],
            SecurityGroups=[facts["group"]],
        )
        id = str(answer["MountTargetId"])
    else:
        id = step.found.id
    return wait.until(
        lambda: _mount_ready(to, id), "The volume's mount target", to.pauses, timeout=MOUNT_SECONDS
    )


def _mount_ready(to: Builder, id: str) -> str | None:
    answer = to.cloud.call("efs", "describe_mount_targets", MountTargetId=id)
    state = answer["MountTargets"][0]["LifeCycleState"]
    if state in ("deleting", "deleted", "error"):
        raise FailedError(f"AWS could not make the volume's mount target ({state}).")
    return id if state == "available" else None


def _machines(to: Builder, step: Step, facts: Facts) -> str:
    there = step.found.id.split() if step.found else []
    missing = facts["count"] - len(there)
    if missing <= 0:
        return " ".join(there)
    # A launch that replaces machines must not be taken for the launch of those: AWS shows the
    # dead for about an hour, and after that the hour is another.
    token = to.token("run", step.key, facts["subnet"], *there, missing, step.replaces, _hour())
    answer = to.ec2(
        "run_instances",
        MinCount=missing,
        MaxCount=missing,
        ClientToken=token,
        **launch(facts),
        **_root_disk(to, facts),
        TagSpecifications=[
            {"ResourceType": kind, "Tags": machine_tags(to, step.key)}
            for kind in ("instance", "volume", "network-interface")
        ],
    )
    return " ".join([*there, *(machine["InstanceId"] for machine in answer["Instances"])])


def _hour() -> int:
    return int(time.time() // 3600)


def machine_tags(to: Builder, role: str) -> list[dict[str, str]]:
    """Return a machine's tags; the pool's name is the role's, as long as there is one pool each."""
    return [*to.tags(role), {"Key": names.TAG_POOL, "Value": role}]


def launch(facts: Facts) -> dict[str, Any]:
    """Return the launch parameters that follow from the facts."""
    return {
        "ImageId": facts["image"],
        "InstanceType": facts["type"],
        "IamInstanceProfile": {"Name": facts["profile"]},
        "UserData": facts["user_data"],
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "HttpEndpoint": "enabled",
        },
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "SubnetId": facts["subnet"],
                "Groups": [facts["group"]],
                "AssociatePublicIpAddress": facts["public"],
                "DeleteOnTermination": True,
                **({"PrivateIpAddress": facts["address"]} if facts["address"] else {}),
            }
        ],
    }


def _root_disk(to: Builder, facts: Facts) -> dict[str, Any]:
    images = to.ec2("describe_images", ImageIds=[facts["image"]])["Images"]
    if not images:
        raise FailedError(f"There is no image {facts['image']} in {to.cloud.region}.")
    disk = {
        "VolumeSize": facts["disk"],
        "VolumeType": "gp3",
        "Encrypted": True,
        "DeleteOnTermination": True,
    }
    name = images[0].get("RootDeviceName", "/dev/xvda")
    return {"BlockDeviceMappings": [{"DeviceName": name, "Ebs": disk}]}


HOW: Final[Mapping[Kind, Callable[[Builder, Step, Facts], str]]] = {
    Kind.VPC: _vpc,
    Kind.VPC_DNS: _vpc_dns,
    Kind.SUBNET: _subnet,
    Kind.GATEWAY: _gateway,
    Kind.GATEWAY_LINK: _gateway_link,
    Kind.TABLE: _table,
    Kind.TABLE_LINK: _table_link,
    Kind.ROUTE: _route,
    Kind.ADDRESS: _address,
    Kind.NAT: _nat,
    Kind.ENDPOINT: _endpoint,
    Kind.GROUP: _group,
    Kind.RULES: _rules,
    Kind.ROLE: _role,
    Kind.POLICY: _policy,
    Kind.PROFILE: _profile,
    Kind.PROFILE_LINK: _profile_link,
    Kind.BUCKET: _bucket,
    Kind.BUCKET_BLOCK: _bucket_block,
    Kind.BUCKET_ENCRYPTION: _bucket_encryption,
    Kind.BUCKET_POLICY: _bucket_policy,
    Kind.OBJECT: _object,
    Kind.FILE_SYSTEM: _file_system,
    Kind.MOUNT_TARGET: _mount_target,
    Kind.MACHINES: _machines,
}

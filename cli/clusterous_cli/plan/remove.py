"""How each kind of thing is deleted, and when it is really gone."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.plan.planner import Found, Step
from clusterous_cli.plan.resources import Kind
from clusterous_cli.system import wait

GONE_SECONDS: Final = 600


class Remover:
    """Deletes what a step names; what is gone already counts as deleted."""

    def __init__(self, cloud: Aws, who: Identity, pauses: wait.Pauses) -> None:
        self.cloud = cloud
        self.who = who
        self.pauses = pauses

    def act(self, step: Step, ids: Mapping[str, str]) -> str:
        """Carry out a step that deletes."""
        assert step.found is not None
        with contextlib.suppress(errors.NotFound):
            HOW[step.kind](self, step.found)
        return step.found.id

    def ec2(self, action: str, **params: Any) -> Any:
        return self.cloud.call("ec2", action, **params)

    def iam(self, action: str, **params: Any) -> Any:
        return self.cloud.call("iam", action, **params)

    def gone(self, state: Callable[[], str | None], what: str) -> None:
        """Wait until *state* answers None or says that nothing is there."""

        def check() -> bool | None:
            try:
                return True if state() is None else None
            except errors.NotFound:
                return True

        wait.until(check, what, self.pauses, timeout=GONE_SECONDS)


def _machines(to: Remover, found: Found) -> None:
    ids = found.id.split()
    # The order matters little to a machine that is thrown away, and a shutdown takes its time.
    to.ec2("terminate_instances", InstanceIds=ids)
    to.gone(lambda: _alive(to, found.key, ids), "Ending the machines")


def _alive(to: Remover, role: str, ids: Sequence[str]) -> str | None:
    states = ["pending", "running", "stopping", "stopped", "shutting-down"]
    # By filter, since a list of ids is cut at a hundred.
    filters = [
        {"Name": "tag:clusterous.io/uid", "Values": [to.who.uid]},
        {"Name": "instance-state-name", "Values": states},
    ]
    listed = to.cloud.pages("ec2", "describe_instances", "Reservations", Filters=filters)
    present = {machine["InstanceId"] for group in listed for machine in group["Instances"]}
    return "alive" if present & set(ids) else None


def _nat(to: Remover, found: Found) -> None:
    if found.facts.get("state") != "deleting":
        to.ec2("delete_nat_gateway", NatGatewayId=found.id)
    to.gone(lambda: _nat_state(to, found.id), "Deleting the NAT gateway")


def _nat_state(to: Remover, id: str) -> str | None:
    gateways = to.ec2("describe_nat_gateways", NatGatewayIds=[id])["NatGateways"]
    states = [gateway["State"] for gateway in gateways if gateway["State"] != "deleted"]
    return states[0] if states else None


def _address(to: Remover, found: Found) -> None:
    to.ec2("release_address", AllocationId=found.id)


def _endpoint(to: Remover, found: Found) -> None:
    answer = to.ec2("delete_vpc_endpoints", VpcEndpointIds=[found.id])
    refused = [one["Error"] for one in answer.get("Unsuccessful", ()) if one.get("Error")]
    if refused and "NotFound" not in refused[0].get("Code", ""):
        raise errors.NotYet(f"The S3 endpoint stays: {refused[0].get('Message')}")


def _rules(to: Remover, found: Found) -> None:
    # Groups that name each other cannot be deleted; without rules they can, in any order.
    groups = to.ec2("describe_security_groups", GroupIds=[found.id])["SecurityGroups"]
    present = groups[0].get("IpPermissions") if groups else None
    if present:
        to.ec2("revoke_security_group_ingress", GroupId=found.id, IpPermissions=present)


def _group(to: Remover, found: Found) -> None:
    to.ec2("delete_security_group", GroupId=found.id)


def _gateway(to: Remover, found: Found) -> None:
    vpc = found.facts.get("attached")
    if vpc:
        try:
            to.ec2("detach_internet_gateway", InternetGatewayId=found.id, VpcId=vpc)
        except errors.AwsFailed as error:
            if error.code not in ("Gateway.NotAttached", "InvalidInternetGatewayID.NotFound"):
                raise
    to.ec2("delete_internet_gateway", InternetGatewayId=found.id)


def _subnet(to: Remover, found: Found) -> None:
    to.ec2("delete_subnet", SubnetId=found.id)


def _table(to: Remover, found: Found) -> None:
    to.ec2("delete_route_table", RouteTableId=found.id)


def _vpc(to: Remover, found: Found) -> None:
    to.ec2("delete_vpc", VpcId=found.id)


def _interface(to: Remover, found: Found) -> None:
    to.ec2("delete_network_interface", NetworkInterfaceId=found.id)


def _volume(to: Remover, found: Found) -> None:
    to.ec2("delete_volume", VolumeId=found.id)


def _file_system(to: Remover, found: Found) -> None:
    if not found.facts.get("broken"):
        to.cloud.call("efs", "delete_file_system", FileSystemId=found.id)
    to.gone(lambda: _file_system_state(to, found.id), "Deleting the volume")


def _file_system_state(to: Remover, id: str) -> str | None:
    listed = to.cloud.call("efs", "describe_file_systems", FileSystemId=id)["FileSystems"]
    return _lasting(listed)


def _lasting(listed: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the state of what EFS lists, None when that is `deleted` or nothing is listed."""
    states = (one["LifeCycleState"] for one in listed)
    return next((state for state in states if state != "deleted"), None)


def _mount_target(to: Remover, found: Found) -> None:
    if not found.facts.get("broken"):
        to.cloud.call("efs", "delete_mount_target", MountTargetId=found.id)
    to.gone(lambda: _mount_state(to, found.id), "Deleting the volume's mount target")


def _mount_state(to: Remover, id: str) -> str | None:
    listed = to.cloud.call("efs", "describe_mount_targets", MountTargetId=id)["MountTargets"]
    return _lasting(listed)


def _profile(to: Remover, found: Found) -> None:
    answer = to.iam("get_instance_profile", InstanceProfileName=found.id)
    for role in answer["InstanceProfile"]["Roles"]:
        to.iam(
            "remove_role_from_instance_profile",
            InstanceProfileName=found.id,
            RoleName=role["RoleName"],
        )
    to.iam("delete_instance_profile", InstanceProfileName=found.id)


def _role(to: Remover, found: Found) -> None:
    for name in to.cloud.pages("iam", "list_role_policies", "PolicyNames", RoleName=found.id):
        to.iam("delete_role_policy", RoleName=found.id, PolicyName=name)
    attached = to.cloud.pages(
        "iam", "list_attached_role_policies", "AttachedPolicies", RoleName=found.id
    )
    for policy in attached:
        to.iam("detach_role_policy", RoleName=found.id, PolicyArn=policy["PolicyArn"])
    to.iam("delete_role", RoleName=found.id)


def _bucket(to: Remover, found: Found) -> None:
    for batch in _batches(to, found.id):
        to.cloud.call(
            "s3", "delete_objects", Bucket=found.id, Delete={"Objects": batch, "Quiet": True}
        )
    uploads = to.cloud.pages("s3", "list_multipart_uploads", "Uploads", Bucket=found.id)
    for upload in uploads:
        to.cloud.call(
            "s3", "abort_multipart_upload",
            Bucket=found.id, Key=upload["Key"], UploadId=upload["UploadId"],
        )  # fmt: skip
    to.cloud.call("s3", "delete_bucket", Bucket=found.id)


def _batches(to: Remover, bucket: str) -> Iterator[list[dict[str, str]]]:
    listed = to.cloud.pages("s3", "list_objects_v2", "Contents", Bucket=bucket)
    for start in range(0, len(listed), 1000):
        yield [{"Key": one["Key"]} for one in listed[start : start + 1000]]


def _repository(to: Remover, found: Found) -> None:
    to.cloud.call("ecr", "delete_repository", repositoryName=found.id, force=True)


HOW: Final[Mapping[Kind, Callable[[Remover, Found], None]]] = {
    Kind.MACHINES: _machines,
    Kind.NAT: _nat,
    Kind.ADDRESS: _address,
    Kind.ENDPOINT: _endpoint,
    Kind.RULES: _rules,
    Kind.GROUP: _group,
    Kind.GATEWAY: _gateway,
    Kind.SUBNET: _subnet,
    Kind.TABLE: _table,
    Kind.VPC: _vpc,
    Kind.INTERFACE: _interface,
    Kind.VOLUME: _volume,
    Kind.FILE_SYSTEM: _file_system,
    Kind.MOUNT_TARGET: _mount_target,
    Kind.PROFILE: _profile,
    Kind.ROLE: _role,
    Kind.BUCKET: _bucket,
    Kind.REPOSITORY: _repository,
}

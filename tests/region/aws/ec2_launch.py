"""RunInstances: all that AWS checks before it starts anything, and the request made complete.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html has the limits; codes:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from moto.ec2.models.instance_types import INSTANCE_TYPES

from tests.region.aws import ec2_capacity, ec2_models, ec2_rules, images, store
from tests.region.aws.errors import Refusal
from tests.region.aws.request import members, structures
from tests.region.aws.world import World

Params = Mapping[str, str]
MOST_USER_DATA: Final = 16_384


def prepared(world: World, params: Params, region: str) -> dict[str, str]:
    """Return *params* as moto should carry them out; raise what AWS would refuse."""
    backend = store.ec2(region)
    launch = dict(params)
    launch["ImageId"] = _image(backend, params, region)
    if "LaunchTemplate.LaunchTemplateId" in params or "LaunchTemplate.LaunchTemplateName" in params:
        raise Refusal(
            "RegionNotImplemented", "The simulated region runs no instances from launch templates."
        )
    kind = _type(params)
    subnet = _subnet(backend, params)
    _check_architecture(backend, launch["ImageId"], kind)
    _check_zone(params["InstanceType"], subnet)
    _check_user_data(params)
    _check_key(backend, params)
    _check_profile(world, params)
    _check_groups(backend, params, subnet)
    _check_volumes(launch, region)
    ec2_rules.check_metadata(params, "MetadataOptions.")
    count = _count(world, backend, params, subnet, kind)
    launch["MinCount"] = str(count)
    launch["MaxCount"] = str(count)
    return launch


def _bad(message: str, code: str = "InvalidParameterValue") -> Refusal:
    return Refusal(code, message)


def _image(backend: Any, params: Params, region: str) -> str:
    id = params.get("ImageId", "")
    if not id:
        raise Refusal("MissingParameter", "The request must contain the parameter ImageId")
    if id.startswith("resolve:ssm:"):
        found = images.public_parameters(region).get(id.removeprefix("resolve:ssm:"))
        if found is None:
            raise _bad(f"Invalid value '{id}' for ImageId: parameter not found.")
        return found
    if id not in backend.amis:
        raise Refusal("InvalidAMIID.NotFound", f"The image id '[{id}]' does not exist")
    return id


def _type(params: Params) -> Any:
    name = params.get("InstanceType", "")
    if name not in INSTANCE_TYPES:
        raise _bad(f"Invalid value '{name}' for InstanceType.")
    return INSTANCE_TYPES[name]


def _subnet(backend: Any, params: Params) -> Any:
    id = params.get("SubnetId") or params.get("NetworkInterface.1.SubnetId")
    if id:
        return backend.get_subnet(id)
    eni = params.get("NetworkInterface.1.NetworkInterfaceId")
    if eni:
        return backend.get_network_interface(eni).subnet
    defaults = [s for s in ec2_models.subnets(backend) if s.default_for_az]
    if not defaults:
        raise Refusal("VPCIdNotSpecified", "No default VPC for this user.")
    wanted = params.get("Placement.AvailabilityZone")
    return next((s for s in defaults if s.availability_zone == wanted), defaults[0])


def _check_architecture(backend: Any, image_id: str, kind: Any) -> None:
    architecture = backend.amis[image_id].architecture
    supported = kind["ProcessorInfo"]["SupportedArchitectures"]
    if architecture not in supported:
        raise _bad(
            f"The architecture '{','.join(supported)}' of the specified instance type does not "
            f"match the architecture '{architecture}' of the specified AMI. Specify an instance "
            "type and an AMI that have matching architectures, and try again. You can use "
            "'describe-instance-types' or 'describe-images' to discover the architecture of the "
            "instance type or AMI."
        )


def _check_zone(name: str, subnet: Any) -> None:
    zones = ec2_capacity.zones_offering(subnet.availability_zone[:-1], name)
    if subnet.availability_zone not in zones:
        raise Refusal(
            "Unsupported",
            f"Your requested instance type ({name}) is not supported in your requested "
            f"Availability Zone ({subnet.availability_zone}). Please retry your request by not "
            f"specifying an Availability Zone or choosing {', '.join(zones)}.",
        )


def _check_user_data(params: Params) -> None:
    text = params.get("UserData", "")
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Refusal(
            "InvalidUserData.Malformed", "Invalid BASE64 encoding of user data."
        ) from None
    if len(data) > MOST_USER_DATA:
        raise _bad(f"User data is limited to {MOST_USER_DATA} bytes")


def _check_key(backend: Any, params: Params) -> None:
    name = params.get("KeyName")
    if name and name not in backend.key_pairs:
        raise Refusal("InvalidKeyPair.NotFound", f"The key pair '{name}' does not exist")


def _check_profile(world: World, params: Params) -> None:
    name = params.get("IamInstanceProfile.Name")
    arn = params.get("IamInstanceProfile.Arn")
    if not (name or arn):
        return
    what = (
        f"({name}) for parameter iamInstanceProfile.name"
        if name
        else (f"({arn}) for parameter iamInstanceProfile.arn")
    )
    profile = next(
        (
            p
            for p in store.iam().instance_profiles.values()
            if p.name == name or (arn and p.arn == arn)
        ),
        None,
    )
    kind = "name" if name else "ARN"
    if profile is None or _is_too_young(world, profile.name):
        raise _bad(f"Value {what} is invalid. Invalid IAM Instance Profile {kind}")
    if not profile.roles:
        raise _bad(f'IAM Instance Profile "{profile.arn}" has no associated IAM Roles')


def _is_too_young(world: World, name: str) -> bool:
    """IAM is only eventually consistent with EC2: a new profile is unknown for some seconds."""
    born = world.born.get(f"profile/{name}", 0.0)
    return world.clock() - born < world.settings.profile_delay


def _check_groups(backend: Any, params: Params, subnet: Any) -> None:
    groups = members(params, "SecurityGroupId")
    interfaces = structures(params, "NetworkInterface")
    if interfaces and (groups or "SubnetId" in params):
        raise _bad(
            "Network interfaces and an instance-level security groups or subnet ID may not be "
            "specified on the same request",
            "InvalidParameterCombination",
        )
    for interface in interfaces:
        groups += members(interface, "SecurityGroupId")
    for id in groups:
        group = backend.get_security_group_from_id(id)
        if group is None:
            raise Refusal("InvalidGroup.NotFound", f"The security group '{id}' does not exist")
        if group.vpc_id != subnet.vpc_id:
            raise Refusal(
                "InvalidParameter",
                f"Security group {id} and subnet {subnet.id} belong to different networks.",
            )


def _check_volumes(launch: dict[str, str], region: str) -> None:
    """Check sizes, and fill in the one that comes from the image, which moto wants told."""
    smallest = images.size(region, launch["ImageId"])
    image = store.ec2(region).amis[launch["ImageId"]]
    root, snapshot = image.root_device_name, image.ebs_snapshot.id
    for number, mapping in enumerate(structures(launch, "BlockDeviceMapping"), 1):
        if not any(name.startswith("Ebs.") for name in mapping):
            continue
        size = int(mapping.get("Ebs.VolumeSize", smallest))
        if mapping.get("DeviceName") == root and size < smallest:
            raise _bad(
                f"Volume of size {size}GB is smaller than snapshot '{snapshot}', "
                f"expect size >= {smallest}GB",
                "InvalidBlockDeviceMapping",
            )
        if not 1 <= size <= 65536:
            raise _bad(f"Invalid volume size {size}", "InvalidBlockDeviceMapping")
        launch[f"BlockDeviceMapping.{number}.Ebs.VolumeSize"] = str(size)
        launch.setdefault(f"BlockDeviceMapping.{number}.Ebs.VolumeType", "gp2")


# --- how many ---------------------------------------------------------------------------------


def _count(world: World, backend: Any, params: Params, subnet: Any, kind: Any) -> int:
    """Return how many start: as many of MaxCount as fit, or a refusal if MinCount does not."""
    least, most = int(params["MinCount"]), int(params["MaxCount"])
    if least > most or least < 1:
        raise _bad(
            f"Value ({least}) for parameter minCount is invalid. minCount must not exceed maxCount",
            "InvalidParameterCombination",
        )
    name = params["InstanceType"]
    rooms = (
        (_vcpu_room(world, backend, kind), _too_many_vcpus(world)),
        (
            ec2_capacity.room(world, backend, name, subnet.availability_zone),
            ec2_capacity.refusal(world, name, subnet),
        ),
        (ec2_models.private_room(subnet), _no_addresses(subnet)),
    )
    for room, refusal in rooms:
        if room < least:
            raise refusal
    return min(most, *(room for room, _ in rooms))


def _vcpu_room(world: World, backend: Any, kind: Any) -> int:
    used: int = sum(
        INSTANCE_TYPES[i.instance_type]["VCpuInfo"]["DefaultVCpus"]
        for i in backend.all_instances()
        if i._state.name in ("pending", "running")
    )
    each: int = kind["VCpuInfo"]["DefaultVCpus"]
    room: int = (world.settings.vcpu_limit - used) // each
    return max(0, room)


def _too_many_vcpus(world: World) -> Refusal:
    return Refusal(
        "VcpuLimitExceeded",
        "You have requested more vCPU capacity than your current vCPU limit of "
        f"{world.settings.vcpu_limit} allows for the instance bucket that the specified instance "
        "type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request "
        "an adjustment to this limit.",
    )


def _no_addresses(subnet: Any) -> Refusal:
    return Refusal(
        "InsufficientFreeAddressesInSubnet",
        f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested "
        "number of instances.",
    )

"""What the metadata service answers about an instance, as a tree of names."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tests.region.aws.keys import Credentials
from tests.region.aws.view import Instance

VERSIONS: Final = ("1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the instance's own description does not say."""

    account: str
    region: str
    vpc_cidr: str
    subnet_cidr: str
    launched: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleKeys:
    keys: Credentials
    issued: datetime


# A leaf is text or bytes, or a call that makes it; a branch is a mapping.
Leaf = str | bytes | Callable[[], str]
Tree = Mapping[str, "Tree | Leaf"]


def find(tree: Tree, path: str) -> bytes | None:
    """Answer what is at *path*: a leaf's content or a branch's names; None if nothing is."""
    here: Tree | Leaf = tree
    for name in [part for part in path.split("/") if part]:
        if not isinstance(here, Mapping) or name not in here:
            return None
        here = here[name]
    if isinstance(here, Mapping):
        return "\n".join(_listed(name, below) for name, below in here.items()).encode()
    content = here() if callable(here) else here
    return content if isinstance(content, bytes) else content.encode()


def _listed(name: str, below: "Tree | Leaf") -> str:
    if isinstance(below, Key):
        return below.label
    return f"{name}/" if isinstance(below, Mapping) else name


def tree(instance: Instance, facts: Facts, credentials: Callable[[], RoleKeys]) -> Tree:
    """Answer everything for *instance*; *credentials* is called only when somebody asks."""
    content: dict[str, Tree | Leaf] = {
        "dynamic": {"instance-identity": {"document": _document(instance, facts)}},
        "meta-data": _meta_data(instance, facts, credentials),
    }
    if instance.user_data:
        content["user-data"] = instance.user_data
    return dict.fromkeys(VERSIONS, content)


def _document(instance: Instance, facts: Facts) -> str:
    values = {
        "accountId": facts.account,
        "architecture": instance.architecture,
        "availabilityZone": instance.zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "kernelId": None,
        "marketplaceProductCodes": None,
        "pendingTime": _time(facts.launched),
        "privateIp": instance.private_ip,
        "ramdiskId": None,
        "region": facts.region,
        "version": "2017-09-30",
    }
    return json.dumps(values, indent=2)


def _meta_data(instance: Instance, facts: Facts, credentials: Callable[[], RoleKeys]) -> Tree:
    return {
        "ami-id": instance.image_id,
        "ami-launch-index": str(instance.launch_index),
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": {"ami": "/dev/xvda", "root": "/dev/xvda"},
        "hostname": instance.private_dns_name,
        **({"iam": _iam(instance, facts, credentials)} if instance.role_name else {}),
        "instance-action": "none",
        "instance-id": instance.id,
        "instance-life-cycle": "on-demand",
        "instance-type": instance.instance_type,
        "local-hostname": instance.private_dns_name,
        "local-ipv4": instance.private_ip,
        "mac": instance.mac,
        "network": {"interfaces": {"macs": {instance.mac: _interface(instance, facts)}}},
        "placement": {"availability-zone": instance.zone, "region": facts.region},
        "profile": "default-hvm",
        **_public(instance, facts),
        **_key(instance),
        "reservation-id": instance.reservation_id,
        "services": {"domain": "amazonaws.com", "partition": "aws"},
        **({"tags": {"instance": dict(instance.tags)}} if instance.metadata_tags else {}),
    }


def _public(instance: Instance, facts: Facts) -> Tree:
    if not instance.public_ip:
        return {}
    name = f"ec2-{instance.public_ip.replace('.', '-')}.{facts.region}.compute.amazonaws.com"
    return {"public-hostname": name, "public-ipv4": instance.public_ip}


def _key(instance: Instance) -> Tree:
    if not instance.public_key:
        return {}
    return {"public-keys": {"0": Key(instance.key_name or "key", instance.public_key)}}


class Key(dict[str, "Tree | Leaf"]):
    """The one branch that is listed (`0=name`) under another name than it has (`0`)."""

    def __init__(self, name: str, key: str) -> None:
        super().__init__({"openssh-key": f"{key.strip()}\n"})
        self.label = f"0={name}"


def _iam(instance: Instance, facts: Facts, credentials: Callable[[], RoleKeys]) -> Tree:
    info = {
        "Code": "Success",
        "LastUpdated": _time(facts.launched),
        "InstanceProfileArn": instance.profile_arn,
        "InstanceProfileId": f"AIPA{instance.id[-16:].upper():0>16}",
    }
    return {
        "info": json.dumps(info, indent=2),
        "security-credentials": {str(instance.role_name): lambda: _role_keys(credentials())},
    }


def _role_keys(role: RoleKeys) -> str:
    values = {
        "Code": "Success",
        "LastUpdated": _time(role.issued),
        "Type": "AWS-HMAC",
        "AccessKeyId": role.keys.access_key_id,
        "SecretAccessKey": role.keys.secret_access_key,
        "Token": role.keys.token,
        "Expiration": _time(role.keys.expiration) if role.keys.expiration else None,
    }
    return json.dumps(values, indent=2)


def _interface(instance: Instance, facts: Facts) -> Tree:
    public = _public(instance, facts)
    names = {f"{name}s" if name == "public-ipv4" else name: value for name, value in public.items()}
    return {
        "device-number": "0",
        "interface-id": f"eni-{instance.id.removeprefix('i-')}",
        "local-hostname": instance.private_dns_name,
        "local-ipv4s": instance.private_ip,
        "mac": instance.mac,
        "owner-id": facts.account,
        **names,
        "security-group-ids": "\n".join(instance.group_ids),
        "subnet-id": instance.subnet_id,
        "subnet-ipv4-cidr-block": facts.subnet_cidr,
        "vpc-id": instance.vpc_id,
        "vpc-ipv4-cidr-block": facts.vpc_cidr,
        "vpc-ipv4-cidr-blocks": facts.vpc_cidr,
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

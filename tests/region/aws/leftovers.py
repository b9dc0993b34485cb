"""The audit: what is in the account that a fresh account does not have, asked of the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.region.aws import ec2_models, iam, s3, store
from tests.region.aws.world import World


def find(world: World) -> list[str]:
    found: list[str] = []
    for backend in store.all_ec2():
        found += _ec2(backend)
    found += _iam()
    found += _efs_and_ecr()
    found += [f"s3 bucket {name}" for name in s3.buckets(world)]
    found += _parameters()
    return sorted(found)


def _ec2(backend: Any) -> Iterator[str]:
    yield from _machines(backend)
    yield from _network(backend)
    yield from (f"key pair {name}" for name in backend.key_pairs)
    yield from (f"launch template {lt.id}" for lt in backend.launch_templates.values())
    yield from (f"image {ami.id}" for ami in backend.amis.values() if _is_own(backend, ami))
    yield from (f"snapshot {s.id}" for s in backend.snapshots.values() if _is_own_snapshot(s))


def _is_own(backend: Any, ami: Any) -> bool:
    return bool(ami.owner_id == backend.account_id)


def _is_own_snapshot(snapshot: Any) -> bool:
    return snapshot.from_ami is None


def _machines(backend: Any) -> Iterator[str]:
    for instance in backend.all_instances():
        if instance._state.name != "terminated":
            yield f"instance {instance.id} ({instance._state.name})"
    yield from (f"volume {id}" for id in backend.volumes)


def _network(backend: Any) -> Iterator[str]:
    default = {vpc.id for vpc in backend.vpcs.values() if vpc.is_default}
    yield from (f"vpc {id}" for id in backend.vpcs if id not in default)
    for subnet in ec2_models.subnets(backend):
        if not subnet.default_for_az:
            yield f"subnet {subnet.id}"
    for table in backend.route_tables.values():
        if not (table.vpc_id in default and table.main_association_id):
            yield f"route table {table.id}"
    for groups in backend.groups.values():
        for group in groups.values():
            if not (group.name == "default" and group.vpc_id in default):
                yield f"security group {group.id}"
    yield from (f"network interface {id}" for id in backend.enis)
    yield from (f"address {a.public_ip} ({a.allocation_id})" for a in backend.addresses)
    yield from (f"internet gateway {id}" for id in backend.internet_gateways)
    for nat in backend.nat_gateways.values():
        if nat.state != "deleted":
            yield f"nat gateway {nat.id} ({nat.state})"
    for endpoint in backend.vpc_end_points.values():
        if endpoint.state != "deleted":
            yield f"vpc endpoint {endpoint.id}"


def _iam() -> Iterator[str]:
    backend = store.iam()
    for role in backend.roles.values():
        if not role.path.startswith("/aws-service-role/"):
            yield f"role {role.name}"
    yield from (f"instance profile {p.name}" for p in backend.instance_profiles.values())
    own = (p for p in backend.managed_policies.values() if p.name not in iam.MANAGED)
    yield from (f"policy {policy.name}" for policy in own)


def _efs_and_ecr() -> Iterator[str]:
    yield from (f"file system {id}" for id in store.efs().file_systems_by_id)
    yield from (f"mount target {id}" for id in store.efs().mount_targets_by_id)
    yield from (f"ecr repository {name}" for name in store.ecr().repositories)


def _parameters() -> Iterator[str]:
    for name in store.backend("ssm")._parameters:
        if not name.startswith("/aws/"):
            yield f"ssm parameter {name}"

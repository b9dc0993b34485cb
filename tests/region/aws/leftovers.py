"""The audit: what is in the account that a fresh account does not have, asked of the store."""

from __future__ import annotations

from collections.abc import Iterator

from tests.region.aws import ec2_table, elb, iam, s3, store
from tests.region.aws.world import World


def find(world: World) -> list[str]:
    found: list[str] = []
    for backend in store.all_ec2():
        found += ec2_table.left(backend)
    found += _iam()
    found += _efs_and_ecr()
    found += elb.left()
    found += [f"s3 bucket {name}" for name in s3.buckets(world)]
    found += _parameters()
    return sorted(found)


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

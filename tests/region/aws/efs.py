"""EFS: file systems and mount targets whose states take time, and whose interfaces count.

A token that was used tells what it made: https://docs.aws.amazon.com/efs/latest/ug/API_CreateFileSystem.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from moto.efs.models import EFSBackend

from tests.region.aws import errors, store
from tests.region.aws.errors import Refusal
from tests.region.aws.policies import Access
from tests.region.aws.request import Answer, Request, document
from tests.region.aws.service import Service, ask_moto
from tests.region.aws.world import World, current

_V: Final = "/2015-02-01"
_ROUTES: Final = (
    ("POST", rf"{_V}/file-systems", "CreateFileSystem"),
    ("GET", rf"{_V}/file-systems", "DescribeFileSystems"),
    ("DELETE", rf"{_V}/file-systems/(?P<id>[^/]+)", "DeleteFileSystem"),
    ("PUT", rf"{_V}/file-systems/(?P<id>[^/]+)", "UpdateFileSystem"),
    ("PUT", rf"{_V}/file-systems/(?P<id>[^/]+)/policy", "PutFileSystemPolicy"),
    ("GET", rf"{_V}/file-systems/(?P<id>[^/]+)/policy", "DescribeFileSystemPolicy"),
    (
        "PUT",
        rf"{_V}/file-systems/(?P<id>[^/]+)/lifecycle-configuration",
        "PutLifecycleConfiguration",
    ),
    (
        "GET",
        rf"{_V}/file-systems/(?P<id>[^/]+)/lifecycle-configuration",
        "DescribeLifecycleConfiguration",
    ),
    ("PUT", rf"{_V}/file-systems/(?P<id>[^/]+)/backup-policy", "PutBackupPolicy"),
    ("GET", rf"{_V}/file-systems/(?P<id>[^/]+)/backup-policy", "DescribeBackupPolicy"),
    ("POST", rf"{_V}/mount-targets", "CreateMountTarget"),
    ("GET", rf"{_V}/mount-targets", "DescribeMountTargets"),
    ("DELETE", rf"{_V}/mount-targets/(?P<id>[^/]+)", "DeleteMountTarget"),
    (
        "GET",
        rf"{_V}/mount-targets/(?P<id>[^/]+)/security-groups",
        "DescribeMountTargetSecurityGroups",
    ),
    (
        "PUT",
        rf"{_V}/mount-targets/(?P<id>[^/]+)/security-groups",
        "ModifyMountTargetSecurityGroups",
    ),
    ("POST", rf"{_V}/access-points", "CreateAccessPoint"),
    ("GET", rf"{_V}/access-points", "DescribeAccessPoints"),
    ("DELETE", rf"{_V}/access-points/(?P<id>[^/]+)", "DeleteAccessPoint"),
    ("GET", rf"{_V}/resource-tags/(?P<id>[^/]+)", "ListTagsForResource"),
    ("POST", rf"{_V}/resource-tags/(?P<id>[^/]+)", "TagResource"),
    ("DELETE", rf"{_V}/resource-tags/(?P<id>[^/]+)", "UntagResource"),
)


def _read(request: Request) -> None:
    for method, pattern, action in _ROUTES:
        found = re.fullmatch(pattern, request.path.rstrip("/"))
        if found and method == request.method:
            request.action = action
            request.params = {**request.query, **document(request), **found.groupdict()}
            request.resource = found.groupdict().get("id") or request.params.get("FileSystemId")
            return
    raise errors.not_implemented(f"EFS {request.method} {request.path}")


def _needs(world: World, request: Request) -> Sequence[Access]:
    context: dict[str, Any] = {
        f"aws:requesttag/{tag['Key'].lower()}": tag["Value"]
        for tag in request.params.get("Tags", [])
    }
    with world.lock:
        id = _file_system(request)
        tags = store.efs(request.region).list_tags_for_resource(id) if id else []
    context |= {f"aws:resourcetag/{tag['Key'].lower()}": tag["Value"] for tag in tags}
    kind = (
        "access-point" if str(request.params.get("id", "")).startswith("fsap-") else "file-system"
    )
    resource = (
        f"arn:aws:elasticfilesystem:{request.region}:{world.settings.account}:{kind}/{id or '*'}"
    )
    action = f"elasticfilesystem:{request.action}"
    needs = [Access(action=action, resource=resource, context=context)]
    if request.action.startswith("Create") and request.params.get("Tags"):
        tagging = {**context, "elasticfilesystem:createaction": request.action}
        needs.append(
            Access(action="elasticfilesystem:TagResource", resource=resource, context=tagging)
        )
    return needs


def _file_system(request: Request) -> str | None:
    """Return the file system that the request is about: mount targets have no ARN of their own."""
    id = request.params.get("FileSystemId") or request.params.get("id")
    backend = store.efs(request.region)
    target = backend.mount_targets_by_id.get(id or request.params.get("MountTargetId"))
    if target is not None:
        return str(target.file_system_id)
    return id if id in backend.file_systems_by_id else None


def _act(world: World, request: Request) -> Answer:
    with world.lock:
        world.timers.run_due()
        rule = _RULES.get(request.action)
        if rule:
            rule(request)
        if request.action == "DeleteMountTarget":
            return _delete_mount_target(request)
        if request.action == "DeleteFileSystem":
            return _delete_file_system(request)
        answer = ask_moto(world, request)
        if request.action == "ModifyMountTargetSecurityGroups" and answer.status < 400:
            _modified_groups(request)
        return answer


def _create_mount_target(request: Request) -> None:
    backend = store.efs(request.region)
    system = backend.file_systems_by_id.get(request.params.get("FileSystemId"))
    if system is not None and system.life_cycle_state != "available":
        raise Refusal(
            "IncorrectFileSystemLifeCycleState",
            f"The file system state is not valid: {system.life_cycle_state}",
            409,
        )
    groups = request.params.get("SecurityGroups") or []
    ec2 = store.ec2(request.region)
    subnet = next(
        (
            s
            for zone in ec2.subnets.values()
            for s in zone.values()
            if s.id == request.params.get("SubnetId")
        ),
        None,
    )
    for id in groups:
        group = ec2.get_security_group_from_id(id)
        if group is None or (subnet is not None and group.vpc_id != subnet.vpc_id):
            raise Refusal("SecurityGroupNotFound", f"Security group {id} not found in VPC", 400)


def _create_file_system(request: Request) -> None:
    token = request.params.get("CreationToken")
    for system in store.efs(request.region).file_systems_by_id.values():
        if system.creation_token == token:
            id = system.file_system_id
            raise Refusal(
                "FileSystemAlreadyExists",
                f"File system '{id}' already exists with creation token '{token}'",
                409,
                {"FileSystemId": id},
            )


def _create_access_point(request: Request) -> None:
    token = request.params.get("ClientToken")
    backend = store.efs(request.region)
    for point in backend.access_points.values():
        if point.client_token == token:
            raise Refusal(
                "AccessPointAlreadyExists",
                f"Access point already exists with ClientToken {token}",
                409,
                {"AccessPointId": point.access_point_id},
            )


_RULES: Final = {
    "CreateFileSystem": _create_file_system,
    "CreateMountTarget": _create_mount_target,
    "CreateAccessPoint": _create_access_point,
}


def _delete_mount_target(request: Request) -> Answer:
    backend = store.efs(request.region)
    id = request.params["id"]
    target = backend.mount_targets_by_id.get(id)
    if target is None:
        raise Refusal("MountTargetNotFound", f"Mount target '{id}' does not exist.", 404)
    if target.life_cycle_state in ("available", "error"):
        target.life_cycle_state = "deleting"
        seconds = current().settings.mount_target_deleting
        current().timers.after(seconds, lambda: backend.delete_mount_target(id))
    return Answer(status=204)


def _delete_file_system(request: Request) -> Answer:
    backend = store.efs(request.region)
    id = request.params["id"]
    system = backend.file_systems_by_id.get(id)
    if system is None:
        raise Refusal("FileSystemNotFound", f"File system '{id}' does not exist.", 404)
    if system.number_of_mount_targets:
        raise Refusal("FileSystemInUse", f"The file system '{id}' has mount targets.", 409)
    if system.life_cycle_state != "deleting":
        system.life_cycle_state = "deleting"
        current().timers.after(
            current().settings.efs_deleting, lambda: _file_system_gone(backend, id)
        )
    return Answer(status=204)


def _file_system_gone(backend: Any, id: str) -> None:
    for point in list(backend.access_points.values()):
        if point.file_system_id == id:
            backend.access_points.pop(point.access_point_id, None)
    backend.delete_file_system(id)


def _modified_groups(request: Request) -> None:
    target = store.efs(request.region).mount_targets_by_id[request.params["id"]]
    ec2 = store.ec2(request.region)
    eni = ec2.enis[target.network_interface_id]
    eni._group_set = [ec2.get_security_group_from_id(id) for id in target.security_groups]


# --- states -----------------------------------------------------------------------------------

_ORIGINAL: dict[str, Any] = {}


def install() -> None:
    """Patch moto's EFS, once per process, so that what it creates takes its time."""
    if _ORIGINAL:
        return
    _ORIGINAL.update(
        file_system=EFSBackend.create_file_system, mount_target=EFSBackend.create_mount_target
    )
    for name, value in (
        ("create_file_system", _created_file_system),
        ("create_mount_target", _created_mount_target),
    ):
        setattr(EFSBackend, name, value)


def _available(thing: Any) -> None:
    if thing.life_cycle_state == "creating":
        thing.life_cycle_state = "available"


def _created_file_system(self: Any, *args: Any, **kwargs: Any) -> Any:
    system = _ORIGINAL["file_system"](self, *args, **kwargs)
    system.life_cycle_state = "creating"
    current().timers.after(current().settings.efs_creating, lambda: _available(system))
    return system


def _created_mount_target(self: Any, *args: Any, **kwargs: Any) -> Any:
    target = _ORIGINAL["mount_target"](self, *args, **kwargs)
    target.life_cycle_state = "creating"
    eni = self.ec2_backend.enis[target.network_interface_id]
    eni.status = "in-use"
    eni.requester_managed = True
    eni.description = f"EFS mount target for {target.file_system_id} ({target.mount_target_id})"
    current().timers.after(current().settings.mount_target_creating, lambda: _available(target))
    return target


SERVICE: Final = Service(read=_read, needs=_needs, act=_act)

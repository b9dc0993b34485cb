"""Reading moto's store into the view that the network and the machines work from."""

from __future__ import annotations

import base64
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from tests.region.aws import ec2_models, store, view
from tests.region.aws.world import World


def take(world: World) -> view.Snapshot:
    """Return the home region as it is; the untouched default VPC is left out."""
    backend = store.ec2()
    used = {instance.vpc_id for instance in backend.all_instances()}
    vpcs = {vpc.id: vpc for vpc in backend.vpcs.values() if not vpc.is_default or vpc.id in used}
    return view.Snapshot(
        generation=world.changes.generation,
        account=world.settings.account,
        region=world.settings.region,
        vpcs=tuple(_vpc(backend, vpc) for vpc in vpcs.values()),
        subnets=tuple(_subnet(backend, s) for s in ec2_models.subnets(backend) if s.vpc_id in vpcs),
        route_tables=tuple(
            _route_table(table) for table in backend.route_tables.values() if table.vpc_id in vpcs
        ),
        nat_gateways=tuple(_nat(nat) for nat in backend.nat_gateways.values()),
        security_groups=tuple(
            _group(group) for vpc_id in vpcs for group in backend.groups.get(vpc_id, {}).values()
        ),
        instances=tuple(_instance(backend, each) for each in _instances(backend)),
        mount_targets=tuple(
            _mount_target(target)
            for target in store.efs().mount_targets_by_id.values()
            if target.vpc_id in vpcs
        ),
        public_ips=_public_ips(backend),
        prefix_lists={
            each.id: ec2_models.S3_NETWORKS if each.prefix_list_name.endswith(".s3") else ()
            for each in backend.managed_prefix_lists.values()
        },
        volumes=tuple(_volume(one) for one in backend.volumes.values() if not _is_root(one)),
        volume_snapshots=tuple(
            view.VolumeSnapshot(id=one.id, volume_id=one.volume_id)
            for one in backend.snapshots.values()
            if one.from_ami is None
        ),
    )


def _instances(backend: Any) -> list[tuple[str, Any]]:
    return [
        (reservation.id, instance)
        for reservation in backend.reservations.values()
        for instance in reservation.instances
    ]


def _vpc(backend: Any, vpc: Any) -> view.Vpc:
    gateways = [
        igw.id for igw in backend.internet_gateways.values() if igw.vpc and igw.vpc.id == vpc.id
    ]
    return view.Vpc(id=vpc.id, cidr=vpc.cidr_block, igw_id=gateways[0] if gateways else None)


def _subnet(backend: Any, subnet: Any) -> view.Subnet:
    tables = [t for t in backend.route_tables.values() if t.vpc_id == subnet.vpc_id]
    own = [t.id for t in tables if subnet.id in _subnets_of(t)]
    main = [t.id for t in tables if _is_main(t)]
    return view.Subnet(
        id=subnet.id,
        vpc_id=subnet.vpc_id,
        cidr=subnet.cidr_block,
        zone=subnet.availability_zone,
        route_table_id=(own or main or [""])[0],
    )


def _subnets_of(table: Any) -> set[str]:
    return {a.get("SubnetId") or a.get("subnetId") for a in table.associations}


def _is_main(table: Any) -> bool:
    return bool(table.main_association_id)


def _route_table(table: Any) -> view.RouteTable:
    return view.RouteTable(
        id=table.id,
        vpc_id=table.vpc_id,
        main=_is_main(table),
        routes=tuple(
            _route(route) for route in table.routes if not route.destination_ipv6_cidr_block
        ),
    )


def _route(route: Any) -> view.Route:
    target = (
        route.gateway_id or route.nat_gateway_id or route.network_interface_id or route.instance_id
    )
    destination = route.destination_cidr_block or route.destination_prefix_list_id
    return view.Route(destination=str(destination), target=str(target))


def _nat(nat: Any) -> view.NatGateway:
    return view.NatGateway(
        id=nat.id,
        vpc_id=nat.vpc_id,
        subnet_id=nat.subnet_id,
        state=nat.state,
        public_ip=nat.address_set[0].get("publicIp"),
        private_ip=nat._eni.private_ip_address,
    )


def _group(group: Any) -> view.SecurityGroup:
    return view.SecurityGroup(
        id=group.id,
        vpc_id=group.vpc_id,
        name=group.name,
        ingress=tuple(_rule(rule) for rule in group.ingress_rules),
        egress=tuple(_rule(rule) for rule in group.egress_rules if not rule.cidr_ipv6),
    )


def _rule(rule: Any) -> view.Rule:
    source = rule.source_group.get("GroupId")
    return view.Rule(
        protocol=rule.ip_protocol,
        from_port=_port(rule.from_port),
        to_port=_port(rule.to_port),
        cidrs=(rule.cidr_ipv4,) if rule.cidr_ipv4 else (),
        group_ids=(source,) if source else (),
        prefix_list_ids=(rule.prefix_list_id,) if rule.prefix_list_id else (),
    )


def _port(value: Any) -> int | None:
    return None if value in (None, "", -1, "-1") else int(value)


def _instance(backend: Any, pair: tuple[str, Any]) -> view.Instance:
    reservation_id, instance = pair
    kind: Any = INSTANCE_TYPES[instance.instance_type]
    primary = instance.nics.get(0)
    key = backend.key_pairs.get(instance.key_name)
    return view.Instance(
        id=instance.id,
        state=instance._state.name,
        vpc_id=instance.vpc_id or "",
        subnet_id=instance.subnet_id or "",
        zone=instance.placement.zone,
        private_ip=primary.private_ip_address if primary else "",
        mac=primary.mac_address if primary else "",
        public_ip=primary.public_ip if primary else None,
        private_dns_name=instance.private_dns_name,
        group_ids=tuple(group.id for group in primary.group_set) if primary else (),
        image_id=instance.image_id,
        instance_type=instance.instance_type,
        vcpus=kind["VCpuInfo"]["DefaultVCpus"],
        memory_mib=kind["MemoryInfo"]["SizeInMiB"],
        user_data=_user_data(instance),
        role_name=role_of(instance),
        profile_arn=(instance.iam_instance_profile or {}).get("Arn"),
        http_tokens=instance.metadata_options.http_tokens,
        hop_limit=int(instance.metadata_options.http_put_response_hop_limit),
        tags={tag["key"]: tag["value"] for tag in instance.get_tags()},
        launch_index=instance.ami_launch_index,
        reservation_id=reservation_id,
        key_name=instance.key_name,
        public_key=key.public_key if key else None,
        metadata_tags=instance.metadata_options.instance_metadata_tags == "enabled",
        source_dest_check=bool(instance.source_dest_check),
        architecture=instance.architecture,
    )


def _user_data(instance: Any) -> bytes:
    return base64.b64decode(str(instance.user_data)) if instance.user_data else b""


def role_of(instance: Any) -> str | None:
    """Return the name of the role behind the instance's profile, as it is now."""
    arn = (instance.iam_instance_profile or {}).get("Arn")
    for profile in store.iam().instance_profiles.values():
        if profile.arn == arn:
            return profile.roles[0].name if profile.roles else None
    return None


def _is_root(volume: Any) -> bool:
    at = volume.attachment
    return at is not None and at.device == at.instance.root_device_name


def _volume(volume: Any) -> view.Volume:
    at = volume.attachment
    return view.Volume(
        id=volume.id,
        size_gib=int(volume.size),
        snapshot_id=volume.snapshot_id,
        instance_id=at.instance.id if at and at.status != "attaching" else None,
    )


def _mount_target(target: Any) -> view.MountTarget:
    return view.MountTarget(
        id=target.mount_target_id,
        file_system_id=target.file_system_id,
        vpc_id=target.vpc_id,
        subnet_id=target.subnet_id,
        ip=target.ip_address,
        group_ids=tuple(ec2_models.mount_target_groups(target)),
        state=target.life_cycle_state,
    )


def _public_ips(backend: Any) -> dict[str, str]:
    found = {
        eni.public_ip: eni.private_ip_address for eni in backend.enis.values() if eni.public_ip
    }
    for address in backend.addresses:
        if address.eni:
            found[address.public_ip] = address.eni.private_ip_address
    return found

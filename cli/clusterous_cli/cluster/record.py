"""The cluster as commands see it: found by its tags, its S3 record and its nodes' reports."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import config, local
from clusterous_cli.cluster.addresses import node_name
from clusterous_cli.cluster.file import registry
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import NODES, RECORD, SECRETS_KEY
from clusterous_cli.cluster.records import formats, report
from clusterous_cli.cluster.records.away import Away, Seen, away
from clusterous_cli.cluster.tags import ENDED, LIVE, tags_of
from clusterous_cli.system import private

SSH_USER: Final = "clusterous"
# What S3 says where a part is asked for that begins behind the end, as of an empty object any does.
NO_PART: Final = "InvalidRange"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine: what EC2 says of it, and what it reported itself."""

    name: str
    instance_id: str
    role: str
    pool: str
    type: str
    state: str
    launched: str
    private_ip: str = ""
    public_ip: str = ""
    node_name: str = ""
    phase: str = ""
    error: str = ""
    host_key: str = ""
    report: Mapping[str, Any] | None = None
    reason: str = ""  # why it is off or gone, as EC2 says
    changed: str = ""  # EC2's words on its last change of state, with the time


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """An open cluster: all that is needed to reach it."""

    name: str
    uid: str
    account: str
    region: str
    bucket: str
    registry: str
    images: str  # the folder of its images there
    gateway_ip: str
    controller_ip: str
    nodes: tuple[Node, ...]
    ssh_user: str
    ssh_key: Path
    known_hosts: Path
    home: Path
    kubeconfig: Path
    admin_certificate: str
    admin_key: str
    server_ca: str
    record: Mapping[str, Any]
    registry_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    away: Away | None = None  # the controller, where it does not do its work

    @property
    def place(self) -> str:
        """Return what the names of its images begin with."""
        return f"{self.registry}/{self.images}"


def cluster_names(cloud: Aws) -> list[str]:
    """List the clusters of the region, by the tags of their networks."""
    vpcs = cloud.pages(
        "ec2", "describe_vpcs", "Vpcs", Filters=[{"Name": "tag-key", "Values": [names.TAG_CLUSTER]}]
    )
    found = {tags_of(vpc).get(names.TAG_CLUSTER, "") for vpc in vpcs}
    return sorted(found - {""})


def choose(name: str | None, cloud: Aws) -> str:
    """Return the *name* asked for, or that of the only cluster there is."""
    if name:
        return name
    found = cluster_names(cloud)
    if len(found) == 1:
        return found[0]
    if not found:
        raise nowhere(cloud)
    raise UserError(
        f"There are {len(found)} clusters in {cloud.region}: {', '.join(found)}."
        " Say which with --cluster NAME."
    )


def nowhere(cloud: Aws) -> errors.NoCluster:
    """Say that no cluster was found, and which ones this machine knows in other places."""
    place = f"There is no cluster in {cloud.region} (account {cloud.account})."
    others = local.known()
    if not others:
        return errors.NoCluster(f"{place} `clusterous create FILE` makes one.")
    return errors.NoCluster(f"{place} {local.spelled(others)} Say which with --cluster NAME.")


def absent(who: Identity) -> errors.NoCluster:
    """Say that the cluster was not found, and where this machine knows one of its name."""
    place = f"There is no cluster {who.name!r} in {who.region} (account {who.account})"
    others = local.elsewhere(who)
    if others:
        return errors.NoCluster(
            f"{place}. {local.spelled(others)}\n  Say --region, or take that account's credentials"
            " (--profile)."
        )
    known = any(one.who == who for one in local.known(who.name))
    more = f" (`clusterous destroy {who.name}` looks again, and forgets it here.)" if known else ""
    return errors.NoCluster(
        f"{place}, or its creation was cut short. `clusterous create FILE` makes or finishes it."
        f"{more}"
    )


def open_cluster(name: str | None, cloud: Aws) -> Cluster:
    """Find the cluster, refresh the local cache, and return all that is needed to reach it."""
    chosen = choose(name, cloud)
    who = Identity(name=chosen, account=cloud.account, region=cloud.region)
    with ThreadPoolExecutor(max_workers=4) as pool:
        record = pool.submit(read, cloud, who)
        secret = pool.submit(read_json, cloud, who, SECRETS_KEY)
        reports = pool.submit(Reports(cloud, who).read)
        found = pool.submit(machines, cloud, who)
        nodes = merge(found.result(), reports.result())
        missing = _away(cloud, who, nodes, reports.result()) if record.result() else None
        return replace(_opened(who, record.result(), secret.result(), nodes), away=missing)


def _away(
    cloud: Aws, who: Identity, nodes: Iterable[Node], reports: Mapping[str, Mapping[str, Any]]
) -> Away | None:
    role = names.ROLE_CONTROLLER
    living = [_seen(node) for node in nodes if node.role == role]
    gone = [] if living else [_seen(node) for node in ended(cloud, who) if node.role == role]
    heard = {
        id: said["time"] for id, said in reports.items()
        if said.get("role") == role and said.get("time")
    }  # fmt: skip
    return away(living, gone, heard, datetime.now(UTC))


def _seen(node: Node) -> Seen:
    return Seen(id=node.instance_id, state=node.state, why=node.reason, changed=node.changed)


def _opened(
    who: Identity,
    record: Mapping[str, Any] | None,
    secret: Mapping[str, Any] | None,
    nodes: tuple[Node, ...],
) -> Cluster:
    if record is None or secret is None:
        raise absent(who)
    where = local.settle(who)
    on_cluster = record["config"]["registry"]["type"] == registry.RegistryType.S3
    private.write(where / "id_ed25519", secret["ssh_private"])
    private.write(where / "known_hosts", known_hosts(nodes))
    private.write(where / RECORD, json.dumps(record, indent=1))
    return Cluster(
        name=who.name,
        uid=who.uid,
        account=who.account,
        region=who.region,
        bucket=who.bucket,
        registry=registry.HOST if on_cluster else who.registry,
        images="" if on_cluster else who.repositories,
        gateway_ip=_first(nodes, names.ROLE_GATEWAY, "public_ip"),
        controller_ip=_first(nodes, names.ROLE_CONTROLLER, "private_ip"),
        nodes=nodes,
        ssh_user=SSH_USER,
        ssh_key=where / "id_ed25519",
        known_hosts=where / "known_hosts",
        home=where,
        kubeconfig=where / "kubeconfig",
        admin_certificate=secret["admin_certificate"],
        admin_key=secret["admin_key"],
        server_ca=secret["tls"]["server-ca.crt"],
        record=record,
        registry_keys=secret.get("registry", {}),
    )


def _first(nodes: Iterable[Node], role: str, field: str) -> str:
    found = (getattr(node, field) for node in nodes if node.role == role)
    return str(next(found, ""))


def known_hosts(nodes: Iterable[Node]) -> str:
    """Spell the host keys that the nodes reported, for their addresses and names."""
    lines = [
        f"{host} {node.host_key}\n"
        for node in nodes
        if node.host_key
        for host in (node.public_ip, node.private_ip, node.node_name)
        if host
    ]
    return "".join(lines)


def read(cloud: Aws, who: Identity) -> dict[str, Any] | None:
    """Read the record, in today's form; None when there is none."""
    kept = read_json(cloud, who, RECORD)
    return None if kept is None else formats.current(kept)


def read_json(cloud: Aws, who: Identity, key: str) -> dict[str, Any] | None:
    """Read one object of the record; None when it is not there."""
    raw = read_object(cloud, who, key)
    return None if raw is None else formats.parsed(raw, key)


def read_object(cloud: Aws, who: Identity, key: str, most: int | None = None) -> bytes | None:
    """Read an object of the cluster's bucket, or its first *most* bytes; None if absent.

    Of a larger one than a call reads (`client.MOST_READ`) it is the beginning.
    """
    part = {} if most is None else {"Range": f"bytes=0-{most - 1}"}
    try:
        answer = cloud.call(
            "s3", "get_object", **part,
            Bucket=who.bucket, Key=key, ExpectedBucketOwner=who.account
        )  # fmt: skip
    except errors.NotFound:
        return None
    except errors.AwsFailed as error:
        if error.code != NO_PART:
            raise
        return b""
    content: bytes = answer["Body"].read(most)
    return content


def listed_objects(cloud: Aws, who: Identity, prefix: str) -> list[Mapping[str, Any]]:
    """List the objects of the cluster's bucket under a *prefix*; none where there is no bucket."""
    try:
        return cloud.pages(
            "s3", "list_objects_v2", "Contents", Bucket=who.bucket, Prefix=prefix,
            ExpectedBucketOwner=who.account,
        )  # fmt: skip
    except errors.NotFound:
        return []


def read_nodes(cloud: Aws, who: Identity) -> tuple[Node, ...]:
    """List the cluster's machines with their reports; two calls, however many there are."""
    return merge(machines(cloud, who), Reports(cloud, who).read())


def machines(cloud: Aws, who: Identity) -> list[Mapping[str, Any]]:
    """Ask EC2 for the cluster's machines that live."""
    tagged = _tagged(cloud, who, LIVE)
    # Others may give our tags to machines of theirs, but start none in our network with our role.
    networks = {one.get("VpcId") for one in tagged if _has_our_role(one, who)}
    return [machine for machine in tagged if machine.get("VpcId") in networks]


def ended(cloud: Aws, who: Identity) -> tuple[Node, ...]:
    """Ask EC2 for the machines with our tags that are gone, of which it tells for about an hour."""
    return merge(_tagged(cloud, who, ENDED), {})


def _tagged(cloud: Aws, who: Identity, states: Sequence[str]) -> list[Mapping[str, Any]]:
    reservations = cloud.pages(
        "ec2",
        "describe_instances",
        "Reservations",
        Filters=[
            {"Name": f"tag:{names.TAG_UID}", "Values": [who.uid]},
            {"Name": "instance-state-name", "Values": list(states)},
        ],
    )
    found = [machine for group in reservations for machine in group["Instances"]]
    return [machine for machine in found if tags_of(machine).get(names.TAG_UID) == who.uid]


def _has_our_role(machine: Mapping[str, Any], who: Identity) -> bool:
    profile = str((machine.get("IamInstanceProfile") or {}).get("Arn", ""))
    return profile.rpartition("/")[2].startswith(who.role(""))


class Reports:
    """What the nodes wrote to S3; only what changed since the last look is fetched."""

    def __init__(self, cloud: Aws, who: Identity) -> None:
        self._cloud = cloud
        self._who = who
        self._known: dict[str, tuple[str, Mapping[str, Any]]] = {}

    def read(self) -> dict[str, Mapping[str, Any]]:
        """Return the reports by instance id."""
        every = listed_objects(self._cloud, self._who, NODES)
        # Where each machine may write, and nowhere else: that is what the policy of the role says.
        place = re.compile(rf"{re.escape(self._who.reports)}/(i-[0-9a-f]+)\.json")
        listed = {found[1]: one for one in every if (found := place.fullmatch(one["Key"]))}
        fresh = [
            (id, one) for id, one in listed.items() if self._known.get(id, ("",))[0] != one["ETag"]
        ]
        with ThreadPoolExecutor(max_workers=8) as pool:
            fetched = pool.map(self._fetch, (one for _, one in fresh))
            for (id, one), said in zip(fresh, fetched, strict=True):
                self._known[id] = (one["ETag"], said)
        return {id: said for id, (_, said) in self._known.items() if id in listed}

    def _fetch(self, listed: Mapping[str, Any]) -> Mapping[str, Any]:
        if int(listed.get("Size", 0)) > report.LARGEST_BYTES:
            return report.UNREADABLE
        raw = read_object(self._cloud, self._who, listed["Key"], report.LARGEST_BYTES + 1)
        return {} if raw is None else report.read(raw)


def merge(
    found: Iterable[Mapping[str, Any]], reports: Mapping[str, Mapping[str, Any]]
) -> tuple[Node, ...]:
    """Join EC2's view and the nodes' own: gateway, controller, and the pools of workers."""
    order = (names.ROLE_GATEWAY, names.ROLE_CONTROLLER, names.ROLE_WORKER)
    ranked = sorted(
        found,
        key=lambda one: (
            order.index(_role(one)),
            _pool(one) != names.POOL_MASTER,
            _pool(one),
            str(one.get("LaunchTime", "")),
            int(one.get("AmiLaunchIndex", 0)),
            one["InstanceId"],
        ),
    )
    counts: dict[str, int] = {}
    nodes = []
    for one in ranked:
        role, pool = _role(one), _pool(one)
        counts[pool] = counts.get(pool, 0) + 1
        is_one = role != names.ROLE_WORKER or (pool == names.POOL_MASTER and counts[pool] == 1)
        name = pool if is_one else f"{pool}-{counts[pool]}"
        nodes.append(_node(name, role, one, reports.get(one["InstanceId"], {})))
    return tuple(nodes)


def _role(one: Mapping[str, Any]) -> str:
    role = tags_of(one).get(names.TAG_ROLE)
    return role if role in (names.ROLE_GATEWAY, names.ROLE_CONTROLLER) else names.ROLE_WORKER


def _pool(one: Mapping[str, Any]) -> str:
    """The name of its pool, by a tag; what no pool is called, somebody else wrote there.

    It becomes part of names: in tables, and in ssh's settings, where a line more is a command more.
    """
    said = tags_of(one).get(names.TAG_POOL, "")
    return said if config.NAME.fullmatch(said) else _role(one)


def _node(name: str, role: str, one: Mapping[str, Any], said: Mapping[str, Any]) -> Node:
    launched = one.get("LaunchTime", "")
    said = {} if _is_of_before(said, launched) else said
    return Node(
        name=name,
        instance_id=one["InstanceId"],
        role=role,
        pool=_pool(one),
        type=one.get("InstanceType", ""),
        state=one["State"]["Name"],
        changed=str(one.get("StateTransitionReason", "")),
        reason=str((one.get("StateReason") or {}).get("Message", "")),
        launched=launched.isoformat() if hasattr(launched, "isoformat") else str(launched),
        private_ip=one.get("PrivateIpAddress", ""),
        public_ip=one.get("PublicIpAddress", ""),
        node_name=node_name(one.get("PrivateDnsName", ""), one["InstanceId"]),
        phase=str(said.get("phase", "")),
        error=str(said.get("error", "")),
        host_key=str(said.get("host_key", "")),
        report=said or None,
    )


def _is_of_before(said: Mapping[str, Any], launched: Any) -> bool:
    """Whether a machine said it before it was started (again), and has said nothing since."""
    if not said.get("time") or not isinstance(launched, datetime):
        return False
    return datetime.fromisoformat(said["time"]) < launched

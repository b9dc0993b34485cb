"""The cluster file: YAML → a frozen ClusterConfig, with every mistake told at once."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import yaml

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.cluster.file import centrallogging
from clusterous_cli.cluster.file.centrallogging import CentralLogging, Store
from clusterous_cli.cluster.file.registry import BUCKET, Registry, RegistryType
from clusterous_cli.system import assets, yamltree

FILE: Final = "clusterous.yaml"
IMAGES: Final = ("amazon-linux-2023", "ubuntu-24.04", "ubuntu-22.04", "debian-12")
DEFAULT_K3S: Final = "v1.35.4+k3s1"
# What k3s gives to pods and services, and what leads to no other machine, although it counts as
# private: the machines' network must leave it alone.
TAKEN: Final = {
    "10.42.0.0/16": "the pods",
    "10.43.0.0/16": "the services",
    "169.254.0.0/16": "AWS itself",
    "127.0.0.0/8": "machines for themselves",
    "0.0.0.0/8": "nobody can",
    "240.0.0.0/4": "nobody can",
}
MOST_WORKERS: Final = 250  # pods get a /24 per node out of a /16
NAME: Final = re.compile(r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?")
TYPE: Final = re.compile(
    r"[a-z][a-z0-9-]*\.(nano|micro|small|medium|large|[0-9]*xlarge|metal(-[0-9]+xl)?)"
)
ARM: Final = re.compile(r"(a1|[a-z]+[0-9]+g[a-z]*)\.")
# Of Kubernetes; a key may have a domain before it. What lies in Kubernetes' own domains the kubelet
# refuses, or others take for its word.
LABEL_NAME: Final = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
LABEL_DOMAIN: Final = (
    r"(?=[a-z0-9.-]{1,253}/)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
)
LABEL_KEY: Final = re.compile(rf"({LABEL_DOMAIN}/)?{LABEL_NAME}")
LABEL_VALUE: Final = re.compile(rf"({LABEL_NAME})?")
TAINT: Final = re.compile(
    rf"(?P<key>{LABEL_KEY.pattern})(=({LABEL_NAME})?)?"
    r":(?P<effect>NoSchedule|PreferNoSchedule|NoExecute)"
)
OF_OTHERS: Final = re.compile(r"([a-z0-9.-]+\.)?(kubernetes\.io|k8s\.io|clusterous\.io)/.*")
REGION: Final = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}")
ZONE: Final = re.compile(rf"[a-z]|{REGION.pattern}[a-z]")
K3S: Final = re.compile(r"v1\.[0-9]+\.[0-9]+\+k3s[0-9]+")
AMI: Final = re.compile(r"ami-[0-9a-f]{8,17}")
PATH: Final = re.compile(r".*\S.*")
TAG_NAME: Final = re.compile(r"[\w .:/=+@-]{1,128}")
TAG_VALUE: Final = re.compile(r"[\w .:/=+@-]{0,256}")

# The form of the file: a change of what a key means raises it. One that says none has the first.
VERSION: Final = 1
DISK: Final = (8, 16384)  # GiB
WIDEST: Final = 8  # bits of a network that may reach the gateway: none holds more of the world
SIZES: Final = (16, 24)  # bits of the cluster's own network, from and to

# The keys of a pool of workers, and those that hold keys of their own.
POOL: Final = ("type", "count", "disk", "labels", "taints")
SECTIONS: Final = {
    "network": ("cidr", "zone"),
    "gateway": ("type", "disk", "allow"),
    "controller": ("type", "disk"),
    "master": ("type", "disk"),
    "workers": POOL,
    "volume": ("type", "size", "iops", "throughput", "id"),
    "registry": ("type", "bucket"),
    "logging": ("level", "store", "days", "size", "url"),
}
KEYS: Final = (
    *("version", "name", "region", "image", "k3s", *SECTIONS, "pools", "tags"),
    "environment_file",
)
# What the predecessor's files had, and what there is in its place.
_NO_KEY: Final = """each cluster has SSH keys of its own, which create makes and keeps in the
cluster's bucket, so that every colleague with access to that has them, too. An EC2 key pair would
be one more way in, which no colleague has and destroy does not end. Leave it out""".replace(
    "\n", " "
)
FORMER: Final = {
    "key_pair": _NO_KEY,
    "key_file": _NO_KEY,
    "cluster_name": "it is `name` now",
    "controller_instance_type": "it is `controller: {type: …}` now",
    "shared_volume_size": "it is `volume: {size: …}` now",
    "shared_volume_id": "it is `volume: {id: …}` now",
    "parameters": "say the machines themselves: `workers: {type: …, count: …}`, or `pools`",
    "vpc_id": "each cluster has a network of its own; `network: {cidr: …}` says which addresses",
    "central_logging_level": "it is `logging: {level: …}` now",
    "clusterous_s3_bucket": "each cluster has a bucket of its own, which goes with it; one for"
    " images is `registry: {type: s3, bucket: …}` now",
}
MOST_TAGS: Final = 40  # EC2 takes 50, and some are ours
# Of gp3, each from, to, in: https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
FIGURES: Final = {
    "size": (1, 16384, "GiB"),
    "iops": (3000, 16000, ""),
    "throughput": (125, 1000, "MiB/s"),
}
VOLUME_GIB: Final = 20
IOPS_PER_GIB: Final = 500
IOPS_PER_MIB: Final = 4
VOLUME_ID: Final = re.compile(r"(vol|fs)-[0-9a-f]{8,40}")


class VolumeType(StrEnum):
    """What the shared volume is made of."""

    EBS = "ebs"
    EFS = "efs"
    NONE = "none"


VOLUMES: Final = tuple(VolumeType)
# Whose ids begin so.
PREFIXES: Final = {"vol": VolumeType.EBS, "fs": VolumeType.EFS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """The shared volume: ours to make, or an existing one by its *id*.

    *size* in GiB, *throughput* in MiB/s, of EBS only; of an existing one, what is None stays.
    """

    type: VolumeType
    id: str | None = None
    size: int | None = None
    iops: int | None = None
    throughput: int | None = None

    @property
    def served(self) -> bool:
        """Whether the controller has the volume, and serves it to the other nodes."""
        return self.type is VolumeType.EBS


def overlaps(network: ipaddress.IPv4Network) -> list[str]:
    """Say which of the ranges that are taken a network overlaps."""
    return [
        f"{network} overlaps {other}, which {owner} use"
        for other, owner in TAKEN.items()
        if network.overlaps(ipaddress.IPv4Network(other))
    ]


def without_volume(name: str) -> UserError:
    """Say that what is asked for takes a shared volume."""
    return UserError(f"{name} was made without a shared volume (volume: none).")


# What the machines are that a cluster has in any case; other pools are called by their users. With
# the predecessor, nobody's pool was called like a machine that served the cluster.
FIXED: Final = (
    names.ROLE_GATEWAY,
    names.ROLE_CONTROLLER,
    names.POOL_MASTER,
    names.ROLE_WORKER,
)
RESERVED: Final = (
    names.ROLE_GATEWAY,
    names.ROLE_CONTROLLER,
    names.POOL_MASTER,
    "nat",
    "central-logging",
)
NONE: Final = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Machines of one kind; its *role* is what they do, and what they may. *disk* in GiB.

    *labels* and *taints* (`KEY=VALUE:EFFECT`) are those that its nodes register with.
    """

    name: str
    role: str
    type: str
    count: int = 1
    disk: int = 20
    labels: tuple[tuple[str, str], ...] = ()
    taints: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Return what the plan calls its machines."""
        return pool_key(self.name)

    @property
    def spelled(self) -> str:
        """Return what people call it."""
        return "workers" if self.name == names.ROLE_WORKER else self.key


def pool_key(name: str) -> str:
    """Return what the plan calls the machines of a pool: never like a thing of another kind."""
    return name if name in FIXED else f"pool {name}"


GATEWAY: Final = Pool(
    name=names.ROLE_GATEWAY, role=names.ROLE_GATEWAY, type="t3.nano", count=1, disk=8
)
CONTROLLER: Final = Pool(
    name=names.ROLE_CONTROLLER, role=names.ROLE_CONTROLLER, type="t3.medium", count=1, disk=20
)
# A worker like the others, but for masters alone.
MASTER: Final = Pool(
    name=names.POOL_MASTER, role=names.ROLE_WORKER, type="t3.medium", count=1, disk=20,
    taints=(f"{names.MASTER_TAINT}=true:NoSchedule",),
)  # fmt: skip
WORKERS: Final = Pool(
    name=names.ROLE_WORKER, role=names.ROLE_WORKER, type="t3.large", count=2, disk=20
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """What the user wants."""

    name: str
    region: str | None = None
    image: str = IMAGES[0]
    k3s: str = DEFAULT_K3S
    cidr: str = "10.40.0.0/16"
    zone: str | None = None
    allow: tuple[str, ...] = ()
    pools: tuple[Pool, ...] = (GATEWAY, CONTROLLER, MASTER, WORKERS)
    volume: Volume = field(default_factory=lambda: _sized(VolumeType.EBS, {}))
    tags: tuple[tuple[str, str], ...] = ()
    registry: Registry = field(default_factory=Registry)
    logging: CentralLogging | None = None
    environment_file: str | None = None  # run by create; no matter of the cluster's

    def pool(self, name: str) -> Pool:
        """Return the pool *name*, which must be one of the cluster's."""
        return next(one for one in self.pools if one.name == name)

    @property
    def agents(self) -> tuple[Pool, ...]:
        """Return the pools on which programs run."""
        return tuple(one for one in self.pools if one.role == names.ROLE_WORKER)

    @property
    def workers(self) -> tuple[Pool, ...]:
        """Return the pools of workers."""
        return tuple(one for one in self.agents if one.name != names.POOL_MASTER)

    def too_many(self) -> str:
        """Say why its network or Kubernetes cannot hold so many workers; nothing if they can."""
        count = sum(one.count for one in self.workers)
        if count > MOST_WORKERS:
            return f"{count} workers are too many; the most are {MOST_WORKERS}"
        return _beyond(ipaddress.IPv4Network(self.cidr), count)

    def changed(self, pool: str, **changes: Any) -> "ClusterConfig":
        """Return the configuration with another pool of that name."""
        pools = tuple(replace(one, **changes) if one.name == pool else one for one in self.pools)
        return replace(self, pools=pools)

    def to_record(self) -> dict[str, Any]:
        """Spell the configuration for the record."""
        said = {key: value for key, value in asdict(self).items() if key != "environment_file"}
        return {**said, "pools": {one.name: _kept(one) for one in self.pools}}

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> "ClusterConfig":
        """Read what `to_record` wrote."""
        tags = tuple((str(key), str(value)) for key, value in record["tags"])
        volume = Volume(**{**record["volume"], "type": VolumeType(record["volume"]["type"])})
        pools = tuple(_pool(name, pool) for name, pool in record["pools"].items())
        logging = record["logging"] and _logging(record["logging"])
        registry = Registry(
            type=RegistryType(record["registry"]["type"]), bucket=record["registry"]["bucket"]
        )
        kept = {**record, "allow": tuple(record["allow"]), "tags": tags, "volume": volume}
        kept |= {"pools": pools, "logging": logging, "registry": registry}
        return ClusterConfig(**kept)


def _kept(pool: Pool) -> dict[str, Any]:
    said = {key: value for key, value in asdict(pool).items() if key != "name"}
    return {**said, "labels": dict(pool.labels), "taints": list(pool.taints)}


def _pool(name: str, said: Mapping[str, Any]) -> Pool:
    labels = tuple((str(key), str(value)) for key, value in said["labels"].items())
    return Pool(**{**said, "name": name, "labels": labels, "taints": tuple(said["taints"])})


def _logging(said: Mapping[str, Any]) -> CentralLogging:
    return CentralLogging(**{**said, "store": Store(said["store"])})


def read(path: Path) -> ClusterConfig:
    """Read the cluster file at *path*."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder; name the cluster file in it.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    return parse(text, str(path))


def parse(text: str, source: str = FILE) -> ClusterConfig:
    """Turn the text of a cluster file into a configuration, or tell all its mistakes."""
    try:
        root = yamltree.compose(text, source)
    except yamltree.FileMistakes as error:
        raise told(source, error.mistakes) from error
    if root is None:
        raise UserError(f"{source} is empty. The smallest cluster file is `name: reef`.")
    reader, config = _Reader(), None
    try:
        config = reader.config(root)
    except RecursionError:  # by way of merge keys: a thousand that lead from one to the next
        reader.wrong(root, "it is nested too deep")
    if reader.mistakes or config is None:
        raise told(source, reader.mistakes)
    return config


def told(
    source: str, mistakes: "list[yamltree.Mistake] | tuple[yamltree.Mistake, ...]"
) -> UserError:
    """Put all mistakes into one error."""
    ordered = sorted(mistakes, key=lambda one: (one.line, one.column))
    count = "1 mistake" if len(ordered) == 1 else f"{len(ordered)} mistakes"
    lines = [f"{source}:{mistake}" for mistake in ordered]
    return UserError("\n".join([*lines, f"{count}, nothing was created."]))


class _Reader(yamltree.Reader):
    def config(self, root: yaml.Node) -> ClusterConfig | None:
        values = self.known(self.without_former(root), KEYS, "")
        if not self.is_readable(values.get("version")):
            return None
        before = ClusterConfig(name="x")
        if "name" not in values and isinstance(root, yaml.MappingNode):
            self.wrong(root, "name is missing: what shall the cluster be called?")
        network = self.section(values, "network")
        gateway = self.section(values, "gateway")
        workers = self.workers(values)
        cidr = self.cidr(network.get("cidr"), before.cidr, sum(one.count for one in workers))
        name, k3s = self.name(values.get("name")), self.k3s(values.get("k3s"), before.k3s)
        region = self.pattern(values.get("region"), "region", REGION, "a region, such as eu-west-1")
        zone = self.zone(network.get("zone"))
        return ClusterConfig(
            name=name or "x",
            region=region,
            image=self.image(values.get("image"), before.image),
            k3s=k3s,
            cidr=cidr,
            zone=zone,
            allow=self.addresses(gateway.get("allow")),
            pools=(
                self.machine(gateway, "gateway", GATEWAY),
                self.machine(self.section(values, "controller"), "controller", CONTROLLER),
                *self.master(values),
                *workers,
            ),
            volume=self.volume(values, before.volume.type),
            tags=self.tags(values.get("tags")),
            registry=self.registry(values),
            logging=self.logging(values),
            environment_file=self.pattern(
                values.get("environment_file"), "environment_file", PATH, "the path of a file"
            ),
        )

    def is_readable(self, node: yaml.Node | None) -> bool:
        """Whether the file is of a form that is known here; of a newer one nothing else is said."""
        number = self.whole(node, "version", 1, 10**9 - 1, VERSION)
        if node is None or number <= VERSION:
            return True
        self.mistakes.clear()
        self.wrong(
            node,
            f"version is {number}: the file is for a newer clusterous than this one"
            f" ({assets.version()}), which reads up to version {VERSION}. Install a release that"
            f" reads version {number}, and try again",
        )
        return False

    def without_former(self, root: yaml.Node) -> yaml.Node:
        """Refuse each key of the predecessor's with the reason, and go on without it."""
        if not isinstance(root, yaml.MappingNode):
            return root
        left = []
        for pair in root.value:
            name = pair[0].value if isinstance(pair[0], yaml.ScalarNode) else ""
            if name in FORMER:
                self.wrong(pair[0], f"{name} is of the predecessor's files: {FORMER[name]}")
            else:
                left.append(pair)
        return yaml.MappingNode(root.tag, left, root.start_mark, root.end_mark)

    def volume(self, values: Mapping[str, yaml.Node], before: VolumeType) -> Volume:
        node = values.get("volume")
        if node is None or isinstance(node, yaml.ScalarNode):
            return _sized(self.made_of(node, "volume", before), {})
        given = self.section(values, "volume")
        meaning = "the id of a volume, such as vol-0123456789abcdef0 or fs-0123456789abcdef0"
        id = self.pattern(given.get("id"), "volume.id", VOLUME_ID, meaning)
        figures = [name for name in FIGURES if name in given]
        of_id = PREFIXES[id.partition("-")[0]] if id else None
        implied = of_id or (VolumeType.EBS if figures else before)  # only EBS has a size
        type = self.made_of(given.get("type"), "volume.type", implied)
        if of_id and type is not of_id:
            self.wrong(given["type"], f"volume.type: {id} is of type {of_id}, not {type}")
        for name in figures if type is not VolumeType.EBS else ():
            self.wrong(given[name], f"volume.{name}: only a volume of type ebs has one")
        told = {
            name: self.whole(given[name], f"volume.{name}", low, high, low, unit)
            for name, (low, high, unit) in FIGURES.items()
            if name in given
        }
        found = _sized(type, told, id)
        self.proportionate(given, found)
        return found

    def made_of(self, node: yaml.Node | None, where: str, before: VolumeType) -> VolumeType:
        word = self.choice(node, where, VOLUMES, before)
        return VolumeType(word) if word in VOLUMES else before

    def proportionate(self, given: Mapping[str, yaml.Node], found: Volume) -> None:
        """What gp3 refuses: more operations than the size carries, more bytes than those do."""
        size, iops, rate = found.size, found.iops, found.throughput
        if "iops" in given and size and iops:
            most = max(FIGURES["iops"][0], size * IOPS_PER_GIB)
            if iops > most:
                self.wrong(given["iops"], f"volume.iops is {iops}; {size} GiB have at most {most}")
        if "throughput" in given and rate and iops and rate * IOPS_PER_MIB > iops:
            need = rate * IOPS_PER_MIB
            words = f"volume.throughput is {rate} MiB/s, which takes {need} iops; say iops: {need}"
            self.wrong(given["throughput"], words)

    def tags(self, node: yaml.Node | None) -> tuple[tuple[str, str], ...]:
        """The tags that an organisation wants on everything; never one of ours."""
        found = []
        alike: dict[str, str] = {}  # to IAM, which tells small letters and capitals not apart
        for name, (key, value) in ({} if node is None else self.entries(node, "tags")).items():
            text = self.text(value, f"tags.{name}")
            other = alike.setdefault(name.lower(), name)
            if not TAG_NAME.fullmatch(name) or re.match("aws:", name, re.I):
                self.wrong(key, f"tags: {name!r} is not a tag's name that AWS takes")
            elif name.lower() == "name" or name.lower().startswith(f"{names.DOMAIN}/"):
                self.wrong(key, f"tags: {name} is clusterous' own (in any letters, to IAM)")
            elif other != name:
                self.wrong(key, f"tags: {other} and {name} are one name to IAM; leave one out")
            elif text is not None and not TAG_VALUE.fullmatch(text):
                self.wrong(value, f"tags.{name}: {text!r} is not a value that AWS takes")
            elif text is not None:
                found.append((name, text))
        if node is not None and len(found) > MOST_TAGS:
            self.wrong(node, f"tags are {len(found)}; the most are {MOST_TAGS}")
        return tuple(sorted(found))

    def registry(self, values: Mapping[str, yaml.Node]) -> Registry:
        """Where images are kept, for which its type alone is enough."""
        node, usual = values.get("registry"), Registry()
        if node is None:
            return usual
        if isinstance(node, yaml.ScalarNode):
            return Registry(type=self.kept_in(node, "registry", usual.type))
        given = self.section(values, "registry")
        meaning = "a bucket: 3 to 63 small letters, digits and -, neither first nor last a -"
        bucket = self.pattern(given.get("bucket"), "registry.bucket", BUCKET, meaning)
        implied = RegistryType.S3 if "bucket" in given else usual.type
        type = self.kept_in(given.get("type"), "registry.type", implied)
        if type is not RegistryType.S3 and "bucket" in given:
            self.wrong(given["bucket"], "registry.bucket: only a registry of type s3 has one")
        return Registry(type=type, bucket=bucket)

    def kept_in(self, node: yaml.Node | None, where: str, before: RegistryType) -> RegistryType:
        word = self.choice(node, where, tuple(RegistryType), before)
        return RegistryType(word) if word in tuple(RegistryType) else before

    def logging(self, values: Mapping[str, yaml.Node]) -> CentralLogging | None:
        """Central logging, unless there shall be none; its level alone is enough."""
        node, usual = values.get("logging"), CentralLogging()
        if node is None:
            return None
        low, high = centrallogging.LEVELS
        if isinstance(node, yaml.ScalarNode) and node.value == NONE:
            return None
        if isinstance(node, yaml.ScalarNode):
            return replace(usual, level=self.whole(node, "logging", low, high, usual.level))
        given = self.section(values, "logging")
        meaning = "the address of a store, such as https://logs.example.org:9200"
        url = self.pattern(given.get("url"), "logging.url", centrallogging.URL, meaning)
        implied = Store.YOURS if "url" in given else usual.store
        word = self.choice(given.get("store"), "logging.store", tuple(Store), implied)
        store = Store(word) if word in tuple(Store) else implied
        if store.ours and "url" in given:
            self.wrong(
                given["url"], f"logging.url: a store of type {store} is on the cluster itself"
            )
        if not store.ours and "url" not in given:
            self.wrong(given["store"], f"logging.store: {store} needs its address, as logging.url")
        if not store.ours and "size" in given:
            self.wrong(given["size"], "logging.size: that of a store of yours is its own")
        return CentralLogging(
            level=self.whole(given.get("level"), "logging.level", low, high, usual.level),
            store=store,
            days=self.whole(given.get("days"), "logging.days", *centrallogging.DAYS, usual.days),
            size=self.whole(
                given.get("size"), "logging.size", *centrallogging.SIZE, usual.size, "GiB"
            ),
            url=url,
        )

    def section(self, values: Mapping[str, yaml.Node], name: str) -> dict[str, yaml.Node]:
        return self.known(values[name], SECTIONS[name], name) if name in values else {}

    def master(self, values: Mapping[str, yaml.Node]) -> tuple[Pool, ...]:
        """The machine for masters, unless there shall be none."""
        node = values.get("master")
        if isinstance(node, yaml.ScalarNode):
            self.choice(node, "master", (NONE,), NONE)
            return ()
        return (self.machine(self.section(values, "master"), "master", MASTER),)

    def workers(self, values: Mapping[str, yaml.Node]) -> tuple[Pool, ...]:
        """The pools of workers: `workers`, and those of `pools`; what is not said has two."""
        listed = self.entries(values["pools"], "pools") if "pools" in values else {}
        found = []
        if "workers" in values or "pools" not in values:
            found = [self.pool(values.get("workers"), "workers", WORKERS)]
        for name, (key, node) in listed.items():
            if name == names.ROLE_WORKER and "workers" in values:
                self.wrong(key, "pools.worker: `workers` is this pool already; leave one out")
            elif name in RESERVED or not NAME.fullmatch(name):
                meaning = "a pool's name: 1 to 30 small letters, digits and -, a letter first"
                taken = f"; {', '.join(RESERVED)} are the cluster's own"
                self.wrong(key, f"pools: {name!r} is not {meaning}{taken}")
            else:
                usual = replace(WORKERS, name=name)
                found.append(self.pool(node, f"pools.{name}", usual))
        self.together(values.get("pools"), found)
        return tuple(found)

    def together(self, node: yaml.Node | None, found: Sequence[Pool]) -> None:
        count = sum(one.count for one in found)
        if node is not None and not found:
            self.wrong(node, "pools has no pool in it; give one or leave it out")
        if node is not None and count > MOST_WORKERS:
            words = f"pools are {count} machines together; the most are {MOST_WORKERS}"
            self.wrong(node, words)

    def pool(self, node: yaml.Node | None, where: str, usual: Pool) -> Pool:
        """A pool of workers, for which its number alone is enough."""
        if node is None or isinstance(node, yaml.ScalarNode):
            return replace(usual, count=self.whole(node, where, 0, MOST_WORKERS, usual.count))
        given = self.known(node, POOL, where)
        count = self.whole(given.get("count"), f"{where}.count", 0, MOST_WORKERS, usual.count)
        return replace(
            self.machine(given, where, usual),
            count=count,
            labels=self.labels(given.get("labels"), f"{where}.labels"),
            taints=self.taints(given.get("taints"), f"{where}.taints"),
        )

    def machine(self, given: Mapping[str, yaml.Node], where: str, usual: Pool) -> Pool:
        disk = self.whole(given.get("disk"), f"{where}.disk", *DISK, usual.disk, "GiB")
        return replace(
            usual, type=self.type(given.get("type"), f"{where}.type", usual.type), disk=disk
        )

    def labels(self, node: yaml.Node | None, where: str) -> tuple[tuple[str, str], ...]:
        found = []
        for name, (key, value) in ({} if node is None else self.entries(node, where)).items():
            text = self.text(value, f"{where}.{name}")
            if not LABEL_KEY.fullmatch(name):
                self.wrong(key, f"{where}: {name!r} is not a label's name that Kubernetes takes")
            elif OF_OTHERS.fullmatch(name):
                self.wrong(key, f"{where}: {name} is Kubernetes' or clusterous' own to give")
            elif text is not None and not LABEL_VALUE.fullmatch(text):
                self.wrong(value, f"{where}.{name}: {text!r} is not a value that Kubernetes takes")
            elif text is not None:
                found.append((name, text))
        return tuple(sorted(found))

    def taints(self, node: yaml.Node | None, where: str) -> tuple[str, ...]:
        found = []
        alike: dict[tuple[str, str], str] = {}  # by what Kubernetes tells taints apart
        for item in () if node is None else self.items(node, where):
            text = self.text(item, where)
            read = TAINT.fullmatch(text or "")
            if text is not None and read is None:
                meaning = "a taint, such as gpu=true:NoSchedule (or PreferNoSchedule, NoExecute)"
                self.wrong(item, f"{where}: {text!r} is not {meaning}")
            elif read and OF_OTHERS.fullmatch(read["key"]):
                self.wrong(
                    item, f"{where}: {read['key']} is Kubernetes' or clusterous' own to give"
                )
            elif read and (other := alike.get((read["key"], read["effect"]))) is not None:
                self.wrong(item, f"{where}: {text} is beside {other}; no kubelet starts with both")
            elif read and text is not None:
                alike[read["key"], read["effect"]] = text
                found.append(text)
        return tuple(sorted(found))

    def type(self, node: yaml.Node | None, where: str, before: str) -> str:
        found = self.pattern(node, where, TYPE, "an EC2 type, such as t3.large")
        if node is not None and found and ARM.match(found):
            self.wrong(node, f"{where}: {found} is an ARM machine; only Intel and AMD serve yet")
        return found or before

    def name(self, node: yaml.Node | None) -> str | None:
        meaning = "a name: 1 to 30 small letters, digits and -, a letter first"
        return self.pattern(node, "name", NAME, meaning)

    def zone(self, node: yaml.Node | None) -> str | None:
        return self.pattern(node, "network.zone", ZONE, "a zone, such as a or eu-west-1a")

    def k3s(self, node: yaml.Node | None, before: str) -> str:
        return self.pattern(node, "k3s", K3S, "a k3s release, such as v1.35.4+k3s1") or before

    def image(self, node: yaml.Node | None, before: str) -> str:
        if node is None:
            return before
        word = self.text(node, "image")
        if word is not None and word not in IMAGES and not AMI.fullmatch(word):
            near = yamltree.meant(word, (*IMAGES, "ami-…"))
            self.wrong(node, f"image: {word!r} is not known{near}")
        return word or before

    def choice(
        self, node: yaml.Node | None, where: str, choices: tuple[str, ...], before: str
    ) -> str:
        if node is None:
            return before
        word = self.text(node, where)
        if word is not None and word not in choices:
            self.wrong(node, f"{where}: {word!r} is not known{yamltree.meant(word, choices)}")
        return word or before

    def pattern(
        self, node: yaml.Node | None, where: str, wanted: re.Pattern[str], meaning: str
    ) -> str | None:
        word = None if node is None else self.text(node, where)
        if node is not None and word is not None and not wanted.fullmatch(word):
            self.wrong(node, f"{where}: {word!r} is not {meaning}")
            return None
        return word

    def whole(
        self, node: yaml.Node | None, where: str, low: int, high: int, before: int, unit: str = ""
    ) -> int:
        if node is None:
            return before
        value = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
        if node.tag != "tag:yaml.org,2002:int" or not re.fullmatch(r"-?[0-9]{1,9}", value):
            self.wrong(node, f"{where} must be a whole number, not {yamltree.kind(node)}")
            return before
        number = int(value)
        if low <= number <= high:
            return number
        bound = f"the largest is {high}" if number > high else f"the smallest is {low}"
        self.wrong(node, f"{where} is {number}{' ' + unit if unit else ''}; {bound}")
        return before

    def addresses(self, node: yaml.Node | None) -> tuple[str, ...]:
        if node is None:
            return ()
        found = []
        for item in self.items(node, "gateway.allow"):
            network = self.network(item, "gateway.allow")
            if network is not None and network.prefixlen < WIDEST:
                self.wrong(item, f"gateway.allow: {network} lets (nearly) the whole world in")
            elif network is not None:
                found.append(str(network))
        return tuple(found)

    def network(self, node: yaml.Node, where: str) -> ipaddress.IPv4Network | None:
        word = self.text(node, where)
        if word is None:
            return None
        try:
            return ipaddress.IPv4Network(word)
        except ValueError as error:
            self.wrong(node, f"{where}: {word!r} is no IPv4 network: {_why(word, error)}")
            return None

    def cidr(self, node: yaml.Node | None, before: str, workers: int) -> str:
        network = (
            ipaddress.IPv4Network(before) if node is None else self.network(node, "network.cidr")
        )
        if node is None or network is None:
            return before
        least, most = SIZES
        if not least <= network.prefixlen <= most:
            self.wrong(node, f"network.cidr: {network} must be between /{least} and /{most}")
            return before
        for words in overlaps(network):
            self.wrong(node, f"network.cidr: {words}")
        if not network.is_private:
            self.wrong(
                node, f"network.cidr: {network} belongs to the internet; take a part of 10.0.0.0/8"
            )
        if words := _beyond(network, workers):
            self.wrong(node, words)
        return str(network)


def _beyond(network: ipaddress.IPv4Network, workers: int) -> str:
    fits = workers <= network.num_addresses // 2 - 16
    return "" if fits else f"network.cidr: {network} is too small for {workers} workers"


def _sized(type: VolumeType, told: Mapping[str, int], id: str | None = None) -> Volume:
    """Return a volume; what is not *told* of ours on EBS is what gp3 has at no price."""
    usual: dict[str, int] = {}
    if type is VolumeType.EBS and id is None:
        usual = {name: low for name, (low, _, _) in FIGURES.items()} | {"size": VOLUME_GIB}
    size, iops, rate = ({**usual, **told}.get(name) for name in FIGURES)
    return Volume(type=type, id=id, size=size, iops=iops, throughput=rate)


def own(volume: Volume) -> Volume:
    """Return a volume of a cluster's own that is like *volume*."""
    told = {name: size for name in FIGURES if (size := getattr(volume, name)) is not None}
    return _sized(volume.type, told)


def _why(word: str, error: ValueError) -> str:
    if "host bits" in str(error):
        return f"did you mean {ipaddress.IPv4Network(word, strict=False)}?"
    return "it is written like 10.40.0.0/16"

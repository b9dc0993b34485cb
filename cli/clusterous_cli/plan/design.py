"""From a configuration to everything that is wanted and found: asks the world once, in parallel."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.addons import addon, operatorchart, rollout
from clusterous_cli.addons import table as addons
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.boot import bootstrap, pki, releases
from clusterous_cli.cluster import record
from clusterous_cli.cluster.config import IMAGES, ClusterConfig, VolumeType
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import SECRETS_KEY, Blob
from clusterous_cli.plan import inventory, planner
from clusterous_cli.plan.kinds import homes, table
from clusterous_cli.plan.kinds.cloud import Cloud
from clusterous_cli.plan.kinds.files import OBJECT
from clusterous_cli.plan.kinds.kind import Found, Wish
from clusterous_cli.plan.kinds.machines import ARCHITECTURE, MACHINES, split
from clusterous_cli.plan.kinds.network import CONTROL, SUBNET, VPC
from clusterous_cli.plan.kinds.volume import ebs, keeping, state
from clusterous_cli.plan.kinds.volume.keeping import Present
from clusterous_cli.plan.machines import leaving
from clusterous_cli.plan.planner import Plan
from clusterous_cli.system import assets, download, pins
from clusterous_cli.system.download import Progress, Tell

Reports = Mapping[str, Mapping[str, Any]]
DEAF: Final = """the operator, and what else the cluster itself runs, stay as they are: the
controller was made by an older clusterous and does not look for changes. Programs go on. To have
what is new, destroy the cluster and create it anew once no program needs it."""
# Where the publishers of the images say which is the newest; the account is trusted, not the name.
UBUNTU: Final = "/aws/service/canonical/ubuntu/server"
# What their publishers leave out; of an image by its id only its machines know, and say so.
WITHOUT_NFS: Final = ("debian-12", "ubuntu-24.04", "ubuntu-22.04")
PARAMETERS: Final = {
    "amazon-linux-2023": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
    "ubuntu-24.04": f"{UBUNTU}/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
    "ubuntu-22.04": f"{UBUNTU}/22.04/stable/current/amd64/hvm/ebs-gp2/ami-id",
    "debian-12": "/aws/service/debian/release/12/latest/amd64",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What machines boot: whose it is, and the GiB that its root disk takes at least."""

    id: str
    name: str
    owner: str
    architecture: str
    disk: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnImage:
    """An image of ours (the operator's, the volume server's), as an archive for the controller.

    *reference* is its full name; *sha256* is unknown until *archive* has made or fetched it. What
    is *released* is fetched like all that is published.
    """

    reference: str
    filename: str
    origin: str
    archive: Callable[[Tell, Progress], Path] | None = field(default=None, repr=False)
    released: releases.Artifact | None = None
    sha256: str | None = None

    @property
    def blob(self) -> Blob:
        """Return its place in the bucket; one that is not made yet has a place of no digest."""
        if self.sha256 is None:
            return Blob(key=f"boot/to-be-made/{self.filename}", sha256="0" * 64)
        return bootstrap.released("own", self.filename, self.sha256)

    def settled(self, tell: Tell, progress: Progress) -> "OwnImage":
        """Return it made or fetched."""
        if self.sha256 is not None or self.archive is None:
            return self
        return replace(self, sha256=download.sha256(self.archive(tell, progress)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Where the operator's image comes from: *given*, else a release, else *made* by us.

    *volume* is the volume server's, which is made by us.
    """

    given: OwnImage | None = None
    made: Callable[[], OwnImage] | None = None
    volume: Callable[[], OwnImage] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A plan and all that is needed to carry it out."""

    config: ClusterConfig
    image: Image
    who: Identity
    zone: str
    control_zone: str
    plan: Plan
    found: tuple[Found, ...]
    blobs: Mapping[str, Blob]
    artifacts: Mapping[str, releases.Artifact]
    created: str
    awaited: Mapping[str, str]  # the digests of the add-ons that create waits for
    operator: OwnImage
    record: Blob  # as it is once the machines that are leaving have gone, and nothing is unfinished
    unfinished: bool  # as the record tells until then
    before: ClusterConfig | None  # as the record had it until now
    volume_server: OwnImage | None  # where the controller serves the shared volume
    redraw: "Callable[[OwnImage, OwnImage | None], Design]" = field(repr=False)

    @property
    def own_images(self) -> tuple[OwnImage, ...]:
        """Return our images that the controller takes in."""
        return (self.operator, *([self.volume_server] if self.volume_server else []))

    @property
    def unpinned(self) -> tuple[str, ...]:
        """Return the files whose sums did not come with us: what their publishers say counts."""
        known = pins.read().files
        urls = [one.url for one in self.artifacts.values() if one.url not in known]
        return tuple(sorted(urls))

    def settled(self, tell: Tell, progress: Progress) -> "Design":
        """Return the design with our images made or fetched."""
        operator, *rest = [one.settled(tell, progress) for one in self.own_images]
        if (operator, *rest) == self.own_images:
            return self
        return self.redraw(operator, rest[0] if rest else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The published files by name, with their checksums."""

    artifacts: tuple[releases.Artifact, ...]
    sums: tuple[str, ...]

    @property
    def blobs(self) -> dict[str, Blob]:
        """Return the blobs by the artifacts' short names."""
        pairs = zip(self.artifacts, self.sums, strict=True)
        return {
            one.name: bootstrap.released(one.name, one.published_name, sum) for one, sum in pairs
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """How the world outside of AWS is asked; tests answer instead."""

    address: Callable[[], str] = releases.caller_address
    checksum: Callable[[releases.Artifact], str] = releases.checksum
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


def draw(
    cloud: Aws,
    config: ClusterConfig,
    outside: Outside | None = None,
    offer: Offer | None = None,
    leave: frozenset[str] = frozenset(),
    restore: Blob | None = None,
    copied: str = "",
    control: str = "",
    unfinished: Mapping[str, Any] | None = None,
) -> Design:
    """Ask what exists and what is needed, and return the plan between.

    The machines with the ids *leave* shall go, whether they are too many or not. A cluster that has
    not begun begins with the snapshot *restore*, and one without a shared volume has it made of the
    snapshot in EBS *copied*. *control* is the zone of a controller that has none yet. What is
    *unfinished* stands in the record until all is as the plan wants it.
    """
    outside = outside or Outside()
    who = Identity(name=config.name, account=cloud.account, region=cloud.region)
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = pool.submit(inventory.take, cloud, who)
        reports = pool.submit(record.Reports(cloud, who).read)
        before = pool.submit(record.read, cloud, who)
        kept = pool.submit(record.read_json, cloud, who, SECRETS_KEY)
        allow = pool.submit(_allow, config, outside)
        failed = _failed(reports.result())
        k3s = running_k3s(found.result(), failed) or config.k3s
        published = pool.submit(_published, k3s, outside)
        offer = offer or Offer()
        operator = pool.submit(_operator, outside, offer)
        server = offer.volume() if config.volume.served and offer.volume else None
        image = pool.submit(image_of, cloud, config, before.result())
        everything = (*found.result(), *_given(cloud, config, found.result()))
        volume = _volume(cloud, config, everything, before.result() or {}, failed)
        living = inventory.index(found.result(), failed).found
        brain = state.present(found.result(), _living(found.result()))
        state.refuse(
            who, brain, living.get(names.ROLE_CONTROLLER),
            _of_controller(found.result(), before.result()), partial(ebs.newest_snapshot, cloud),
        )  # fmt: skip
        where = keeping.zone_of(volume) or (brain.own.value.zone if brain.own else None)
        zone = pool.submit(zone_for, cloud, config, everything, where)
        check_keys(who, kept.result(), found.result())
        secrets = _secrets(kept.result(), config.name, outside.now())
        check_registry(config, before.result(), secrets, found.result())

        def drawn(operator: OwnImage, server: OwnImage | None) -> Design:
            return _drawn(
                config, who, k3s, everything, volume, brain, reports.result(),
                before.result() or {}, secrets, allow.result(), published.result(),
                image.result(), zone.result(), outside, operator, server, leave, restore, copied,
                control, unfinished, drawn,
            )  # fmt: skip

        there = found.result()
        return drawn(_in_bucket(operator.result(), there), server and _in_bucket(server, there))


def _drawn(
    config: ClusterConfig,
    who: Identity,
    k3s: str,
    found: tuple[Found, ...],
    volume: Present,
    brain: state.Present,
    reports: Reports,
    before: Mapping[str, Any],
    secrets: pki.Secrets,
    allow: tuple[str, ...],
    published: Published,
    image: Image,
    zone: str,
    outside: Outside,
    operator: OwnImage,
    server: OwnImage | None,
    leave: frozenset[str],
    restore: Blob | None,
    copied: str,
    control: str,
    unfinished: Mapping[str, Any] | None,
    redraw: Callable[[OwnImage, OwnImage | None], Design],
) -> Design:
    fitting(config, image)
    where = keeping.zone_of(volume) or (brain.own.value.zone if brain.own else None)
    control = control_zone_for(found, where, control or where or zone)
    version = assets.version()
    archives = {**published.blobs, "operator": operator.blob}
    archives |= {"volume": server.blob} if server else {}
    setting = addon.Setting(
        config=config, region=who.region, operator=operator.reference, archives=archives,
        volume_server=server.reference if server else "",
        bucket=config.registry.bucket or who.image_bucket, registry=secrets.registry,
    )  # fmt: skip
    made = addons.made(setting)
    bundle = bootstrap.bundle(config, who, secrets, released=archives, version=version)
    created = before.get("created") or outside.now().isoformat(timespec="seconds")
    failed = _failed(reports)
    going = leaving.choose(
        inventory.index(found, failed), config, named=leave,
        before=frozenset(before.get("leaving", ())), ready=_ready(reports),
    )  # fmt: skip
    recorded = partial(
        bootstrap.record, config, who, image=image.id, zone=zone, created=created, version=version
    )
    begins = [restore] if restore else []
    blobs = (*bundle.blobs, *made.blobs, *begins, recorded(leaving=going, unfinished=unfinished))
    wish = Wish(
        config=config, who=who, zone=zone, control_zone=control, image=image.id, k3s=k3s,
        allow=allow,
        machines=bundle.machines, blobs=blobs, addons=made,
        formatted=keeping.is_formatted(volume) or bool(copied), keeps_state=brain.kept,
        state_formatted=brain.formatted, restore=restore.sha256 if restore else brain.restore,
        copied=copied,
    )  # fmt: skip
    plan = planner.plan(table.wanted(wish), inventory.index(found, failed, going))
    deaf = (DEAF,) if _is_deaf(found, reports) else ()
    named = any(one.name != names.ROLE_WORKER for one in config.agents)
    # Whoever knew of a volume for the state knew of pools.
    older = () if brain.kept else (state.OLDER, *([homes.OLDER] if named else []))
    return Design(
        config=config,
        image=image,
        who=who,
        zone=zone,
        control_zone=control,
        plan=replace(plan, unchanged=(*plan.unchanged, *other_k3s(config.k3s, k3s), *deaf, *older)),
        found=found,
        blobs={blob.key: blob for blob in blobs},
        artifacts={
            **{published.blobs[one.name].key: one for one in published.artifacts},
            **({operator.blob.key: operator.released} if operator.released else {}),
        },
        created=created,
        awaited=made.awaited,
        operator=operator,
        record=recorded(),
        unfinished=bool(unfinished),
        before=ClusterConfig.from_record(before["config"]) if before else None,
        volume_server=server,
        redraw=redraw,
    )


def _living(found: tuple[Found, ...]) -> list[str]:
    """Name the pools of which machines live."""
    return [
        one.key for one in found if one.kind is MACHINES and one.ours and split(one, frozenset())[0]
    ]


def running_k3s(found: tuple[Found, ...], failed: frozenset[str]) -> str | None:
    """Return the version that the controller runs: no worker may be newer than it."""
    there = inventory.index(found, failed).found.get(names.ROLE_CONTROLLER)
    return there.value.k3s if there and there.value else None


def other_k3s(wanted: str, running: str) -> list[str]:
    """Say that a cluster that runs keeps its k3s."""
    if wanted == running:
        return []
    return [
        f"the controller runs k3s {running}, not {wanted}: create does not change that yet, and new"
        f" workers get {running}, too, for none may be newer than the controller"
    ]


def _is_deaf(found: tuple[Found, ...], reports: Reports) -> bool:
    """Whether the controller that runs is of a release that does not look for changes."""
    ids = [id for one in found if one.kind is MACHINES and one.key == "controller"
           for id in one.id.split()]  # fmt: skip
    views = [reports.get(id, {}).get("cluster") for id in ids]
    return any(view and not rollout.follows(view) for view in views)


def _given(cloud: Aws, config: ClusterConfig, found: tuple[Found, ...]) -> list[Found]:
    """Look at the volume that the file names, unless the cluster has it already."""
    id = config.volume.id
    if id is None or any(one.id == id for one in found):
        return []
    return ebs.existing(cloud, id, [one.id for one in found if one.kind is VPC])


def _volume(
    cloud: Aws,
    config: ClusterConfig,
    found: tuple[Found, ...],
    before: Mapping[str, Any],
    failed: frozenset[str],
) -> Present:
    """Say what the shared volume is; refuse what would cost its data."""
    # A controller that runs would never hear of another one.
    lives = "controller" in inventory.index(found, failed).found
    recorded = before["config"]["volume"] if before and lives else None
    there = keeping.present(found, config.volume, recorded)
    keeping.refuse(config.volume, there, found)
    if (id := keeping.lost(there)) and config.volume.id in (None, id):
        raise keeping.loss(id, _of_controller(found, before), ebs.newest_snapshot(cloud, id))
    return there


def _of_controller(found: tuple[Found, ...], before: Mapping[str, Any] | None) -> str:
    """Return the zone of the controller, which may be another than the cluster's."""
    own = (one.value.zone for one in found if one.kind is SUBNET and one.key == CONTROL)
    return str(next(own, (before or {}).get("zone", "")))


def _failed(reports: Reports) -> frozenset[str]:
    return frozenset(id for id, report in reports.items() if report.get("phase") == "failed")


def _ready(reports: Reports) -> frozenset[str]:
    """The machines whose nodes are Ready, as the controller saw them last."""
    views = [report.get("cluster", {}).get("nodes", {}) for report in reports.values()]
    ends = {name[-8:] for view in views for name, state in view.items() if state == "Ready"}
    return frozenset(id for id in reports if id[-8:] in ends)  # as addresses.node_name has it


def _secrets(kept: Mapping[str, Any] | None, name: str, now: datetime) -> pki.Secrets:
    return pki.Secrets(**kept) if kept else pki.create(name, now)


def check_keys(who: Identity, kept: Mapping[str, Any] | None, found: tuple[Found, ...]) -> None:
    """Refuse to make other keys for machines that run: none would know them."""
    there = inventory.index(found).found.values()
    if kept is None and any(one.kind is MACHINES and one.value.count for one in there):
        raise UserError(
            f"The keys of {who.name} are gone from its bucket {who.bucket}: no machine of"
            f" {who.name} can be reached any more, and with other keys none could be added. Put"
            f" {SECRETS_KEY} back if somebody has a copy; else `clusterous destroy {who.name}`"
            " removes it, with its volume, and it can be created anew."
        )


def check_registry(
    config: ClusterConfig,
    before: Mapping[str, Any] | None,
    secrets: pki.Secrets,
    found: tuple[Found, ...],
) -> None:
    """Refuse another place for images while machines live: by theirs they were started."""
    lives = any(one.value.count for one in inventory.index(found).found.values()
                if one.kind is MACHINES)  # fmt: skip
    was = ClusterConfig.from_record(before["config"]).registry if before else config.registry
    if lives and was != config.registry:
        words = [f"{one.type}{f' ({one.bucket})' if one.bucket else ''}"
                 for one in (was, config.registry)]  # fmt: skip
        raise UserError(f"registry is {words[0]}, not {words[1]}\n{planner.LIVING}")
    if config.registry.on_cluster and not secrets.registry:
        raise UserError(
            f"The keys of {config.name} were made by an older clusterous, and are none for a"
            f" registry: clusterous destroy {config.name}, then create it anew."
        )


def _allow(config: ClusterConfig, outside: Outside) -> tuple[str, ...]:
    return config.allow or (f"{outside.address()}/32",)


def _published(k3s: str, outside: Outside) -> Published:
    found = releases.artifacts(k3s)
    return Published(artifacts=found, sums=tuple(outside.checksum(one) for one in found))


def fitting(config: ClusterConfig, image: Image) -> None:
    """Refuse what AWS would refuse when the network is made already and costs."""
    if wrong := misfits(config, image):
        raise UserError("\n".join(wrong))


def misfits(config: ClusterConfig, image: Image) -> list[str]:
    """Say why machines could not boot the image, or would not serve with it."""
    wrong = [
        f"{one.name}: its disk of {one.disk} GiB is too small, image {image.id} ({image.name})"
        f" takes {image.disk}. Say disk: {image.disk} or more."
        for one in config.pools
        if one.count and one.disk < image.disk
    ]
    if config.image in WITHOUT_NFS and config.volume.type is not VolumeType.NONE:
        wrong.append(
            f"image {config.image} has no NFS client (/sbin/mount.nfs4), by which machines have the"
            f" shared volume: take {IMAGES[0]}, an image of your own with one (of Debian and"
            " Ubuntu: the package nfs-common), or volume: none."
        )
    if image.architecture != ARCHITECTURE:
        wrong.append(
            f"image {image.id} ({image.name}) is for {image.architecture}; machines are"
            f" {ARCHITECTURE}."
        )
    return wrong


def image_of(cloud: Cloud, config: ClusterConfig, before: Mapping[str, Any] | None) -> Image:
    """Ask for the image that machines boot: the one that those there are booted, or the newest."""
    id = _image_id(cloud, config, before)
    answer = cloud.find("ec2", "describe_images", ImageIds=[id]) or {}
    if not answer.get("Images"):
        if before and id == before["image"]:  # machines that run need it no more
            return Image(id=id, name="", owner="", architecture=ARCHITECTURE, disk=0)
        raise UserError(
            f"There is no image {id} in {cloud.region}, or it is not shared with your account."
        )
    one = answer["Images"][0]
    root = one.get("RootDeviceName")
    sizes = [
        int(disk["Ebs"].get("VolumeSize", 0))
        for disk in one.get("BlockDeviceMappings", ())
        if disk.get("DeviceName") == root and "Ebs" in disk
    ]
    return Image(
        id=id,
        name=str(one.get("Name", "")),
        owner=" ".join(filter(None, (one.get("ImageOwnerAlias"), one.get("OwnerId")))),
        architecture=str(one.get("Architecture", ARCHITECTURE)),
        disk=max(sizes, default=0),
    )


def _operator(outside: Outside, offer: Offer) -> OwnImage:
    """Choose the operator's image; that there is no release of this version is no error."""
    if offer.given:
        return offer.given
    published = releases.operator(assets.version())
    try:
        sha256 = outside.checksum(published)
    except download.Missing:
        if offer.made is None:
            raise
        return offer.made()
    return OwnImage(
        reference=f"{operatorchart.IMAGE}:{assets.version()}",
        filename=published.published_name,
        origin=f"the release {assets.version()}",
        released=published,
        sha256=sha256,
    )


def _in_bucket(image: OwnImage, found: tuple[Found, ...]) -> OwnImage:
    """Take what the cluster has of the same content: it need not be made anew on each laptop."""
    if image.sha256 is not None:
        return image
    for one in found:
        folder, _, filename = one.id.rpartition("/")
        if one.kind is OBJECT and filename == image.filename:
            return replace(image, sha256=folder.rpartition("/")[2])
    return image


def _image_id(cloud: Cloud, config: ClusterConfig, before: Mapping[str, Any] | None) -> str:
    if before and before["config"]["image"] == config.image:
        return str(before["image"])  # all machines of a cluster boot the same image
    if config.image.startswith("ami-"):
        return config.image
    try:
        answer = cloud.call("ssm", "get_parameter", Name=PARAMETERS[config.image])
    except errors.NotFound as error:
        raise UserError(
            f"There is no image {config.image} in {cloud.region}. Name one by its id, such as"
            " image: ami-0123456789abcdef0"
        ) from error
    return str(answer["Parameter"]["Value"])


def zone_for(
    cloud: Cloud, config: ClusterConfig, found: tuple[Found, ...], volume: str | None
) -> str:
    """Choose the zone: where the cluster is, or its *volume*, or where all types can be had."""
    for one in found:
        if one.kind is SUBNET and one.key == "private":
            return _same_zone(config.zone, cloud.region, one.value.zone)
    if volume and config.zone:
        zone = _whole(config.zone, cloud.region)
        _beside(volume, zone, f"network.zone is {zone}")
    types = {one.type for one in config.pools}
    return choose_zone(volume or config.zone, cloud.region, types, _offered(cloud, types))


def control_zone_for(found: tuple[Found, ...], volume: str | None, zone: str) -> str:
    """Return the zone of the controller: where its subnet is, with its volumes; else *zone*."""
    for one in found:
        if one.kind is SUBNET and one.key == CONTROL:
            return _beside(volume, one.value.zone, f"the controller is in {one.value.zone}")
    return _beside(volume, zone, f"the controller is to be in {zone}")


def _same_zone(asked: str | None, region: str, zone: str) -> str:
    if asked and _whole(asked, region) != zone:
        raise UserError(f"network.zone is {zone}, not {_whole(asked, region)}\n{planner.LIVING}")
    return zone


def _beside(volume: str | None, zone: str, why: str) -> str:
    if volume not in (None, zone):
        raise UserError(
            f"The shared volume is in zone {volume}, and {why}: machines of other zones cannot have"
            f" it. Make the cluster in {volume} (network.zone), or a snapshot of the volume, and of"
            f" that a volume in {zone}."
        )
    return zone


def _whole(zone: str, region: str) -> str:
    return zone if len(zone) > 1 else f"{region}{zone}"


def check_control(cloud: Cloud, config: ClusterConfig, asked: str) -> str:
    """Return the whole name of the zone *asked*, in which there are machines for a controller."""
    type = config.pool(names.ROLE_CONTROLLER).type
    zone, offered = _whole(asked, cloud.region), _offered(cloud, {type})
    if (type, zone) not in offered:
        known = ", ".join(sorted({where for _, where in offered}))
        raise UserError(f"--zone: {zone} has no {type} for the controller; {known} have.")
    return zone


def _offered(cloud: Cloud, types: set[str]) -> list[tuple[str, str]]:
    """Ask which of the *types* each zone offers."""
    offered = cloud.pages(
        "ec2",
        "describe_instance_type_offerings",
        "InstanceTypeOfferings",
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": sorted(types)}],
    )
    return [(one["InstanceType"], one["Location"]) for one in offered]


def choose_zone(
    asked: str | None, region: str, types: set[str], offered: list[tuple[str, str]]
) -> str:
    """Return the zone *asked* for, or the first that offers all *types*."""
    unknown = sorted(types - {type for type, _ in offered})
    if unknown:
        raise UserError(f"AWS has no machines of type {', '.join(unknown)} in {region}.")
    zones = sorted({zone for _, zone in offered})
    fitting = [zone for zone in zones if types <= {t for t, where in offered if where == zone}]
    if not asked:
        # An account may have Local Zones, too, which have neither NAT gateways nor EFS.
        usual = [zone for zone in fitting if len(zone) == len(region) + 1]
        if usual:
            return usual[0]
        raise UserError(f"No zone of {region} has all of {', '.join(sorted(types))}.")
    zone = _whole(asked, region)
    if zone not in fitting:
        raise UserError(f"network.zone: {zone} has not all these types; {', '.join(fitting)} have.")
    return zone

"""The daemon of a region: all its parts in one process, each started on what came before it."""

import json
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from tests.region import laptop
from tests.region.aws import server as aws_server
from tests.region.aws.server import AwsServer
from tests.region.aws.settings import Settings
from tests.region.aws.view import Snapshot
from tests.region.control import Control
from tests.region.internet import server, sites, tls
from tests.region.machines import cgroups
from tests.region.machines.machines import Machines
from tests.region.net import addresses, netns, plan
from tests.region.net.fabric import Fabric
from tests.region.places import Places
from tests.region.registry import ecr, hub, kubernetes, trust
from tests.region.storage.ebs import Ebs
from tests.region.storage.efs import Efs

if TYPE_CHECKING:
    from tests.region.parts.parts import Parts

logger = logging.getLogger(__name__)

HTTPS: Final = 443
HTTP: Final = 80
_LOOK_AGAIN_SECONDS: Final = 1.0


class Follower(Protocol):
    """A part that makes itself what a snapshot of the AWS view says."""

    def reconcile(self, snapshot: Snapshot) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    aws: AwsServer
    fabric: Fabric
    machines: Machines | None
    ebs: Ebs | None
    followers: tuple[Follower, ...]
    contents: dict[str, sites.Content]

    def lose(self, instance_id: str) -> None:
        """Let the host of a machine fail, with what the machine had not flushed to its volumes."""
        if self.ebs and self.machines:
            self.fabric.silence(instance_id)
            self.ebs.lose(instance_id)
            self.machines.crash(instance_id)

    def withdraw(self) -> None:
        """Let there be no release of ours, as before the first one."""
        for place in sites.of_ours(self.contents):
            del self.contents[place]

    def follow(self, stop: threading.Event) -> None:
        """Let the parts follow each change of the AWS view, until told to stop."""
        generation = -1
        while not stop.is_set():
            generation = self.aws.wait_for_change(generation, _LOOK_AGAIN_SECONDS)
            snapshot = self.aws.snapshot()
            for part in self.followers:
                _attempt(part, snapshot)


@dataclass(slots=True)
class Silence:
    """Takes the word from machines that end: none tells of a disk that is lost with it.

    A server whose machine and disks are gone at once never says so; one whose disks go a moment
    earlier would answer its clients with an error.
    """

    fabric: Fabric
    _silent: set[str] = field(default_factory=set)

    def reconcile(self, snapshot: Snapshot) -> None:
        for instance in snapshot.instances:
            if instance.state == "shutting-down" and instance.id not in self._silent:
                self._silent.add(instance.id)
                self.fabric.silence(instance.id)


def _attempt(part: Follower, snapshot: Snapshot) -> None:
    try:
        part.reconcile(snapshot)
    except Exception:  # one part's trouble is told and tried again, and must not stop the others
        logger.exception("%s cannot follow", type(part).__name__)


def serve(places: Places, *, bare: bool, owner: int | None = None) -> None:
    """Be the region until somebody says `down`, or sends SIGTERM, or *owner* is no more."""
    stop = threading.Event()
    if owner is not None:
        threading.Thread(target=_outlive, args=(owner, stop), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    with ExitStack() as parts:
        whole = start(places, Settings(), parts, bare=bare)
        control = Control(places.control, _verbs(whole, stop))
        control.open()
        parts.callback(control.close)
        whole.follow(stop)


def _outlive(owner: int, stop: threading.Event) -> None:
    """Wait for the end of a process; then stop."""
    with suppress(ProcessLookupError):
        end = os.pidfd_open(owner)
        select.select([end], [], [])
        os.close(end)
    stop.set()


def start(places: Places, settings: Settings, parts: ExitStack, *, bare: bool) -> Whole:
    """Start the parts in their order; *parts* ends them in the opposite one.

    A *bare* region has no machines and no registries: it needs nothing that is built first.
    """
    _join_group(places)
    files = tls.write(places.tls, tls.names(settings.region), _service_addresses())
    fabric = Fabric(region=places.name, aws_region=settings.region, state_dir=places.state)
    parts.callback(fabric.close)
    fabric.reconcile(plan.nothing(settings.region))
    aws = _start_aws(places, settings, files, parts)
    efs = Efs(region=places.name, folder=places.efs)
    parts.callback(efs.close)
    contents: dict[str, sites.Content] = {}
    ebs, machines = None, None
    if bare:
        _start_sites(places, files, contents, parts)
        laptop.prepare(places, {})
    else:
        ebs, machines = _start_built(places, files, fabric, aws, contents, parts)
    _write_facts(places, settings, aws)
    # Of a machine that ends the disks hear first: what it has not flushed by then is lost.
    parts_that_follow = (fabric, efs, Silence(fabric), ebs, machines)
    followers = tuple(part for part in parts_that_follow if part)
    return Whole(
        aws=aws, fabric=fabric, machines=machines, ebs=ebs, followers=followers, contents=contents
    )


def _service_addresses() -> list[str]:
    public = [addresses.WEB, addresses.DOCKER_HUB, addresses.KUBERNETES]
    return [addresses.AWS_API, addresses.S3, addresses.ECR, *public]


def _join_group(places: Places) -> None:
    """Be in a control group of our own, so that no child of ours is ever lost from sight."""
    cgroups.join(places.group)


def _start_aws(places: Places, settings: Settings, files: tls.Files, parts: ExitStack) -> AwsServer:
    aws = aws_server.start(
        listeners=[
            _listen(places, address, HTTPS) for address in (addresses.AWS_API, addresses.S3)
        ],
        tls=tls.context(files),
        settings=settings,
        state_dir=places.state,
    )
    parts.callback(aws.close)
    return aws


def _listen(places: Places, address: str, port: int) -> Any:
    return netns.listen(addresses.namespace(places.name, "services"), address, port)


def _start_sites(
    places: Places, files: tls.Files, contents: dict[str, sites.Content], parts: ExitStack
) -> None:
    listeners = [
        (_listen(places, addresses.WEB, HTTPS), tls.context(files)),
        (_listen(places, addresses.WEB, HTTP), None),
    ]
    servers = server.serve(listeners, sites.handler(contents), "sites")
    parts.callback(server.stop, servers)


def _start_built(
    places: Places,
    files: tls.Files,
    fabric: Fabric,
    aws: AwsServer,
    contents: dict[str, sites.Content],
    parts: ExitStack,
) -> tuple[Ebs, Machines]:
    """Start what is made of the parts that were built beforehand."""
    from tests.region.parts import logimages, packages
    from tests.region.parts import parts as part_list

    built = part_list.ensure(tell=logger.info)
    contents.update(sites.releases(built, built.versions["k3s"], built.versions["clusterous"]))
    # What examples, central logging and a registry need is fetched by who runs them.
    fetched = part_list.there([packages.part(one) for one in packages.EXAMPLES])
    bases = [base for bases in packages.BASES.values() for base in bases]
    images = part_list.there([*bases, logimages.NAME, "registry_image"])
    contents.update(sites.index(built.wheels, *fetched))
    contents.update(sites.pool(built.debs))
    _start_sites(places, files, contents, parts)
    _start_registries(places, files, built, images, aws, parts)
    machines = Machines(places.state, built.rootfs, fabric, aws)
    ebs = Ebs(region=places.name, folder=places.ebs, program=built.volume, pid=machines.pid)
    parts.callback(ebs.close)
    parts.callback(machines.close)
    aws.console, aws.volume_held = machines.console, ebs.is_held
    laptop.prepare(places, {"kubectl": built.kubectl, "helm": built.helm})
    return ebs, machines


def _start_registries(
    places: Places,
    files: tls.Files,
    built: "Parts",
    more: Sequence[Path],
    aws: AwsServer,
    parts: ExitStack,
) -> None:
    secure = tls.context(files)
    own = ecr.start(
        _listen(places, addresses.ECR, HTTPS), secure, built.registry, places.registry, aws
    )
    parts.callback(own.close)
    aws.ecr_image_deleted = own.delete
    authority = files.ca.read_bytes()
    bundle = laptop.trusted(authority)
    trust.extend([built.hub, *more], places.hub, authority, bundle)
    public = hub.start(
        _listen(places, addresses.DOCKER_HUB, HTTPS), secure, built.registry, places.hub
    )
    parts.callback(public.close)
    upstream = kubernetes.start(
        _listen(places, addresses.KUBERNETES, HTTPS),
        secure,
        built.registry,
        built.kubernetes_images,
    )
    parts.callback(upstream.close)


def _write_facts(places: Places, settings: Settings, aws: AwsServer) -> None:
    """Tell those who use the region what they need; keys are for root's eyes only."""
    user = aws.user_credentials()
    facts = {
        "name": places.name,
        "pid": os.getpid(),
        "started": time.time(),
        "account": settings.account,
        "region": settings.region,
        "access_key_id": user.access_key_id,
        "secret_access_key": user.secret_access_key,
    }
    places.facts.touch(mode=0o600)
    places.facts.write_text(json.dumps(facts, indent=2) + "\n")


def _verbs(whole: Whole, stop: threading.Event) -> dict[str, Callable[..., Any]]:
    machines = whole.machines
    return {
        "ping": lambda: os.getpid(),
        "pid": lambda instance_id: machines and machines.pid(instance_id),
        "console": lambda instance_id: machines.console(instance_id) if machines else "",
        "lose": whole.lose,
        "withdraw": whole.withdraw,
        "down": stop.set,
    }

"""A strict AWS in this process, and nodes that only pretend: they write their reports to S3."""

import base64
import hashlib
import json
import os
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import boto3
import pytest
import trustme
from botocore.exceptions import ClientError

from clusterous_api import names
from clusterous_cli import main
from clusterous_cli.addons import table
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import prices, record
from clusterous_cli.cluster.addresses import node_name
from clusterous_cli.cluster.config import ClusterConfig, parse
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import ADDONS, BEGUN, LOCK_KEY, STATE, VOLUME
from clusterous_cli.cluster.tags import tags_of
from clusterous_cli.plan import converge, design, inventory
from clusterous_cli.plan.machines import leaving
from clusterous_cli.reach import kube
from clusterous_cli.system import wait
from clusterous_cli.terminal.lines import TimedLines
from clusterous_cli.terminal.options import Settings as Options
from clusterous_cli.terminal.screen import Ui
from clusterous_cli.turns import lock
from tests import programs
from tests.region.aws import faults, regions, server, settings, store
from tests.region.aws import world as worlds
from tests.region.aws.moments import Moment
from tests.region.aws.settings import Settings
from tests.region.registry import ecr

QUICK = Settings(
    pending=0.0, stopping=0.0, shutting_down=0.05, nat_pending=0.05, nat_deleting=0.05,
    volume_creating=0.0, volume_attaching=0.05, volume_detaching=0.05, volume_modifying=0.05,
    volume_optimizing=0.05, snapshot_pending=0.05, snapshot_interval=0.0, efs_creating=0.05,
    efs_deleting=0.05, mount_target_creating=0.05, mount_target_deleting=0.05,
    balancer_deleting=0.05,
)  # fmt: skip


HOST_KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(32)).decode()
# What the nodes that are played now have spoken by (`pretend`).
PLAYED: list[list[object]] = []
# Where a test may look for a cluster, or make one.
REGIONS = ("eu-west-1", "us-east-1", "me-south-1")


class Leaping(wait.Pauses):
    """A time that leaps on wherever somebody waits: minutes of AWS pass in moments.

    AWS has the same clock (`running`), so both see the same minutes.
    """

    def __init__(self) -> None:
        super().__init__(clock=lambda: time.time() + self.ahead)
        self.ahead = 0.0
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        super().sleep(min(seconds, 0.02))
        with self._lock:
            self.ahead += seconds


class Killed(BaseException):
    """The process dies here."""


Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What was made in an empty account: all in it, what is on the laptop, and the answer."""

    moment: Moment
    home: Path
    made: Any


@dataclass
class World:
    """The simulated account and how the CLI's parts are called in it."""

    server: server.AwsServer
    cloud: Aws
    folder: Path
    port: int
    tls: ssl.SSLContext
    pauses: Callable[[], wait.Pauses] = wait.Pauses
    stood: dict[object, Standing] = field(default_factory=dict)

    def mutating(self) -> list[str]:
        return [f"{c.service}:{c.action}" for c in self.server.log() if c.mutating]

    def design(self, config: ClusterConfig, leave: frozenset[str] = frozenset()) -> design.Design:
        return design.draw(self.cloud, config, outside(), offer(self.folder), leave)

    def renew(self) -> None:
        """Become a new process: nothing is remembered, and the lock of the one before ran out."""
        for bucket in self.cloud.client("s3").list_buckets()["Buckets"]:
            self.cloud.client("s3").delete_object(Bucket=bucket["Name"], Key=LOCK_KEY)
        self.cloud = renewed(self.cloud)

    def end(self, *ids: str) -> None:
        """Terminate machines as somebody who means it: their protection goes first."""
        for id in ids:
            off = {"Value": False}
            self.cloud.call(
                "ec2", "modify_instance_attribute", InstanceId=id, DisableApiTermination=off
            )
        self.cloud.call("ec2", "terminate_instances", InstanceIds=list(ids))

    def fault(self, **fault: Any) -> None:
        self.server.world.faults.add(faults.parse(fault))

    def configure(self, **changes: Any) -> None:
        self.server.world.settings = settings.changed(self.server.world.settings, changes)

    def create(
        self,
        config: ClusterConfig,
        *,
        seconds: float = 20,
        failing: str = "",
        view: Mapping[str, Any] | None = None,
        leave: frozenset[str] = frozenset(),
        drain: leaving.Drain | None = None,
    ) -> tuple[record.Node, ...]:
        with played(renewed(self.cloud), config, failing, view):
            return self.converge(config, leave, drain).run(seconds=seconds)

    def stand(self, config: ClusterConfig) -> tuple[record.Node, ...]:
        """Let an empty account have the cluster, for tests of what comes after it was made."""
        return self.standing(config, lambda: self.create(config))

    def laid(self, config: ClusterConfig) -> None:
        """Let an empty account have all that the cluster is made of; its nodes say nothing."""
        self.standing(("laid", config), lambda: self.converge(config).execute())

    def standing(self, what: object, make: Callable[[], Made]) -> Made:
        """Return what *make* does in an empty account: it is done once, and then just there."""
        assert self.mutating() == []
        assert self.server.world.faults.all() == []
        key = (what, repr(self.server.world.settings))
        home = self.folder / "home"
        if key in self.stood:
            kept = self.stood[key]
            self.server.bring_back(kept.moment)
            shutil.copytree(kept.home, home, dirs_exist_ok=True)
            return cast(Made, kept.made)
        made = make()
        place = self.folder / f"stood-{len(self.stood)}"
        place.mkdir()
        moment = self.server.keep(place / "s3")
        if moment is not None:
            home.mkdir(exist_ok=True)
            shutil.copytree(home, place / "home")
            self.stood[key] = Standing(moment=moment, home=place / "home", made=made)
        return made

    def converge(
        self,
        config: ClusterConfig,
        leave: frozenset[str] = frozenset(),
        drain: leaving.Drain | None = None,
    ) -> converge.Create:
        quiet = TimedLines(Ui(Options(quiet=True)))
        return converge.Create(
            cloud=self.cloud,
            design=self.design(config, leave),
            lines=quiet,
            pauses=self.pauses(),
            fetched=self.fetched,
            drain=drain or (lambda nodes, tell: iter(nodes)),
        )

    def fetched(self, artifact: Any, sha256: str, progress: Any) -> Path:
        path = self.folder / str(artifact.name)
        path.write_bytes(artifact.name.encode())
        return path

    def destroy(self, name: str, *, keep: bool = False, keep_images: bool = False) -> None:
        who = Identity(name=name, account=self.cloud.account, region=self.cloud.region)
        quiet = TimedLines(Ui(Options(quiet=True)))
        found = inventory.take(self.cloud, who, deep=True)
        converge.Destroy(
            cloud=self.cloud, who=who, lines=quiet, pauses=self.pauses(), keep=keep,
            keep_images=keep_images,
        ).run(found)  # fmt: skip


def renewed(cloud: Aws) -> Aws:
    """Return AWS as another process has it; its clients are the same: each costs a second."""
    made = Aws(cloud.session, cloud.region)
    made._clients = cloud._clients
    return made


def offer(folder: Path) -> design.Offer:
    """Images of ours that hold nothing."""
    return design.Offer(volume=lambda: volume_image(folder))


def volume_image(folder: Path) -> design.OwnImage:
    """The image of the volume server, with nothing in it."""

    def archive(tell: Any, progress: Any) -> Path:
        (folder / "volume.tar").write_bytes(b"volume")
        return folder / "volume.tar"

    return design.OwnImage(
        reference="example.org/volume:1", filename="volume-1-amd64.tar", origin="made",
        archive=archive, sha256=hashlib.sha256(b"volume").hexdigest(),
    )  # fmt: skip


def typing(patch: pytest.MonkeyPatch, world: World) -> None:
    """Let commands find the world outside as the tests play it: no site, no image to be made.

    Prices are the table's: the list costs a client more, and is asked where it is tested.
    """
    patch.setattr(
        "clusterous_cli.plan.pricelist.known", lambda cloud, *_: prices.listed(cloud.region)
    )
    answers = outside()
    patch.setattr("clusterous_cli.plan.design.Outside", lambda: answers)
    patch.setattr("clusterous_cli.boot.releases.fetched", world.fetched)
    patch.setattr(
        "clusterous_cli.images.operatorimage.made", lambda *of: volume_image(world.folder)
    )


def nothing_runs(method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
    """Answer as the API of a cluster on which nothing runs."""
    return 200, json.dumps({"items": []})


def reached(patch: pytest.MonkeyPatch, kubernetes: kube.Transport = nothing_runs) -> None:
    """Let commands find *kubernetes* where they look for a cluster's own API."""
    link = SimpleNamespace(tunnel=SimpleNamespace(ensure=lambda: None))
    patch.setattr("clusterous_cli.reach.session.link", lambda cluster: link)
    patch.setattr("clusterous_cli.reach.session.api", lambda link: kube.Api(kubernetes))


def refused(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let SSH be refused at once, by a program in *folder*: where nobody is, it waits for long."""
    (folder / "ssh").write_text("#!/bin/sh\necho Connection refused >&2\nexit 255\n")
    (folder / "ssh").chmod(0o755)
    patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@contextmanager
def typed_in(folder: Path, account: World, patch: pytest.MonkeyPatch, file: str) -> Iterator[World]:
    """An administrator's empty account and a *folder* with a cluster *file*; nodes come up."""
    account.server.reset()
    account.server.world.settings = QUICK
    account.configure(user_policy=dict(settings.ADMINISTRATOR))
    account.renew()
    patch.chdir(folder)
    typing(patch, account)
    Path("clusterous.yaml").write_text(file)
    with played(account.cloud, parse(file)):
        yield account


@contextmanager
def played(
    cloud: Aws, config: ClusterConfig, failing: str = "", seen: Mapping[str, Any] | None = None
) -> Iterator[None]:
    """Let nodes come up meanwhile, as *pretend* plays them."""
    stop, spoken = threading.Event(), list[object]()
    arguments = (cloud, config, stop, failing, seen, spoken)
    nodes = threading.Thread(target=pretend, args=arguments, daemon=True)
    PLAYED.append(spoken)
    nodes.start()
    try:
        yield
    finally:
        stop.set()
        nodes.join()
        PLAYED[:] = [one for one in PLAYED if one is not spoken]


def outside() -> design.Outside:
    """No internet: fixed answers."""
    return design.Outside(
        address=lambda: "203.0.113.10",
        checksum=lambda artifact: artifact.name.encode().hex().ljust(64, "0")[:64],
        now=lambda: datetime(2026, 11, 22, tzinfo=UTC),
    )


def pretend(
    cloud: Aws,
    config: ClusterConfig,
    stop: threading.Event,
    failing: str,
    seen: Mapping[str, Any] | None = None,
    spoken: list[object] | None = None,
) -> None:
    """Play all nodes: report ready as soon as a machine runs; those *failing* fail.

    *seen* is what the controller sees of the cluster otherwise than that all is well; what is None
    there, it does not tell. *spoken* gets whose nodes these are, and by what they have spoken.
    """
    said: dict[str, str] = {}
    before = None
    while not stop.wait(0.2):
        who = Identity(name=config.name, account=cloud.account, region=cloud.region)
        now = heard(who)
        if now is not None and now == before:
            continue
        before = now
        try:
            report(cloud, config, said, failing, seen)
        except ClientError as error:
            # The cluster is destroyed while they speak: nobody is there to hear it.
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise
        if spoken is not None:
            spoken[:] = [who, now]


def begun(world: World, file: str) -> None:
    """Let `create` have been typed with a *file* in an empty account; its nodes have spoken."""
    assert world.standing(file, lambda: main.run(["create", "--yes", "--quiet"])) == 0
    silence()


def silence() -> None:
    """Wait until the nodes that are played have said what they had to say."""

    def is_silent(spoken: list[object]) -> bool:
        return bool(spoken) and heard(cast(Identity, spoken[0])) == spoken[1]

    wait.until(lambda: all(map(is_silent, PLAYED)) or None, "the nodes", wait.Pauses(), timeout=300)


def heard(who: Identity) -> object | None:
    """Return what nodes go by when they say something, if the account is in this process.

    That is machines and disks, and what the cluster was told: most of what a command changes is
    nothing to them.
    """
    try:
        world = worlds.current()
    except RuntimeError:
        return None
    with world.lock:
        ec2 = store.ec2(who.region)
        machines = [(one.id, one.state, dict(ec2.tags.get(one.id, {})))
                    for one in ec2.all_instances()]  # fmt: skip
        disks = [(one.id, one.status, one.size) for one in ec2.volumes.values()]
        bucket = world.buckets.find(who.bucket)
        # Where AWS takes its time to know an id, time alone changes what is found.
        second = int(world.clock()) if world.settings.not_found else None
    told = [bucket.latest(key) for key in (ADDONS, VOLUME, STATE, BEGUN)] if bucket else None
    return machines, disks, told, second


def report(
    cloud: Aws,
    config: ClusterConfig,
    said: dict[str, str],
    failing: str = "",
    seen: Mapping[str, Any] | None = None,
) -> None:
    """Put what all nodes say now, where they said something else before."""
    who = Identity(name=config.name, account=cloud.account, region=cloud.region)
    found = record.machines(cloud, who)
    if not found:
        return
    placed = table.digests((record.read_object(cloud, who, ADDONS) or b"").decode())
    view = {
        "nodes": {node_name(one["PrivateDnsName"], one["InstanceId"]): "Ready" for one in found},
        "addons": placed,
        "rollouts": "".join(f"{name}@{digest} it 1 1 1 1 1 1\n" for name, digest in placed.items()),
        "volume": served(cloud, who),
        **(seen or {}),
    }
    view = {key: told for key, told in view.items() if told is not None}
    kept = keeping(cloud, who)
    for one in found:
        body = {"phase": "ready", "host_key": HOST_KEY, "cluster": view}
        if tags_of(one)[names.TAG_ROLE] == names.ROLE_CONTROLLER and kept is not None:
            body = body | kept
        if tags_of(one)[names.TAG_ROLE] == failing:
            body = {"phase": "failed", "error": "ctr: write: no space left on device\n"}
        if said.get(one["InstanceId"]) == json.dumps(body):
            continue
        said[one["InstanceId"]] = json.dumps(body)
        cloud.client("s3", reads=True).put_object(
            Bucket=who.bucket,
            Key=f"{who.reports}/{one['InstanceId']}.json",
            Body=json.dumps(body).encode(),
        )


def keeping(cloud: Aws, who: Identity) -> dict[str, Any] | None:
    """Play the controller's boot: format the volume of its state, and wait until it is marked."""
    told = record.read_object(cloud, who, STATE)
    if told is None:
        return None
    order = dict(line.split("=") for line in told.decode().splitlines())
    state = {"volume": order["id"], "phase": "made"}
    if order["marked"] == "no":
        return {"phase": "waiting for its state volume", "state": state, "cluster": None}
    # A disk is seen by the machine that has it, whatever the order says.
    volumes = cloud.pages(
        "ec2", "describe_volumes", "Volumes",
        Filters=[{"Name": "volume-id", "Values": [order["id"]]}],
    )  # fmt: skip
    if [one["State"] for one in volumes] != ["in-use"]:
        return {"phase": "waiting for its state volume", "state": {}, "cluster": None}
    if record.read_object(cloud, who, BEGUN) is None:
        body = f"{order['id']} i-0 2026-11-22T00:00:00Z\n".encode()
        cloud.client("s3", reads=True).put_object(Bucket=who.bucket, Key=BEGUN, Body=body)
    return {"state": {**state, "phase": "mounted"}}


def served(cloud: Aws, who: Identity) -> dict[str, Any] | None:
    """Play the volume server: format what is ours, serve what is marked or given, and grow it."""
    told = record.read_object(cloud, who, VOLUME)
    if told is None or b"id=fs-" in told:
        return None
    order = dict(line.split("=") for line in told.decode().splitlines())
    volumes = cloud.pages(
        "ec2", "describe_volumes", "Volumes",
        Filters=[{"Name": "volume-id", "Values": [order["id"]]}],
    )  # fmt: skip
    if not volumes:
        return None  # destroyed, and its machine is going
    (volume,) = volumes
    found = {"volume": order["id"], "made": True, "size": 0, "free": 0, "reason": "", "error": ""}
    if volume["State"] != "in-use":
        return {**found, "phase": "waiting", "made": False}
    if "yes" not in (order["given"], order["marked"]):
        return {**found, "phase": "made"}
    size = volume["Size"] << 30
    return {**found, "phase": "serving", "size": size - 12345, "free": 1 << 30, "filled": size}


@contextmanager
def running(
    folder: Path, chosen: Settings = QUICK, pauses: wait.Pauses | None = None
) -> Iterator[World]:
    """Start an empty account; with *pauses*, time is theirs, there and for the CLI."""
    listener = socket.create_server(("127.0.0.1", 0))
    tls = certified(folder)
    started = server.start(
        listeners=[listener], tls=tls, settings=chosen, state_dir=folder / "aws",
        clock=pauses.clock if pauses else time.time,
    )  # fmt: skip
    keys = started.user_credentials()
    port = listener.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_CA_BUNDLE", str(folder / "ca.pem"))
        patch.setattr(socket, "getaddrinfo", led_to(listener.getsockname()))
        patch.setenv("AWS_ACCESS_KEY_ID", keys.access_key_id)
        patch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_access_key)
        patch.setenv("AWS_REGION", "eu-west-1")
        patch.setenv("AWS_CONFIG_FILE", str(folder / "no-config"))
        patch.setenv("CLUSTEROUS_HOME", str(folder / "home"))
        # Calls are counted, and processes die at one of them: time must not add any.
        patch.setattr(lock, "RENEWED", 3600.0)
        patch.setattr(boto3.Session, "client", shared())
        try:
            fresh = Aws(boto3.Session(), "eu-west-1")
            kept = (lambda: pauses) if pauses else wait.Pauses
            yield World(server=started, cloud=fresh, folder=folder, port=port, tls=tls, pauses=kept)
        finally:
            started.close()


def shared() -> Callable[..., Any]:
    """Give sessions of the same keys the same clients, which cost more than all that they ask."""
    make, made = boto3.Session.client, dict[Any, Any]()

    def client(session: Any, service: str, **options: Any) -> Any:
        keys, how = session.get_credentials(), options["config"]
        who = (keys.method, *keys.get_frozen_credentials()) if keys else None
        said = sorted(one for one in os.environ.items() if one[0].upper().endswith("_PROXY"))
        key = (who, service, options["region_name"], how.read_timeout, str(how.retries), str(said))
        if key not in made:
            made[key] = make(session, service, **options)
        return made[key]

    return client


@contextmanager
def registry(world: World) -> Iterator[None]:
    """Let the account's image registry answer, too: a real one, behind ECR's tokens and rules."""
    program = programs.path("docker-registry")
    assert program
    listener = socket.create_server(("127.0.0.1", 0))
    address, resolve = listener.getsockname(), socket.getaddrinfo

    def getaddrinfo(host: str, port: Any, *args: Any, **kwargs: Any) -> Any:
        if ".dkr.ecr." not in str(host):
            return resolve(host, port, *args, **kwargs)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)]

    storage = world.folder / "registry"
    started = ecr.start(listener, world.tls, Path(program), storage, world.server)
    world.server.ecr_image_deleted = started.delete
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        try:
            yield
        finally:
            started.close()


def password(world: World) -> str:
    """Return what `aws ecr get-login-password` prints."""
    (given,) = world.cloud.call("ecr", "get_authorization_token")["authorizationData"]
    return base64.b64decode(given["authorizationToken"]).decode().removeprefix("AWS:")


def empty_registry(world: World) -> None:
    """Remove all images, and the repositories that they are in."""
    for one in world.cloud.call("ecr", "describe_repositories")["repositories"]:
        world.cloud.call(
            "ecr", "delete_repository", repositoryName=one["repositoryName"], force=True
        )


def led_to(address: tuple[str, int]) -> Callable[..., Any]:
    """Resolve the names that AWS has to *address*, port and all; nothing else."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str, port: Any, *args: Any, **kwargs: Any) -> Any:
        if not str(host).endswith(".amazonaws.com"):
            return resolve(host, port, *args, **kwargs)
        if regions.is_nowhere(host):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)]

    return getaddrinfo


def certified(folder: Path) -> ssl.SSLContext:
    """Make a certificate for AWS's names, which clients are told to trust."""
    hosts = ["iam.amazonaws.com", "*.s3.amazonaws.com", "s3.amazonaws.com"]
    for region in REGIONS:
        regional = f"{region}.amazonaws.com"
        hosts += [f"*.{regional}", f"*.s3.{regional}", f"api.ecr.{regional}"]
        hosts += [f"api.pricing.{regional}", f"*.dkr.ecr.{regional}"]
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*hosts).configure_cert(context)
    return context


def die_after(world: World, count: int) -> Callable[[], int]:
    """Let the CLI die at its mutating call number *count*; return a function that counts them."""
    lock, made = threading.Lock(), [0]
    call = world.cloud.call

    def counted(service: str, action: str, **params: Any) -> Any:
        reads = ("describe_", "get_", "list_", "head_")
        if not action.startswith(reads):
            with lock:
                made[0] += 1
                if made[0] > count:
                    raise Killed
        return call(service, action, **params)

    world.cloud.call = counted  # type: ignore[method-assign]
    return lambda: made[0]

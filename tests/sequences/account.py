"""An account in which sequences happen: what is typed there, and what befalls what is there."""

import contextlib
import io
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli import main
from clusterous_cli.boot.templates import datastore
from clusterous_cli.cluster import config, record
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import as_items, tags_of
from clusterous_cli.system import wait
from clusterous_cli.turns import journal
from tests.functional import cloud
from tests.region.aws.settings import Settings
from tests.sequences import model, seen, steps
from tests.sequences.files import NAME, File
from tests.sequences.model import Account
from tests.sequences.seen import Seen
from tests.sequences.steps import Step
from tests.sequences.wire import Wire

WHO: Final = Identity(name=NAME, account="123456789012", region="eu-west-1")
CLUSTER: Final = ("--cluster", NAME)
# What is signed is signed by a clock that does not leap; a volume is changed as often as one likes.
SETTINGS: Final = replace(cloud.QUICK, clock_skew=1e9, volume_modifications_a_day=1000)
STOPPED: Final = 128  # and the number of the signal


class Time:
    """A time that leaps on wherever somebody waits, for AWS and all that is typed."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        return time.time() + self._ahead

    def leap(self, seconds: float) -> None:
        with self._lock:
            self._ahead += seconds


class Stage:
    """The account, a folder with a cluster file, and machines that speak while they are waited for.

    *said* is what the commands of a step told.
    """

    def __init__(self, world: cloud.World, folder: Path, time: Time, wire: Wire) -> None:
        self.world = world
        self.said = ""
        self._folder = folder
        self._time = time
        self._wire = wire
        self._file: ClusterConfig | None = None
        self._dies: int | None = None
        self._spoken: dict[str, str] = {}

    def empty(self) -> None:
        """Begin anew."""
        self.world.server.reset()
        self._wire.forget()
        for path in (self.world.folder / "home").glob("**/*"):
            if path.is_file():
                path.unlink()

    def look(self) -> Seen:
        """Look into the store."""
        return seen.look(self.world.server)

    def record(self) -> ClusterConfig | None:
        """Return what the cluster's record says is wanted."""
        kept = record.read(self.world.cloud, WHO)
        return ClusterConfig.from_record(kept["config"]) if kept else None

    # -- how commands find the world ----------------------------------------------------------

    def connect(self, *_: Any) -> Any:
        """Open a session for a command, which may die in it."""
        self.world.cloud = cloud.renewed(self.world.cloud)
        if self._dies is not None:
            cloud.die_after(self.world, self._dies)
        return self.world.cloud

    def pauses(self) -> type[wait.Pauses]:
        """Return the class of what a command waits by."""
        stage = self

        class Pauses(_Pauses):
            def __init__(self) -> None:
                super().__init__(stage._time, stage._speak)

        return Pauses

    def _speak(self) -> None:
        """Let all machines say how they are, while a command waits."""
        if self._file is None:
            return
        with contextlib.suppress(ClientError):  # their cluster is being destroyed
            cloud.report(self.world.cloud, self._file, self._spoken)

    # -- what happens ---------------------------------------------------------------------------

    def carry_out(self, account: Account, step: Step) -> int:
        """Let a step happen; return the exit code of what was typed last."""
        self.said = ""
        match step:
            case steps.Create(file=file, dies=dies):
                argv = ["create", *(self._beside(account, file)), "--yes"]
                return self._typed(argv, dies)
            case steps.Add(pool=pool, count=count):
                return self._typed(["add-nodes", str(count), pool, *CLUSTER, "--yes"])
            case steps.Remove(pool=pool, count=count):
                return self._typed(["rm-nodes", str(count), pool, *CLUSTER, "--yes"])
            case steps.RemoveNamed(pool=pool, replaces=replaces):
                id = account.cluster and model.oldest(account.cluster, pool)
                more = ["--replace"] if replaces else []
                return self._typed(["rm-nodes", id or "i-0", *CLUSTER, "--yes", *more])
            case steps.Snapshot():
                return self._typed(["volume", "snapshot", *CLUSTER])
            case steps.RestoreVolume():
                return self._typed(self._restored(account))
            case steps.RestoreState():
                self._save()
                return self._typed(["snapshot", "restore", "newest", *CLUSTER, "--confirm"])
            case steps.Destroy(option=option, dies=dies):
                return self._typed(["destroy", NAME, "--yes", *option.split()], dies)
            case steps.Earlier(zone=zone):
                return self._left(f"{WHO.region}{zone}")
        if account.cluster is None:
            return model.REFUSED  # there is nothing that could be hurt
        self._hurt(account, step)
        return model.DONE

    def _beside(self, account: Account, file: File | None) -> Sequence[str]:
        self._file = self.record()
        if file is None:
            return CLUSTER
        text = model.named(account, file).text
        (self._folder / "clusterous.yaml").write_text(text)
        with contextlib.suppress(UserError):
            self._file = config.parse(text)
        return ["clusterous.yaml"]

    def _restored(self, account: Account) -> list[str]:
        *_, copy = account.copies or ["snap-0123456789abcdef0"]
        there = account.cluster or account.copies.get(copy)
        zone = there.zone if there else "a"
        return ["volume", "restore", copy, "--zone", zone, *CLUSTER]

    def _typed(self, argv: Sequence[str], dies: int | None = None) -> int:
        """Type a command; one that is to die is typed twice."""
        if dies is not None:
            self._dies = dies
            try:
                self._run(argv)
            except cloud.Killed:
                self.world.renew()
            finally:
                self._dies = None
        return self._run(argv)

    def _run(self, argv: Sequence[str]) -> int:
        if argv[0] != "create":
            self._file = self.record()
        self._spoken.clear()
        told = io.StringIO()
        try:
            with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
                code = main.run([*argv, "--quiet"])
        finally:
            self.said += f"$ clusterous {' '.join(argv)}\n{told.getvalue()}"
        if code > STOPPED:  # by whoever waits for all of this to end
            raise KeyboardInterrupt
        return code

    # -- by hand --------------------------------------------------------------------------------

    def _left(self, zone: str) -> int:
        tags = {names.TAG_KEPT: NAME, names.TAG_FORMATTED: "xfs"}
        self.ec2(
            "create_volume", AvailabilityZone=zone, Size=steps.EARLIER_GIB, VolumeType="gp3",
            TagSpecifications=[{"ResourceType": "volume", "Tags": as_items(tags)}],
        )  # fmt: skip
        self._time.leap(1.0)
        return model.DONE

    def _hurt(self, account: Account, step: Step) -> None:
        match step:
            case steps.Kill(what=what) if what in steps.GROUND:
                TAKEN[what](self)
            case steps.Kill(what=what):
                self._end(what)
            case steps.SwitchOff():
                if ids := self._ids("controller"):
                    self.ec2("stop_instances", InstanceIds=ids)
            case steps.LoseVolume():
                self._lose(account)
        self._time.leap(1.0)  # what was ended has ended

    def ec2(self, action: str, **params: Any) -> Any:
        return self.world.cloud.call("ec2", action, **params)

    def own(self, action: str, key: str, role: str = "") -> list[dict[str, Any]]:
        """List what AWS has of the cluster's, of one role or all."""
        which = [{"Name": f"tag:{names.TAG_UID}", "Values": [WHO.uid]}]
        listed = self.world.cloud.pages("ec2", action, key, Filters=which)
        return [one for one in listed if role in ("", tags_of(one).get(names.TAG_ROLE))]

    def _ids(self, pool: str) -> list[str]:
        return sorted(self.look().machines.get(pool, ()))

    def _end(self, pool: str) -> None:
        if ids := self._ids(pool):
            self.world.end(*ids)

    def _lose(self, account: Account) -> None:
        cluster = account.cluster
        there = account.volumes.get(cluster.volume or "") if cluster else None
        if cluster is None or there is None or there.type != "ebs":
            return
        self._end("controller")
        wait.until(
            lambda: self.look().disks[str(cluster.volume)].holder is None or None,
            "Ending", self.pauses()(), timeout=60,
        )  # fmt: skip
        self.ec2("delete_volume", VolumeId=cluster.volume)

    def _save(self) -> None:
        """Play the controller's saving: a snapshot of a datastore in which nothing is."""
        if self.record() is None:
            return
        base, token = self._folder / "state.db", self._folder / "token"
        with closing(sqlite3.connect(base)) as made:
            made.execute("CREATE TABLE IF NOT EXISTS kine (id INTEGER PRIMARY KEY)")
        token.write_text("a-token")
        name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._time.now()))
        k3s = ClusterConfig(name=NAME).k3s
        facts = {"taken": name, "cluster": NAME, "uid": WHO.uid, "k3s": k3s, "volume": ""}
        datastore.save(base, token, self._folder / "snapshot", facts)
        self.world.cloud.call(
            "s3", "put_object", Bucket=WHO.bucket, Key=f"snapshots/asked/{name}.tar.gz",
            Body=(self._folder / "snapshot").read_bytes(),
        )  # fmt: skip

    def clear(self, account: Account) -> None:
        """Remove what was kept, by the command for it."""
        for id in (*account.kept, *account.copies):
            self._typed(["rm-volume", id, "--confirm"])


class _Pauses(wait.Pauses):
    """What a command waits by: the time leaps, and machines speak."""

    def __init__(self, time: Time, speak: Any) -> None:
        super().__init__(clock=time.now)
        self._time, self._speak = time, speak

    def sleep(self, seconds: float) -> None:
        self._time.leap(seconds)
        if threading.current_thread() is threading.main_thread():
            super().sleep(0.0)
            self._speak()
        else:
            super().sleep(min(seconds, 0.01))


def _nat_gateway(stage: Stage) -> None:
    for one in stage.own("describe_nat_gateways", "NatGateways"):
        if one["State"] == "available":
            stage.ec2("delete_nat_gateway", NatGatewayId=one["NatGatewayId"])


def _rules(stage: Stage) -> None:
    for one in stage.own("describe_security_groups", "SecurityGroups", "worker-group"):
        if one["IpPermissions"]:
            rules = one["IpPermissions"]
            stage.ec2("revoke_security_group_ingress", GroupId=one["GroupId"], IpPermissions=rules)


def _endpoint(stage: Stage) -> None:
    for one in stage.own("describe_vpc_endpoints", "VpcEndpoints"):
        stage.ec2("delete_vpc_endpoints", VpcEndpointIds=[one["VpcEndpointId"]])


def _role_policy(stage: Stage) -> None:
    role = WHO.role("worker")
    stage.world.cloud.find("iam", "delete_role_policy", RoleName=role, PolicyName="clusterous")


def _bucket_policy(stage: Stage) -> None:
    stage.world.cloud.call("s3", "delete_bucket_policy", Bucket=WHO.bucket)


TAKEN: Final = {
    "nat gateway": _nat_gateway,
    "rules": _rules,
    "endpoint": _endpoint,
    "role policy": _role_policy,
    "bucket policy": _bucket_policy,
}


@contextmanager
def opened(folder: Path, settings: Settings = SETTINGS) -> Iterator[Stage]:
    """Open an empty account, and a folder in which commands are typed."""
    time = Time()
    before = Path.cwd()
    with cloud.running(folder, settings, _Pauses(time, lambda: None)) as world:
        wire = Wire(world.server.world)
        stage = Stage(world, folder, time, wire)
        with pytest.MonkeyPatch.context() as patch:
            wire.laid(world.cloud.session._session, patch)
            cloud.typing(patch, world)
            _play(patch, stage)
            os.chdir(folder)
            try:
                yield stage
            finally:
                os.chdir(before)


def _play(patch: pytest.MonkeyPatch, stage: Stage) -> None:
    """Let commands find what is not AWS as it is played here."""
    nothing = SimpleNamespace(findings=dict)  # doctor's checks are no part of this
    patch.setattr(wait, "Pauses", stage.pauses())  # a class: what is imported later names it
    patch.setattr(journal, "SECONDS", 3600.0)  # calls are counted: time must not add any
    patch.setattr("clusterous_cli.aws.client.connect", stage.connect)
    patch.setattr("clusterous_cli.commands.changing.examined", lambda *_: nothing)
    patch.setattr("clusterous_cli.commands.opening.unflushed", lambda cluster: "")
    cloud.reached(patch)

"""The simulated AWS as one object: start it on sockets, look into it, close it."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.region.aws import (
    control,
    ec2_models,
    ec2_volumes,
    ecr,
    efs,
    gate,
    iam,
    known,
    leftovers,
    moments,
    s3,
    snapshot,
    store,
    world,
)
from tests.region.aws.keys import Credentials, Identity
from tests.region.aws.listener import Listener
from tests.region.aws.log import Call
from tests.region.aws.moments import Moment
from tests.region.aws.request import Answer, Request
from tests.region.aws.settings import Settings
from tests.region.aws.view import Snapshot


def start(
    *,
    listeners: Sequence[socket.socket],
    tls: ssl.SSLContext | None,
    settings: Settings,
    state_dir: Path,
    clock: Callable[[], float] = time.time,
) -> AwsServer:
    """Start an empty AWS account that answers on *listeners*; one at a time per process."""
    return AwsServer(listeners, tls, settings, state_dir, clock)


class AwsServer:
    def __init__(
        self,
        listeners: Sequence[socket.socket],
        tls: ssl.SSLContext | None,
        settings: Settings,
        state_dir: Path,
        clock: Callable[[], float],
    ) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self.world = world.make(settings, clock, state_dir)
        world.enter(self.world)
        self._install()
        self._cached: Snapshot | None = None
        self._closed = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="aws-time", daemon=True)
        self._ticker.start()
        self._control = control.Control(self)
        self._listeners = [
            Listener(each, tls, self._handle, self._control.answer, lambda: self.world.clock())
            for each in listeners
        ]

    def _install(self) -> None:
        known.install()
        ec2_models.install()
        ec2_volumes.install()
        efs.install()
        self._empty()

    def _empty(self) -> None:
        with self.world.lock:
            store.reset()
            iam.load_managed_policies()
            store.ec2()
            shutil.rmtree(self.world.state_dir / "s3", ignore_errors=True)
            s3.reset(self.world)

    def _handle(self, request: Request) -> Answer:
        return gate.handle(self.world, request)

    def _tick(self) -> None:
        """Let time pass even when nobody calls, so that whoever waits for a change is told."""
        while not self._closed.wait(0.1):
            with self.world.lock:
                self.world.timers.run_due()

    # --- looking ---------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return the present state; the same object as long as nothing has changed."""
        cached = self._cached
        fresh = cached is not None and cached.generation == self.world.changes.generation
        if cached is not None and fresh and not self.world.timers.is_due():
            return cached
        with self.world.lock:
            self.world.timers.run_due()
            self._cached = snapshot.take(self.world)
            return self._cached

    def wait_for_change(self, after: int, timeout: float) -> int:
        return self.world.changes.wait(after, timeout)

    def log(self) -> list[Call]:
        return self.world.log.calls()

    def leftovers(self) -> list[str]:
        """Return all that costs, is tagged or is not as a fresh account has it."""
        with self.world.lock:
            self.world.timers.run_due()
            return leftovers.find(self.world)

    # --- identities --------------------------------------------------------------------------

    def user_credentials(self) -> Credentials:
        return self.world.user

    def credentials(self, role_name: str, instance_id: str) -> Credentials:
        """Issue temporary keys for *role_name*'s session on *instance_id*, as IMDS hands out."""
        with self.world.lock:
            role = next(r for r in store.iam().roles.values() if r.name == role_name)
            identity = Identity(
                account=self.world.settings.account,
                role=role_name,
                session=instance_id,
                user_id=str(role.id),
            )
        until = self.world.clock() + self.world.settings.credential_seconds
        return self.world.keys.issue_temporary(identity, until)

    # --- machines ----------------------------------------------------------------------------

    def machine_started(self, instance_id: str) -> None:
        """Note that a machine runs: a stop then waits until it reports that it is off."""
        self.world.machines.add(instance_id)

    def machine_stopped(self, instance_id: str) -> None:
        """The guest has powered off, of itself or because it was told to; or it never ran."""
        with self.world.lock:
            instance = store.ec2().get_instance_by_id(instance_id)
            if instance is None:
                return
            asked = instance._state.name not in ("running", "pending")
            launched = instance_id in self.world.machines
            if not asked and not launched:
                ec2_models.end(instance, "Server.InternalError: Internal error on launch")
            elif not asked and instance.instance_initiated_shutdown_behavior == "terminate":
                ec2_models.end(
                    instance, "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
                )
            else:
                ec2_models.finish_stop(instance)
        self.world.changes.bump()

    @property
    def console(self) -> Callable[[str], str]:
        return self.world.console

    @console.setter
    def console(self, value: Callable[[str], str]) -> None:
        self.world.console = value

    @property
    def volume_held(self) -> Callable[[str], bool]:
        return self.world.volume_held

    @volume_held.setter
    def volume_held(self, value: Callable[[str], bool]) -> None:
        self.world.volume_held = value

    # --- the registry ------------------------------------------------------------------------

    def ecr_check(self, token: str) -> bool:
        """Whether *token* (the password, or the whole base64 of `AWS:password`) is good now."""
        return ecr.caller(self.world, token) is not None

    def ecr_allowed(self, token: str, action: str, repository: str) -> bool:
        """Whether the caller behind *token* may do `ecr:`*action* on *repository*."""
        return ecr.allowed(self.world, token, action, repository)

    def ecr_repository_exists(self, name: str) -> bool:
        return ecr.exists(self.world, name)

    def ecr_fixed_digest(self, repository: str, tag: str) -> str | None:
        return ecr.fixed_digest(self.world, repository, tag)

    def ecr_put_image(
        self, repository: str, tag: str | None, digest: str, manifest: bytes, media_type: str
    ) -> None:
        ecr.put_image(self.world, repository, tag, digest, manifest, media_type)

    @property
    def ecr_image_deleted(self) -> Callable[[str, str, str | None], None]:
        return self.world.ecr_image_deleted

    @ecr_image_deleted.setter
    def ecr_image_deleted(self, value: Callable[[str, str, str | None], None]) -> None:
        self.world.ecr_image_deleted = value

    # --- ends --------------------------------------------------------------------------------

    def reset(self) -> None:
        """Make the account empty again; keys and settings stay."""
        with self.world.lock:
            self.world.timers.clear()
            self.world.faults.clear()
            self.world.born.clear()
            self.world.tokens.clear()
            self.world.machines.clear()
            self._empty()
        self.world.log.clear()
        self.world.changes.bump()

    def keep(self, folder: Path) -> Moment | None:
        """Return the account as it is, what S3 holds in a new *folder*; None if something waits."""
        with self.world.lock:
            return moments.keep(self.world, folder)

    def bring_back(self, moment: Moment) -> None:
        """Make the account again what it was at *moment*; keys and settings stay."""
        self.reset()
        with self.world.lock:
            moments.bring_back(self.world, moment)

    def close(self) -> None:
        self._closed.set()
        for listener in self._listeners:
            listener.close()
        self._ticker.join(5)
        self.world.log.close()

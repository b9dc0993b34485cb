"""The state of the simulated AWS that is not moto's: settings, time, keys, log, faults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.region.aws.faults import Faults
from tests.region.aws.keys import Credentials, Identity, Keys
from tests.region.aws.log import Log
from tests.region.aws.s3_store import Buckets
from tests.region.aws.settings import Settings
from tests.region.aws.states import Changes, Timers


@dataclass(slots=True, kw_only=True)
class World:
    """*lock* guards moto's store, which knows no threads; S3's object data needs no lock.

    *born* holds when a resource's id was first told (eventual consistency), *machines* the
    instances whose machine has reported that it runs, *params* the request being carried out.
    """

    settings: Settings
    clock: Callable[[], float]
    state_dir: Path
    log: Log
    keys: Keys
    faults: Faults
    changes: Changes
    timers: Timers
    user: Credentials
    lock: threading.RLock = field(default_factory=threading.RLock)
    console: Callable[[str], str] = field(default=lambda _: "")
    volume_held: Callable[[str], bool] = field(default=lambda _: False)
    ecr_image_deleted: Callable[[str, str, str | None], None] = field(
        default=lambda _repository, _digest, _tag: None
    )
    born: dict[str, float] = field(default_factory=dict)
    machines: set[str] = field(default_factory=set)
    tokens: dict[Any, Any] = field(default_factory=dict)
    ecr_tokens: dict[str, tuple[Identity, float]] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    buckets: Buckets = field(init=False)
    last_ip: int = 0


def make(settings: Settings, clock: Callable[[], float], state_dir: Path) -> World:
    keys = Keys()
    changes = Changes()
    user = Identity(account=settings.account, user=settings.user, user_id="AIDA4REGIONEXAMPLEYOU")
    return World(
        settings=settings,
        clock=clock,
        state_dir=state_dir,
        log=Log(state_dir / "logs" / "aws.jsonl"),
        keys=keys,
        faults=Faults(),
        changes=changes,
        timers=Timers(clock, changes),
        user=keys.issue(user),
    )


_current: World | None = None


def enter(world: World | None) -> None:
    """Make *world* the one that moto's patched models belong to: moto's store is global too."""
    global _current
    _current = world


def current() -> World:
    if _current is None:
        raise RuntimeError("no simulated AWS is running in this process")
    return _current

"""An account as it was at a moment, kept so that one can begin from there again and again."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.region.aws import store
from tests.region.aws.log import Call
from tests.region.aws.s3_store import Bucket
from tests.region.aws.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What there was at *time*; the objects' bodies are in *folder*. Nothing was under way."""

    time: float
    folder: Path
    backends: Mapping[str, Any]
    buckets: Mapping[str, Bucket]
    calls: Sequence[Call]
    born: Mapping[str, float]
    tokens: Mapping[Any, Any]
    machines: frozenset[str]


def keep(world: World, folder: Path) -> Moment | None:
    """Return the present, with the objects' bodies in a new *folder*; None if something waits.

    The caller holds the region's lock.
    """
    world.timers.run_due()
    if world.timers.waits():
        return None
    _link(_bodies(world), folder)
    return Moment(
        time=world.clock(),
        folder=folder,
        # Resources of one service hold those of another: they are copied together.
        backends=copy.deepcopy(store.kept()),
        buckets=copy.deepcopy(world.buckets.kept()),
        calls=tuple(world.log.calls()),
        born=dict(world.born),
        tokens=dict(world.tokens),
        machines=frozenset(world.machines),
    )


def bring_back(world: World, moment: Moment) -> None:
    """Make *moment* the present of an account that was emptied; objects are as old as then."""
    store.put_back(copy.deepcopy(moment.backends))
    shutil.rmtree(_bodies(world), ignore_errors=True)
    _link(moment.folder, _bodies(world))
    world.buckets.put_back(copy.deepcopy(moment.buckets), world.clock() - moment.time)
    world.born.update(moment.born)
    world.tokens.update(moment.tokens)
    world.machines.update(moment.machines)
    for call in moment.calls:
        world.log.add(call)
    world.changes.bump()


def _bodies(world: World) -> Path:
    return world.state_dir / "s3"


def _link(source: Path, target: Path) -> None:
    """Copy a folder; files are never changed once made, so that they may be the same ones."""
    shutil.copytree(source, target, copy_function=os.link)

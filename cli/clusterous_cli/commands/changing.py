"""What commands share that change a cluster: which machines are meant, and carrying it out."""

import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from clusterous_api import names
from clusterous_api.errors import ClusterousError, UserError
from clusterous_cli.aws import client
from clusterous_cli.cluster import local, record
from clusterous_cli.cluster.config import FIGURES, ClusterConfig, Pool, VolumeType, without_volume
from clusterous_cli.cluster.record import Cluster, Node
from clusterous_cli.program.convert import dns_label
from clusterous_cli.system import wait
from clusterous_cli.terminal import options, spell
from clusterous_cli.terminal.screen import Ui

if TYPE_CHECKING:
    from clusterous_cli.checks.check import Finding
    from clusterous_cli.checks.examination import Examination
    from clusterous_cli.plan import cost
    from clusterous_cli.plan.design import Design
    from clusterous_cli.plan.machines.leaving import Drain


BY_FILE: Final = (
    "It comes by `master: {type: …}` in the cluster file and goes by `master: none`;"
    " rm-nodes master --replace puts a new one in the place of a sick one."
)


def pool(config: ClusterConfig, name: str | None) -> Pool:
    """Return the pool that is meant: *name*, as environment files have it, or the only one."""
    known = {one.name: one for one in config.workers}
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name is None:
        raise UserError(f"{config.name} has the pools {', '.join(known)}: say which.")
    if (label := dns_label(name)) in known:
        return known[label]
    if label == names.POOL_MASTER:
        raise UserError(f"There is one machine for masters. {BY_FILE}")
    raise UserError(f"{config.name} has no pool {name}; it has {', '.join(known)}.")


def amount(words: Sequence[str], count: int | None) -> tuple[int, str | None]:
    """Return how many machines of which pool *words* mean, such as `2 cpu` or `cpu`."""
    numbers = [_number(word) for word in words if word.isdecimal()]
    names = [word for word in words if not word.isdecimal()]
    numbers += [] if count is None else [count]
    if len(numbers) > 1 or len(names) > 1:
        raise UserError("Say one number and one pool at most, such as: add-nodes 2 cpu")
    number = numbers[0] if numbers else 1
    if number < 1:
        raise UserError(f"{number} machines are none: say 1 or more.")
    return number, names[0] if names else None


def _number(word: str) -> int:
    """Read a number of digits; Python itself reads none of thousands of them."""
    if len(word) > 9:
        raise UserError(f"{word[:9]}… machines are too many.")
    return int(word)


def grown(config: ClusterConfig, words: str) -> ClusterConfig:
    """Return the configuration with a shared volume of the size that *words* mean: 100, 2TiB."""
    if config.volume.type is VolumeType.NONE:
        raise without_volume(config.name)
    if not config.volume.served:
        raise UserError(
            "The shared volume is on EFS: it grows and shrinks with its data, by itself."
        )
    read = re.fullmatch(r"([0-9]{1,6}) ?(?:([gt])(?:i?b)?)?", words.lower())
    if read is None:
        raise UserError(f"{words!r} is no size; say GiB, such as: clusterous volume grow 100")
    size = int(read[1]) * (1024 if read[2] == "t" else 1)
    low, high, _ = FIGURES["size"]
    if not low <= size <= high:
        raise UserError(f"{size} GiB cannot be had: a volume has {low} to {high}.")
    return replace(config, volume=replace(config.volume, size=size))


def checked(config: ClusterConfig) -> ClusterConfig:
    """Refuse what a cluster file with these numbers would be refused for."""
    if words := config.too_many():
        raise UserError(f"{words}. Nothing was changed.")
    return config


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is wanted when machines come or leave, and the *ids* of those that were named.

    *unfinished*: what the record is to tell until it is done; *goes_on*: it tells so already.
    """

    config: ClusterConfig
    ids: frozenset[str] = frozenset()
    unfinished: Mapping[str, Any] | None = None
    goes_on: bool = False


def by(kept: Mapping[str, Any], one: Pool, number: int) -> Chosen:
    """Return what is wanted with *number* more machines in a pool, or fewer. Pure.

    *kept* is the record. The same change that was begun and has not ended is gone on with: it is
    not made twice.
    """
    before = ClusterConfig.from_record(kept["config"])
    unfinished = {"pool": one.name, "by": number}
    if kept.get("unfinished") == unfinished:
        return Chosen(config=before, unfinished=unfinished, goes_on=True)
    if one.count + number < 0:
        raise UserError(f"{one.spelled}: {-number} are to go, and {one.count} are wanted.")
    config = before.changed(one.name, count=one.count + number)
    return Chosen(config=config, unfinished=unfinished)


def leaving(
    cloud: client.Aws,
    kept: Mapping[str, Any],
    words: Sequence[str],
    count: int | None,
    *,
    replace: bool,
) -> Chosen:
    """Return what `rm-nodes` is to do; machines that are leaving already are not counted again."""
    before = ClusterConfig.from_record(kept["config"])
    if not words and count is None:
        return Chosen(config=before)
    if count is not None or any(word.isdecimal() for word in words):
        number, name = amount(words, count)
        one = pool(before, name)
        if replace:
            raise UserError(
                "--replace takes the names of machines, which `clusterous status` shows."
            )
        return by(kept, one, -number)
    cluster = record.open_cluster(before.name, cloud)
    going = set(cluster.record.get("leaving", ()))
    config, named = before, [_machine(cluster.nodes, word) for word in words]
    if not replace and any(node.pool == names.POOL_MASTER for node in named):
        raise UserError(f"The machine for masters is no worker. {BY_FILE}")
    for node in {node.instance_id: node for node in named}.values():
        if node.instance_id not in going and not replace and node.pool in _counts(config):
            fewer = max(_counts(config)[node.pool] - 1, 0)
            config = config.changed(node.pool, count=fewer)
    return Chosen(config=config, ids=frozenset(node.instance_id for node in named))


def _counts(config: ClusterConfig) -> dict[str, int]:
    return {one.name: one.count for one in config.workers}


def _machine(nodes: Sequence[Node], word: str) -> Node:
    found = [one for one in nodes if word in (one.name, one.instance_id, one.node_name)]
    workers = [one for one in nodes if one.role == names.ROLE_WORKER]
    if not found:
        there = ", ".join(one.name for one in workers) or "none"
        raise UserError(f"There is no machine {word}; workers are: {there}.")
    if found[0] not in workers:
        raise UserError(
            f"{word} serves the cluster itself: only workers are removed. `clusterous create`"
            " replaces what is lost."
        )
    return found[0]


def examined(cloud: client.Aws, config: ClusterConfig) -> "Examination":
    """Begin the checks that no plan makes, beside which the plan is drawn."""
    from clusterous_cli.checks import approach, table
    from clusterous_cli.checks.check import Place
    from clusterous_cli.checks.examination import Examination

    place = Place(approach=approach.reach(cloud), cloud=cloud, config=config, thorough=False)
    return Examination(place, [one for one in table.ALL if not one.drawn])


def heeded(screen: Ui, found: "Mapping[str, Finding]", skipped: Sequence[str] = ()) -> None:
    """Stop for what failed, and pass the warnings on; what is not known is no reason for either.

    What is *skipped* is only passed on.
    """
    from clusterous_cli.checks import examination, table
    from clusterous_cli.checks.check import Mark
    from clusterous_cli.output import findings

    known = [one.name for one in table.ALL]
    if unknown := [name for name in skipped if name not in known]:
        raise UserError(f"There is no check {unknown[0]!r}; there are: {', '.join(known)}.")
    counted = {name: one for name, one in found.items() if name not in skipped}
    if failed := examination.failures(counted):
        skip = " ".join(f"--skip-check {shlex.quote(name)}" for name in failed)
        raise UserError(f"{findings.failed(counted)}\nWhere that is wrong, {skip} goes on.")
    for name, one in found.items():
        if one.mark in (Mark.WARNING, Mark.FAILURE):
            screen.warn(f"  ! {findings.sentence(name, one)}")


def logs_lost(cloud: client.Aws, config: ClusterConfig, leaving: Collection[str]) -> str:
    """Say what central logging loses with the machines of these ids; nothing where nobody knows."""
    from clusterous_cli.program.central import disks
    from clusterous_cli.reach import session

    if config.logging is None or not config.logging.store.ours or not leaving:
        return ""
    cluster = record.open_cluster(config.name, cloud)
    names = {one.node_name for one in cluster.nodes if one.instance_id in leaving}
    try:
        return disks.words(disks.ask(session.api_of(cluster)), names)
    except ClusterousError:
        return ""


def carried_out(
    screen: Ui, cloud: client.Aws, drawn: "Design", again: str, *, force: bool = False
) -> Cluster:
    """Carry out a design, and return the cluster as it is then; *again* goes on after Ctrl-C.

    With *force*, machines that leave are not kept by what runs on them.
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.plan import converge
    from clusterous_cli.turns import journal

    who, pauses = drawn.who, wait.Pauses()
    local.remember(who)
    with (
        screen.lines() as lines,
        converge.resumable(pauses, screen, lines, again),
        converge.accounted(cloud, who),
        journal.kept(cloud, who, options.running(), opening.now),
    ):
        whole = converge.with_image(drawn, lines, pauses)
        converge.Create(
            cloud=cloud,
            design=whole,
            lines=lines,
            pauses=pauses,
            drain=draining(cloud, who.name, pauses, force=force),
            breaks=screen.settings.break_lock,
        ).run()
    cluster = record.open_cluster(who.name, cloud)
    screen.tell(f"✓ {who.name} is ready after {spell.duration(screen.passed)}.")
    for words in drawn.plan.unchanged:
        screen.warn(f"  ! {words}")
    return cluster


def shown(screen: Ui, cluster: Cluster, price: "cost.Cost", config: ClusterConfig) -> None:
    """Tell of a cluster whose number of machines was changed, and what its file says otherwise."""
    from clusterous_cli.commands import opening
    from clusterous_cli.output import show

    if not screen.for_people:
        screen.emit(show.cluster_data(cluster, price, opening.now()))
    for words in opening.outdated(config):
        screen.warn(f"  ! {words}")
    screen.hint("Next: clusterous status")


def draining(cloud: client.Aws, name: str, pauses: wait.Pauses, *, force: bool) -> "Drain":
    """Return how machines of the cluster *name* are drained: by its Kubernetes."""

    def drain(nodes: Sequence[Node], tell: Callable[[str], None]) -> Iterator[Node]:
        from clusterous_cli.reach import drain, session

        tell("asking the cluster itself, through its gateway")
        reached = session.link(record.open_cluster(name, cloud))
        steady = wait.Patience(
            mend=reached.tunnel.ensure, tell=tell, clock=pauses.clock, sleep=pauses.sleep
        )
        api = session.api(reached)
        return drain.drained(api, nodes, tell=tell, pauses=pauses, steady=steady, force=force)

    return drain

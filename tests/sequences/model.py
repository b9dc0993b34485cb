"""What comes of each step: which machines, volumes and snapshots an account has then. Pure.

It knows the rules that the pages tell people (docs/cluster-file.md, docs/volumes.md,
docs/controller.md), and nothing of how the product keeps them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from tests.sequences import files, steps
from tests.sequences.files import File
from tests.sequences.steps import Step

# The id of what a step makes: AWS gives the real one.
NEW: Final = "new"
USUAL_ZONE: Final = "eu-west-1a"
GATEWAY: Final = "gateway"
CONTROLLER: Final = "controller"
MASTER: Final = "master"
FIXED: Final = {GATEWAY: "t3.nano", CONTROLLER: "t3.medium"}
DONE, FAILED, REFUSED = 0, 1, 2  # exit codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """Those of a pool: the *ids* of which *fewer* go, whichever, and *more* that come."""

    type: str
    ids: frozenset[str] = frozenset()
    fewer: int = 0
    more: int = 0

    @property
    def count(self) -> int:
        """Return how many there are then."""
        return len(self.ids) - self.fewer + self.more


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A shared volume, whoever's; a file system has no figures and no zone."""

    type: str
    size: int = 0
    iops: int = 0
    throughput: int = 0
    zone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster. *off*: its controller is switched off; *hurt*: something was taken from it.

    *volume* is the id of the shared one, which was *given* or is its own, or is *lost*; *state* is
    the id of the one that the controller's state is on, and *aside* are those of lives before.
    """

    file: File
    zone: str
    machines: Mapping[str, Machines]
    volume: str | None = None
    given: bool = False
    lost: bool = False
    off: bool = False
    hurt: bool = False
    state: str = NEW
    aside: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What there is: *volumes* are all shared ones, the newest last, and those that were kept."""

    cluster: Cluster | None = None
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    copies: Mapping[str, Volume] = field(default_factory=dict)

    @property
    def kept(self) -> list[str]:
        """Return the ids of the volumes that are nobody's, the newest last."""
        used = self.cluster.volume if self.cluster else None
        return [id for id in self.volumes if id != used]


def bound(
    account: Account, machines: Callable[[str, Machines], Machines], *,
    volume: str, copy: str, state: str,
) -> Account:  # fmt: skip
    """Return the account when AWS has given ids to what is new; *machines* are then a pool's."""
    cluster = account.cluster
    if cluster is not None:
        cluster = replace(
            cluster,
            machines={pool: machines(pool, one) for pool, one in cluster.machines.items()},
            volume=volume if cluster.volume == NEW else cluster.volume,
            state=state if cluster.state == NEW else cluster.state,
        )
    return Account(
        cluster=cluster,
        volumes={volume if id == NEW else id: one for id, one in account.volumes.items()},
        copies={copy if id == NEW else id: one for id, one in account.copies.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What comes of a step: the *code* it ends with, and the *account* then.

    *still*: nothing but objects of the bucket may have been written; *silent*: not even those.
    """

    code: int
    account: Account
    still: bool = False
    silent: bool = False


def refused(account: Account, code: int = REFUSED) -> Outcome:
    """Return what comes of a step that is refused: nothing."""
    return Outcome(code=code, account=account, still=True, silent=True)


def after(account: Account, step: Step) -> Outcome:
    """Return what comes of a step."""
    cluster = account.cluster
    match step:
        case steps.Create(file=None):
            return refused(account) if cluster is None else created(account, cluster.file)
        case steps.Create(file=File() as file):
            return created(account, named(account, file))
        case steps.Destroy(option=option):
            return destroyed(account, option)
        case steps.RestoreVolume():
            return _volume_restored(account)
        case steps.Earlier(zone=zone):
            return _volume_made(account, steps.EARLIER_GIB, f"eu-west-1{zone}")
    if cluster is None:
        return refused(account)
    return _of_cluster(account, cluster, step)


def _of_cluster(account: Account, cluster: Cluster, step: Step) -> Outcome:
    file = cluster.file
    match step:
        case steps.Add(pool=pool, count=count):
            if pool not in file.pools:
                return refused(account)
            return created(account, file.counted(pool, file.pools[pool].count + count))
        case steps.Remove(pool=pool, count=count):
            if pool not in file.pools or count > file.pools[pool].count:
                return refused(account)
            return created(account, file.counted(pool, file.pools[pool].count - count))
        case steps.RemoveNamed(pool=pool, replaces=replaces):
            return _named_removed(account, cluster, pool, replaces)
        case steps.Kill(what=what):
            return _done(account, killed(cluster, what))
        case steps.SwitchOff():
            off = bool(cluster.machines[CONTROLLER].ids)
            return _done(account, replace(cluster, off=off, hurt=cluster.hurt or off))
        case steps.Snapshot():
            return _copied(account, cluster)
        case steps.LoseVolume():
            return _volume_lost(account, cluster)
        case steps.RestoreState():
            return _state_restored(account, cluster)
    raise AssertionError(step)


def _done(account: Account, cluster: Cluster) -> Outcome:
    return Outcome(code=DONE, account=replace(account, cluster=cluster))


# -- create -------------------------------------------------------------------------------------


def named(account: Account, file: File) -> File:
    """Put the id of the volume that is meant in the place of the word for it."""
    if file.volume.id != files.KEPT:
        return file
    cluster = account.cluster
    has = cluster.volume if cluster and cluster.given and not cluster.lost else None
    id = has or next(iter(reversed(account.kept)), files.NOWHERE)
    type = "efs" if id.startswith("fs-") else "ebs"
    return replace(file, volume=replace(file.volume, id=id, type=type))


def created(account: Account, file: File, leave: frozenset[str] = frozenset()) -> Outcome:
    """Return what comes of making the cluster as the file has it; *leave* are to go in any case."""
    cluster = account.cluster or Cluster(file=file, zone=_zone(account, file), machines={})
    code = _code(account, cluster, file, leave)
    if code != DONE:
        return refused(account, code)
    machines = _machines(cluster, file, leave)
    id, volumes = _volume(account, cluster, file)
    made = replace(
        cluster, file=file, machines=machines, volume=id, given=file.volume.id is not None,
        lost=False, off=False, hurt=False,
    )  # fmt: skip
    same = account.cluster is not None and volumes == account.volumes and not cluster.hurt
    still = same and all(one.fewer == one.more == 0 for one in machines.values())
    still &= not leave
    return Outcome(code=DONE, account=replace(account, cluster=made, volumes=volumes), still=still)


def _zone(account: Account, file: File) -> str:
    """Return where a new cluster is: with its volume, or where the file says."""
    given = account.volumes.get(file.volume.id or "")
    if given and given.zone:
        return given.zone
    return f"eu-west-1{file.zone}" if file.zone else USUAL_ZONE


def _code(account: Account, cluster: Cluster, file: File, leave: frozenset[str]) -> int:
    wanted, asked = file.volume, account.volumes.get(file.volume.id or "")
    if wanted.id and wanted.type == "efs" and wanted.figures:
        return REFUSED
    if _is_other_volume(account, cluster, file):
        return REFUSED
    if cluster.lost and wanted.id in (None, cluster.volume):
        return FAILED  # with the way back
    if wanted.id and asked is None:
        return REFUSED
    there = asked or account.volumes.get(cluster.volume or "")
    if there and wanted.figures.get("size", there.size) < there.size:
        return REFUSED
    if there and there.type == "ebs" and not wanted.id and _figures(file).size < there.size:
        return REFUSED
    zones = {cluster.zone, *([f"eu-west-1{file.zone}"] if file.zone else [])}
    zones |= {there.zone} if there and there.zone else set()
    if len(zones) > 1 or _other_types(cluster, file, leave):
        return REFUSED
    return DONE


def _is_other_volume(account: Account, cluster: Cluster, file: File) -> bool:
    """Whether the file would put another volume in the place of the one there is."""
    wanted = file.volume
    if account.cluster is None:
        return False
    if cluster.volume is None:
        # A controller that runs would never hear of one.
        return bool(cluster.machines[CONTROLLER].ids) and wanted.type != "none"
    type = "efs" if cluster.volume.startswith("fs-") else "ebs"
    if cluster.lost:
        return wanted.type != type
    has = cluster.volume if cluster.given else None
    return (wanted.type, wanted.id) != (type, has)


def _other_types(cluster: Cluster, file: File, leave: frozenset[str]) -> bool:
    """Whether machines that stay would have to become others."""
    return any(
        one.type != cluster.machines[pool].type
        for pool, one in _wanted(file).items()
        if pool in cluster.machines and min(len(cluster.machines[pool].ids - leave), one.count)
    )


def _wanted(file: File) -> dict[str, files.Pool]:
    fixed = {pool: files.Pool(type=type, count=1) for pool, type in FIXED.items()}
    master = {MASTER: files.Pool(type=file.master, count=1)} if file.master else {}
    return {**fixed, **master, **file.pools}


def _machines(cluster: Cluster, file: File, leave: frozenset[str]) -> dict[str, Machines]:
    wanted = _wanted(file)
    found = {}
    for pool in {**cluster.machines, **wanted}:
        had = cluster.machines.get(pool, Machines(type=""))
        asked = wanted.get(pool, files.Pool(type=had.type, count=0))
        stay = had.ids - leave
        found[pool] = Machines(
            type=asked.type,
            ids=stay,
            fewer=max(len(stay) - asked.count, 0),
            more=max(asked.count - len(stay), 0),
        )
    return found


def _figures(file: File) -> Volume:
    if file.volume.type == "efs":
        return Volume(type="efs")
    return _on_ebs({**files.USUAL, **file.volume.figures})


def _on_ebs(figures: Mapping[str, int], zone: str = "") -> Volume:
    size, iops, throughput = (figures[name] for name in files.USUAL)
    return Volume(type="ebs", size=size, iops=iops, throughput=throughput, zone=zone)


def _volume(
    account: Account, cluster: Cluster, file: File
) -> tuple[str | None, Mapping[str, Volume]]:
    """Return which volume the cluster has then, and all there are."""
    wanted, volumes = file.volume, account.volumes
    if wanted.type == "none":
        return None, volumes
    if wanted.id:
        there = volumes[wanted.id]
        if there.type == "ebs":
            has = {"size": there.size, "iops": there.iops, "throughput": there.throughput}
            there = _on_ebs({**has, **wanted.figures}, there.zone)
        return wanted.id, {**volumes, wanted.id: there}
    made = _figures(file)
    zone = cluster.zone if made.type == "ebs" else ""
    id = cluster.volume or NEW
    return id, {**volumes, id: replace(made, zone=zone)}


# -- machines that leave, and what befalls a cluster ----------------------------------------------


def oldest(cluster: Cluster, pool: str) -> str | None:
    """Return the machine of a pool that is named to leave."""
    return min(cluster.machines[pool].ids, default=None) if pool in cluster.machines else None


def _named_removed(account: Account, cluster: Cluster, pool: str, replaces: bool) -> Outcome:
    id = oldest(cluster, pool)
    if id is None or pool not in cluster.file.pools:
        return refused(account)
    count = cluster.file.pools[pool].count - (0 if replaces else 1)
    return created(account, cluster.file.counted(pool, max(count, 0)), frozenset({id}))


def killed(cluster: Cluster, what: str) -> Cluster:
    """Return the cluster without the machines of a pool, or with something of its ground gone."""
    if what in steps.GROUND:
        return replace(cluster, hurt=True)
    had = cluster.machines.get(what)
    if had is None or not had.ids:
        return cluster
    off = cluster.off and what != CONTROLLER
    gone = {**cluster.machines, what: replace(had, ids=frozenset())}
    return replace(cluster, machines=gone, hurt=True, off=off)


# -- volumes and their snapshots, the controller's state ------------------------------------------


def _copied(account: Account, cluster: Cluster) -> Outcome:
    there = account.volumes.get(cluster.volume or "")
    if cluster.lost:
        return refused(account, FAILED)
    if there is None or there.type != "ebs":
        return refused(account)
    copies = {**account.copies, NEW: there}
    return Outcome(code=DONE, account=replace(account, copies=copies))


def _volume_lost(account: Account, cluster: Cluster) -> Outcome:
    there = account.volumes.get(cluster.volume or "")
    if cluster.lost or there is None or there.type != "ebs":
        return Outcome(code=DONE, account=account)
    rest = {id: one for id, one in account.volumes.items() if id != cluster.volume}
    lost = replace(killed(cluster, CONTROLLER), lost=True, hurt=True)
    return Outcome(code=DONE, account=replace(account, cluster=lost, volumes=rest))


def _volume_restored(account: Account) -> Outcome:
    if not account.copies:
        return refused(account)
    *_, copy = account.copies.values()
    zone = account.cluster.zone if account.cluster else copy.zone
    return _volume_made(account, copy.size, zone)


def _volume_made(account: Account, size: int, zone: str) -> Outcome:
    made = _on_ebs({**files.USUAL, "size": size}, zone)
    return Outcome(code=DONE, account=replace(account, volumes={**account.volumes, NEW: made}))


def _state_restored(account: Account, cluster: Cluster) -> Outcome:
    gone = {
        pool: one if pool == GATEWAY else replace(one, ids=frozenset())
        for pool, one in cluster.machines.items()
    }
    old = replace(cluster, machines=gone, off=False, hurt=True)
    # What create would refuse is refused before anything is ended.
    if (first := created(account, cluster.file)).code != DONE:
        return refused(account, first.code)
    found = created(replace(account, cluster=old), cluster.file)
    made = found.account.cluster
    assert made is not None
    life = replace(made, state=NEW, aside=cluster.aside | {cluster.state})
    return replace(found, account=replace(found.account, cluster=life))


def destroyed(account: Account, option: str) -> Outcome:
    """Return what comes of destroy: of a cluster, only a volume that is to stay."""
    cluster = account.cluster
    if cluster is None:
        return Outcome(code=DONE, account=account, still=True)
    stays = (cluster.given and option != steps.FORCES) or option == steps.KEEPS
    volumes = dict(account.volumes)
    if cluster.volume in volumes:
        there = volumes.pop(cluster.volume)
        volumes |= {cluster.volume: there} if stays else {}  # the newest of those that are kept
    return Outcome(code=DONE, account=replace(account, cluster=None, volumes=volumes))

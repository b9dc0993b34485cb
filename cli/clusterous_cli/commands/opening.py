"""How commands begin: from options to a session, a configuration, a cluster's identity."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clusterous_api.errors import ClusterousError, TransientError, UserError
from clusterous_cli.aws import client, errors
from clusterous_cli.cluster import config, local, record, regions
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.terminal import screen
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui

if TYPE_CHECKING:
    from clusterous_cli.checks.check import Place
    from clusterous_cli.cluster.prices import Prices
    from clusterous_cli.plan.design import Offer
    from clusterous_cli.program.former.clusterfile import Former
    from clusterous_cli.program.load import Load
    from clusterous_cli.reach.kube import Api
    from clusterous_cli.reach.session import Session

# What keeps a command from AWS, whatever it is about.
NO_WAY: Final = (
    *(errors.BadCredentials, errors.BadSettings, errors.WrongClock, errors.NoRegion),
    TransientError,
)
# What a cluster is called that no file names.
ANY: Final = "any-cluster"


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The session, and the cluster that is meant (None: the only one there is).

    The region was *chosen* for this cluster (by an option, a file, or since it is known to be
    there), or is only what the AWS tools are set to.
    """

    cloud: client.Aws
    name: str | None
    chosen: bool


def target(settings: Settings, name: str | None = None) -> Target:
    """Open the session where the cluster is: *name*, else --cluster, else the file in this folder,
    else the one that `workon` chose, else the only cluster that this machine knows.

    What is known of the cluster goes before what the AWS tools happen to be set to, which may be
    another region for another work; only --region goes before that.
    """
    name = _checked(name or settings.cluster)
    file = _file_here(name)
    name = name or (file.name if file else None)
    if name is None and settings.region is None and (who := local.current()):
        return Target(cloud=client.connect(settings, who.region), name=who.name, chosen=True)
    name = name or _only(settings)
    region = _region(settings, name, file)
    chosen = bool(settings.region or region)
    return Target(cloud=client.connect(settings, region), name=name, chosen=chosen)


def _checked(name: str | None) -> str | None:
    """Refuse what no cluster is called: it would be part of what AWS is asked for."""
    if name is not None and not config.NAME.fullmatch(name):
        raise UserError(f"{name!r} is no cluster's name.")
    return name


def found(settings: Settings, name: str) -> client.Aws:
    """Open the session where the cluster *name* is, which this machine need not know.

    Without --region, all regions of the account are asked where the usual one has none.
    """
    region = _region(settings, _checked(name), None)
    cloud = client.connect(settings, region)
    if settings.region or region or name in record.cluster_names(cloud):
        return cloud
    seen = regions.search(cloud, name)
    if len(seen.found) == 1:
        return cloud.elsewhere(seen.found[0])
    if seen.found:
        raise UserError(f"There are several {name}, in {' and '.join(seen.found)}. Say --region.")
    who = Identity(name=name, account=cloud.account, region=cloud.region)
    missing = record.absent(who)
    if seen.unseen:
        raise errors.NoCluster(
            f"{missing} {', '.join(seen.unseen)} could not be asked: say --region, if it is there."
        )
    raise missing


def other_here(who: Identity) -> tuple[str, ...]:
    """Say that the file of this folder is about another cluster, and goes first."""
    file = _file_here(None)
    if file is None or file.name == who.name:
        return ()
    return (
        f"{config.FILE} here is about {file.name}: in this folder commands are about that;"
        f" --cluster {who.name} says otherwise",
    )


def region(settings: Settings) -> client.Aws:
    """Open the session in the region that is meant, for what needs no cluster there."""
    try:
        return target(settings).cloud
    except errors.NoCluster:
        return client.connect(settings)


def next_cluster(who: Identity) -> ClusterConfig:
    """Return the cluster that would be made next from here, perhaps in the stead of *who*."""
    return _file_here(None) or ClusterConfig(name=who.name)


def _only(settings: Settings) -> str | None:
    """The only cluster that this machine knows, unless another region is asked for."""
    known = local.known() if settings.region is None else ()
    return known[0].who.name if len(known) == 1 else None


def _file_here(name: str | None) -> ClusterConfig | None:
    """The cluster file of this folder, unless it describes another cluster than *name*."""
    path = Path(config.FILE)
    if not path.exists():
        return None
    try:
        read = config.read(path)
    except UserError:
        if name is None:
            raise
        return None  # its mistakes are of no matter here
    return read if name in (None, read.name) else None


def _region(settings: Settings, name: str | None, file: ClusterConfig | None) -> str | None:
    """The region that a file or this machine's own knowledge has for the cluster *name*."""
    if settings.region or name is None:
        return None
    if file and file.region and settings.cluster is None:
        return file.region
    known = local.known(name)
    regions = {one.who.region for one in known} | ({file.region} if file and file.region else set())
    if len(regions) > 1:
        also = f" {config.FILE} here says {file.region}." if file and file.region else ""
        raise UserError(
            f"Which {name}? {local.spelled(known)}{also}"
            f" Say --region {' or '.join(sorted(regions))}."
        )
    return next(iter(regions), None)


def wanted(settings: Settings, file: str | None) -> tuple[client.Aws, ClusterConfig]:
    """Return the session and the configuration that *file*, or the cluster's record, describes."""
    if read := _of_file(settings, file):
        region = read.region or _region(settings, read.name, None)
        return client.connect(settings, region), read
    if settings.cluster is None:
        raise UserError(
            f"Which cluster? Name a cluster file (there is no {config.FILE} here), or one that"
            " exists with --cluster NAME. The smallest file is: name: reef"
        )
    session = target(settings).cloud
    who = Identity(name=settings.cluster, account=session.account, region=session.region)
    kept = record.read(session, who)
    if kept is None:
        raise record.absent(who)
    return session, ClusterConfig.from_record(kept["config"])


def described(settings: Settings, file: str | None) -> ClusterConfig:
    """Return the configuration that *file* describes, without asking AWS, or the record."""
    return _of_file(settings, file) or wanted(settings, file)[1]


def _of_file(settings: Settings, file: str | None) -> ClusterConfig | None:
    path = Path(file) if file else Path(config.FILE)
    is_meant = file or (path.exists() and settings.cluster is None)
    if not is_meant:
        return None
    old = former(file)
    return _same(old.config if old else config.read(path), settings)


def former(file: str | None) -> "Former | None":
    """Return what *file* says if it is a cluster parameters file of the predecessor."""
    from clusterous_cli.program.former import clusterfile

    path = Path(file) if file else Path(config.FILE)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None  # told by who reads it as a file of today
    return clusterfile.read(path) if clusterfile.is_former(text) else None


def place(settings: Settings, file: str | None) -> "Place":
    """Return where `doctor` looks: for the cluster that is meant, or for the smallest there is.

    That AWS cannot be reached is no error here: it is one of the answers.
    """
    from clusterous_cli.checks import approach
    from clusterous_cli.checks.check import Place

    there = _of_file(settings, file)
    read = there or ClusterConfig(name=ANY)
    try:
        if settings.cluster and not there:
            cloud, read = wanted(settings, None)
        else:
            region = read.region or (_region(settings, read.name, None) if there else None)
            cloud = client.connect(settings, region)
    except NO_WAY as error:
        return Place(approach=approach.refused(error), cloud=None, config=read)
    return Place(approach=approach.reach(cloud), cloud=cloud, config=read)


def following(file: str | None, read: ClusterConfig, former: "Former | None") -> Path | None:
    """Return the file of the program that is to run when the cluster is there."""
    if former is not None:
        return former.environment
    folder = Path(file or config.FILE).parent
    return folder / read.environment_file if read.environment_file else None


def chosen(settings: Settings) -> tuple[client.Aws, Identity]:
    """Return the session and the cluster that is meant; of a name, it need not be there."""
    goal = target(settings)
    name = record.choose(goal.name, goal.cloud)
    return goal.cloud, Identity(name=name, account=goal.cloud.account, region=goal.cloud.region)


def recorded(settings: Settings) -> tuple[client.Aws, Mapping[str, Any]]:
    """Return the session and the record of a cluster that is there."""
    cloud, who = chosen(settings)
    kept = record.read(cloud, who)
    if kept is None:
        raise record.absent(who)
    return cloud, kept


def existing(settings: Settings) -> tuple[client.Aws, ClusterConfig]:
    """Return the session and the configuration of a cluster that is there, as its record has it."""
    cloud, kept = recorded(settings)
    return cloud, ClusterConfig.from_record(kept["config"])


def session_of(settings: Settings) -> "Session":
    """Open the cluster that is meant, to be reached by SSH and by its API."""
    from clusterous_cli.reach import session

    goal = target(settings)
    return session.open_session(goal.cloud, goal.name)


def outdated(wanted: ClusterConfig) -> tuple[str, ...]:
    """Say where the cluster file of this folder has other numbers than *wanted*."""
    file = _file_here(wanted.name)
    if file is None:
        return ()
    said = {one.name: one.count for one in file.workers}
    size, volume = wanted.volume.size, file.volume
    smaller = volume.id == wanted.volume.id and volume.size and size and volume.size < size
    return (
        *((f"{config.FILE} here says {volume.size} GiB for volume.size: say {size} there, or the"
           " next create is refused, for a volume does not shrink",) if smaller else ()),
        *_other_logging(wanted, file),
        *_other_counts(wanted, said),
    )  # fmt: skip


def _other_logging(wanted: ClusterConfig, file: ClusterConfig) -> tuple[str, ...]:
    if wanted.logging == file.logging:
        return ()
    now = wanted.logging
    say = "none" if now is None else f"{{level: {now.level}, store: {now.store}}}"
    return (
        f"{config.FILE} here says otherwise of central logging: say `logging: {say}` there, or the"
        " next create goes back to that",
    )


def _other_counts(wanted: ClusterConfig, said: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(
        f"{config.FILE} here says {said.get(one.name, 0)} for {one.spelled}: say {one.count}"
        " there, or the next create goes back to that"
        for one in wanted.workers
        if said.get(one.name, 0) != one.count
    )


def asked_prices(cloud: client.Aws, wanted: ClusterConfig) -> Callable[[], "Prices"]:
    """Ask for the prices of what *wanted* has, while other things are done."""
    from clusterous_cli.plan import pricelist

    return pricelist.beside(cloud, sorted({one.type for one in wanted.pools}), now())


def offer(operator_image: str | None) -> "Offer":
    """Return where our images may come from: the option, a release, or this machine."""
    from clusterous_cli.images import operatorimage
    from clusterous_cli.plan.design import Offer

    given = operatorimage.given(operator_image) if operator_image else None
    volume = partial(operatorimage.made, operatorimage.VOLUME)
    return Offer(given=given, made=operatorimage.made, volume=volume)


def _same(read: ClusterConfig, settings: Settings) -> ClusterConfig:
    if settings.cluster not in (None, read.name):
        raise UserError(f"The file describes {read.name}, but --cluster says {settings.cluster}.")
    return read


def identity(name: str | None, session: client.Aws) -> Identity | None:
    """Return the identity of the cluster *name*, or of the only one there is, or None."""
    try:
        chosen = record.choose(name, session)
    except errors.NoCluster:
        return None
    if not config.NAME.fullmatch(chosen):
        raise UserError(f"{chosen!r} is no cluster's name.")
    return Identity(name=chosen, account=session.account, region=session.region)


def kept_from(settings: Settings, cloud: client.Aws, name: str) -> Identity:
    """Return the cluster *name*, which need not exist; where that is not known, the one meant."""
    if name := name or _checked(settings.cluster) or "":
        return Identity(name=name, account=cloud.account, region=cloud.region)
    who = identity(target(settings).name, cloud)
    if who is None:
        raise UserError("No cluster is known to have made this: say for which it is, by --cluster.")
    return who


def unflushed(cluster: record.Cluster) -> str:
    """Let the controller write out what it holds of the shared volume; return why it could not."""
    from clusterous_cli.data import volumes
    from clusterous_cli.reach import session, ssh

    if cluster.away:
        return "it is away"
    try:
        volumes.flush(ssh.prepare(session.access_to(cluster)))
    except ClusterousError as error:
        return str(error)
    return ""


def nothing(
    screen: Ui,
    message: str,
    unseen: Sequence[str] = (),
    kept: Sequence[Mapping[str, Any]] = (),
) -> int:
    """Say that there is nothing to do, what is kept, and what could not be looked for."""
    from clusterous_cli.output import removal

    screen.tell(message)
    for words in (*removal.kept_words(kept), *unseen):
        screen.warn(f"  ! {words}")
    if not screen.for_people:
        screen.emit({"left": [], "unseen": list(unseen), "kept": list(kept)})
    return 0


@contextmanager
def journaled(cloud: client.Aws, who: Identity) -> Iterator[None]:
    """Keep the journal of a cluster that need not exist: one that is gone took it with it."""
    from clusterous_cli.plan.kinds.files import BUCKET
    from clusterous_cli.plan.kinds.kind import Scope
    from clusterous_cli.terminal import options
    from clusterous_cli.turns import journal

    assert BUCKET.look is not None
    there: Sequence[Any] = ()
    with suppress(errors.Denied):  # who may not look there cannot write there, either
        there = BUCKET.look(Scope(cloud=cloud, who=who))
    with journal.kept(cloud, who, options.running(), now) if there else nullcontext():
        yield


def vanished(goal: Target, who: Identity) -> tuple[str, ...]:
    """Judge that nothing of *who* was found; return in words where nobody could look.

    It is an error, and this machine keeps what it knows, where the cluster may be elsewhere.
    """
    where = f"There is nothing of {who.name} in {who.region} (account {who.account})"
    is_known = any(one.who == who for one in local.known(who.name))
    others = local.elsewhere(who)
    if others and not is_known:
        raise errors.NoCluster(
            f"{where}. {local.spelled(others)}\n  Nothing was removed. Say --region, or take that"
            " account's credentials (--profile)."
        )
    if is_known or goal.chosen:
        return ()
    seen = regions.search(goal.cloud, who.name)
    if seen.found:
        raise errors.NoCluster(
            f"{where}, but there is in {', '.join(seen.found)}. Nothing was removed. Say --region"
            f" {seen.found[0]}."
        )
    if seen.unseen:
        raise errors.NoCluster(
            f"{where}; {', '.join(seen.unseen)} could not be asked. Say --region, so that it is"
            " clear where to look."
        )
    return ()


def forget(who: Identity) -> None:
    """Close the ways to a cluster that is gone, and remove what is cached of it."""
    from clusterous_cli.reach import ssh

    ssh.close(local.settle(who))
    local.forget(who)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What the cluster says of itself, or in *unreachable* why it could not be asked."""

    apps: tuple[Mapping[str, Any], ...] = ()
    load: "Load | None" = None
    unreachable: str = ""


def inside(cluster: record.Cluster, tell: Callable[[str], None]) -> Inside:
    """Ask the cluster for its programs and machines; what takes time is said."""
    from clusterous_cli.program import apps, load
    from clusterous_cli.reach import session

    if cluster.away:
        return Inside(unreachable="its controller is away")
    if not (cluster.gateway_ip and cluster.controller_ip):
        return Inside(unreachable="it has no gateway or no controller")
    try:
        with screen.slow(tell, "Asking the cluster itself, through its gateway…"):
            api = session.api_of(cluster)
            states = [apps.as_data(state) for state in apps.all_states(api)]
            nodes, pods = api.items("/api/v1/nodes"), api.items("/api/v1/pods")
            return Inside(apps=tuple(states), load=load.read(nodes, pods, _metrics(api)))
    except ClusterousError as error:
        return Inside(unreachable=str(error))


def _metrics(api: "Api") -> list[Any]:
    """What the machines use, where the metrics API is there and has looked already."""
    try:
        return api.items("/apis/metrics.k8s.io/v1beta1/nodes")
    except ClusterousError:
        return []

"""The cache: what watches brought, by kind, and by the app that it belongs to.

It only remembers. A list replaces what was known within its scope, so that what vanished while no
watch was open is forgotten, too; an older version never replaces a newer one.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from clusterous_api import names
from clusterous_api.models import App
from clusterous_operator import manifests
from clusterous_operator.cache import observed
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import Child, Node, Pod
from clusterous_operator.cache.record import Record
from clusterous_operator.objects.inherit import Inherit
from clusterous_operator.objects.usage import Usage

Key = tuple[str, str]  # namespace and name
Body = Mapping[str, Any]


class Item(Protocol):
    """What a table holds."""

    @property
    def name(self) -> str:
        """The object's name."""

    @property
    def version(self) -> int:
        """Its resource version."""


T = TypeVar("T", bound=Item)


_MOST_GONE = 1000  # as many as may be removed while the answer to a write is under way


class Table(Generic[T]):
    """Objects of one kind by namespace and name, grouped by what they belong to.

    Groups are tuples, of which there are thousands with few members each; a dict takes 232 bytes.
    """

    def __init__(
        self,
        trim: Callable[[Body], T],
        group: Callable[[T], Hashable] = lambda item: None,
        count: Callable[[T | None, T | None], None] = lambda old, new: None,
    ) -> None:
        self.trim = trim
        self._group = group
        self._count = count
        self._spaces: dict[str, dict[str, T]] = {}
        self._groups: dict[Hashable, tuple[T, ...]] = {}
        self._gone: dict[Key, int] = {}  # the versions at which the newest removals were told
        self._listed: dict[str | None, int] = {}  # the versions of the newest lists, by namespace

    def __len__(self) -> int:
        """Return how many objects are known."""
        return sum(map(len, self._spaces.values()))

    def cut(self, body: Body) -> T:
        """Cut an object down, unless that very version is known already."""
        metadata = body["metadata"]
        known = self.find(metadata.get("namespace", ""), metadata["name"])
        if known is not None and str(known.version) == metadata.get("resourceVersion"):
            return known
        return self.trim(body)

    def find(self, namespace: str, name: str) -> T | None:
        """Return one object."""
        space = self._spaces.get(namespace)
        return None if space is None else space.get(name)

    def all(self) -> Iterable[T]:
        """Return all objects."""
        return [one for space in self._spaces.values() for one in space.values()]

    def of(self, group: Hashable) -> Iterable[T]:
        """Return the objects of one group."""
        return self._groups.get(group, ())

    def put(self, item: T) -> list[T]:
        """Remember an object; return what is to be looked at: its old and new value, if changed."""
        namespace, name = _key(item)
        old = self.find(namespace, name)
        if old is not None and old.version > item.version:
            return []
        if old is None and self._is_past(item):
            return []  # a late answer to a write of ours, or an old event told again
        self._spaces.setdefault(namespace, {})[name] = item
        self._regroup(old, item)
        return [] if old == item else [one for one in (old, item) if one is not None]

    def remove(self, item: T) -> list[T]:
        """Forget an object, unless a newer one has its name by now."""
        self._gone[_key(item)] = item.version
        if len(self._gone) > _MOST_GONE:
            del self._gone[next(iter(self._gone))]
        old = self.find(*_key(item))
        if old is None or old.version > item.version:
            return []
        self._drop(old)
        return [old]

    def forget(self, body: Body) -> list[T]:
        """Forget an object that cannot be cut down (any more); return what was known of it."""
        metadata = body["metadata"]
        old = self.find(metadata.get("namespace", ""), metadata["name"])
        if old is None:
            return []
        self._drop(old)
        return [old]

    def _is_past(self, item: T) -> bool:
        """Tell whether an object that we do not know was there before we were told that it is not.

        By the news of its removal, or by a list that is as new and does not have it.
        """
        namespace, _ = key = _key(item)
        lists = (self._listed.get(scope, -1) for scope in (None, namespace))
        return item.version <= max(self._gone.get(key, -1), *lists)

    def replace(self, items: Iterable[T], namespace: str | None, version: int) -> list[T]:
        """Take a list for the whole truth about *namespace*, or about all, as of *version*.

        Return what changed. What we know to be newer than the list, it says nothing about.
        """
        self._listed.pop(namespace, None)
        changed: list[T] = []
        listed = set()
        for item in items:
            listed.add(_key(item))
            changed += self.put(item)
        for one in self.all():
            key = _key(one)
            is_meant = namespace in (None, key[0]) and one.version <= version
            if is_meant and key not in listed:
                changed.append(one)
                self._drop(one)
        self._listed[namespace] = version
        return changed

    def _drop(self, old: T) -> None:
        namespace, name = _key(old)
        space = self._spaces[namespace]
        del space[name]
        if not space:
            del self._spaces[namespace]
        self._regroup(old, None)

    def _regroup(self, old: T | None, new: T | None) -> None:
        """Take *old* out of its group, and *new* into its own; who belongs to nobody is in none."""
        self._count(old, new)
        was = None if old is None else self._group(old)
        if was is not None:
            rest = tuple(one for one in self._groups[was] if one is not old)
            if rest:
                self._groups[was] = rest
            else:
                del self._groups[was]
        now = None if new is None else self._group(new)
        if now is not None and new is not None:
            self._groups[now] = (*self._groups.get(now, ()), new)


def _key(item: Item) -> Key:
    return (getattr(item, "namespace", ""), item.name)


def _of_app(item: Child | Pod) -> Key | None:
    return None if item.app is None else (item.namespace, item.app)


def _trim(kind: str) -> Callable[[Body], Child]:
    return lambda body: observed.child(kind, body)


_NOTHING = Inherit()


class Store:
    """All tables, and the snapshot of them that one app's reconcile looks at."""

    def __init__(self, inherit: Inherit = _NOTHING) -> None:
        self.apps: Table[Record] = Table(lambda body: Record.read(body, inherit))
        self.deployments = Table(_trim(observed.DEPLOYMENT), _of_app)
        self.jobs = Table(_trim(observed.JOB), _of_app)
        self.services = Table(_trim(observed.SERVICE), _of_app)
        self.claims = Table(_trim(observed.CLAIM), _of_app)
        self.volumes = Table(_trim(observed.VOLUME))
        self.usage = Usage()
        self.pods = Table(observed.pod, _of_app, self.usage.change)
        self.others = Table(observed.pod, count=self.usage.change)
        self.nodes: Table[Node] = Table(observed.node)
        self.cluster: Mapping[str, str] = {}
        self.capacity_known = False

    def children(self, kind: str) -> Table[Child]:
        """Return the table of a kind of children."""
        return {
            observed.DEPLOYMENT: self.deployments,
            observed.JOB: self.jobs,
            observed.SERVICE: self.services,
            observed.CLAIM: self.claims,
            observed.VOLUME: self.volumes,
        }[kind]

    def observe(self, app: App, *, whole_cluster: bool) -> Look:
        """Return a snapshot for one app; with what all pods reserve only where that matters."""
        key = (app.namespace, app.name)
        record = self.apps.find(*key)
        before: Body = {} if record is None else record.status
        own, had = names.claim(app.name), (before.get("claim") or {}).get("name")
        on_cluster_volume = manifests.on_cluster_volume(
            configured=names.CLUSTER_VOLUME_KEY in self.cluster,
            has_own=self.claims.find(app.namespace, own) is not None or had == own,
            has_shared=self.claims.find(app.namespace, names.CLUSTER_CLAIM) is not None,
        )
        facts = manifests.Facts(on_cluster_volume=on_cluster_volume)
        claim = manifests.claim_name(app, facts)
        children = observed.belonging(app.name, app.uid, self._children(key, claim))
        return Look(
            app=app,
            on_cluster_volume=on_cluster_volume,
            children=children,
            pods=tuple(self.pods.of(key)),
            claim_name=claim,
            claim=children.get((observed.CLAIM, claim)),
            nodes=tuple(self.nodes.all()),
            usage=self.usage.without(()) if whole_cluster else Usage(),
            capacity_known=self.capacity_known,
            cluster=self.cluster,
            before=before,
        )

    def _children(self, key: Key, claim: str) -> list[Child]:
        namespace, app = key
        found = [*self.deployments.of(key), *self.jobs.of(key), *self.services.of(key)]
        claims = {claim, names.claim(app)}
        volumes = {names.persistent_volume(namespace), names.persistent_volume(namespace, app)}
        kept = [self.claims.find(namespace, name) for name in claims]
        kept += [self.volumes.find("", name) for name in volumes]
        return [*found, *(one for one in kept if one is not None)]

"""Where a cluster's images are kept: in ECR, or in a bucket that clusters share; asked alike."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from clusterous_api.errors import ClusterousError, TransientError, UserError
from clusterous_cli.aws.client import Aws
from clusterous_cli.boot import pki
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.file import registry as onthecluster
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.images import registry
from clusterous_cli.images.registry import Known
from clusterous_cli.images.remote import scripts
from clusterous_cli.images.sending import bearer, push
from clusterous_cli.images.stock import shelf, turns
from clusterous_cli.images.stock.shared import Shared
from clusterous_cli.images.stock.shelf import Item
from clusterous_cli.reach import tunnel
from clusterous_cli.reach.session import Session

# Local ports of the way to the cluster's registry: beside those of the API.
FIRST: Final = 10_000
PORTS: Final = 20


class Place(Protocol):
    """A registry, as whoever builds or tidies up asks it; images by what they are called there."""

    def find(self, repository: str, tag: str, *others: str) -> Known | None:
        """Return what *tag* stands for, with its tags (at least those of the *others*)."""

    def newest(self, repository: str, tag: str) -> Known | None:
        """Return what *tag* stands for, else what was pushed last."""

    def ensure(self, repository: str) -> None:
        """Let there be the repository."""

    def writable(self, repository: str) -> push.Repository:
        """Return the repository to push to and pull from."""

    def login(self, repositories: Sequence[str]) -> str:
        """Spell what docker's tools read to push there, good for hours."""

    def pushing(self, lasts: int = 0) -> Any:
        """Return the context in which pushes are welcome."""

    def listed(self) -> list[Item]:
        """Return the images, by name and then by age."""

    def with_layers(self, items: Sequence[Item]) -> list[Item]:
        """Return *items* with what each is built of."""

    def config(self, item: Item) -> Mapping[str, Any]:
        """Return what an image says of itself."""

    def remove(self, items: Sequence[Item]) -> None:
        """Remove images with all their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ecr:
    """The account's own registry; a cluster's repositories lie under its name."""

    cloud: Aws
    who: Identity
    profile: str | None
    tags: Mapping[str, str] = field(default_factory=dict)

    def find(self, repository: str, tag: str, *others: str) -> Known | None:
        return registry.find(self.cloud, repository, tag)

    def newest(self, repository: str, tag: str) -> Known | None:
        return registry.newest(self.cloud, repository, tag)

    def ensure(self, repository: str) -> None:
        registry.ensure_repository(self.cloud, self.who, repository, self.tags)

    def writable(self, repository: str) -> push.Repository:
        return push.Repository(
            registry=self.who.registry,
            name=repository,
            user=registry.USER,
            password=lambda: registry.password(self.who.region, self.profile),
        )

    def login(self, repositories: Sequence[str]) -> str:
        password = registry.password(self.who.region, self.profile)
        return scripts.login(self.who.registry, registry.USER, password)

    @contextmanager
    def pushing(self, lasts: int = 0) -> Iterator[None]:
        yield

    def listed(self) -> list[Item]:
        return shelf.listed(self.cloud, self.who)

    def with_layers(self, items: Sequence[Item]) -> list[Item]:
        return shelf.with_layers(self.cloud, items)

    def config(self, item: Item) -> Mapping[str, Any]:
        return self.writable(item.repository).config(item.digest)

    def remove(self, items: Sequence[Item]) -> None:
        shelf.remove(self.cloud, items)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnCluster:
    """A registry on the cluster, which is needed only to push: all else is asked of the bucket."""

    cloud: Aws
    bucket: str
    session: Session | None = None

    @property
    def shared(self) -> Shared:
        return Shared(cloud=self.cloud, bucket=self.bucket)

    def find(self, repository: str, tag: str, *others: str) -> Known | None:
        return self.shared.find(repository, tag, *others)

    def newest(self, repository: str, tag: str) -> Known | None:
        return self.shared.newest(repository, tag)

    def ensure(self, repository: str) -> None:
        """Do nothing: what is pushed makes it."""

    def writable(self, repository: str) -> push.Repository:
        assert self.session is not None
        keys = self._keys
        return push.Repository(
            registry=onthecluster.HOST,
            name=repository,
            user="",
            password=lambda: bearer.signed(keys, [repository], time.time()),
            address=f"https://{tunnel.LOOPBACK}:{way(self.session)}",
            authority=keys[pki.REGISTRY_CA],
        )

    def login(self, repositories: Sequence[str]) -> str:
        told = bearer.signed(self._keys, repositories, time.time())
        return json.dumps({"auths": {onthecluster.HOST: {"registrytoken": told}}})

    def pushing(self, lasts: int = 0) -> Any:
        return turns.pushing(self.cloud, self.bucket, lasts)

    def listed(self) -> list[Item]:
        return self.shared.listed()

    def with_layers(self, items: Sequence[Item]) -> list[Item]:
        return list(items)

    def config(self, item: Item) -> Mapping[str, Any]:
        return self.shared.config(item)

    def remove(self, items: Sequence[Item]) -> None:
        self.shared.remove(items)

    @property
    def _keys(self) -> Mapping[str, str]:
        assert self.session is not None
        return self.session.cluster.registry_keys


def of(
    cloud: Aws,
    who: Identity,
    kept: Mapping[str, Any] | None,
    profile: str | None,
    session: Session | None = None,
) -> Place:
    """Return where the cluster with the record *kept* keeps its images."""
    config = ClusterConfig.from_record(kept["config"]) if kept else ClusterConfig(name=who.name)
    if config.registry.on_cluster:
        bucket = config.registry.bucket or who.image_bucket
        return OnCluster(cloud=cloud, bucket=bucket, session=session)
    return Ecr(cloud=cloud, who=who, profile=profile, tags=dict(config.tags))


def of_session(session: Session, profile: str | None) -> Place:
    """Return the same of a cluster that is open."""
    return of(session.cloud, session.identity, session.cluster.record, profile, session)


def way(session: Session) -> int:
    """Return the local port of a tunnel to the cluster's registry, opened if need be."""
    first = tunnel.preferred_port(session.cluster.uid) + FIRST
    for port in range(first, first + PORTS):
        forward = tunnel.Forward(port=port, address=onthecluster.WRITE, remote=onthecluster.PORT)
        there = tunnel.Tunnel(access=session.access, forward=forward)
        if not (there.is_open() or tunnel.is_free(port)):
            continue
        try:
            there.ensure()
        except UserError:
            continue  # another program was faster
        except TransientError as error:
            raise TransientError(
                f"The registry of {session.cluster.name} does not answer. `clusterous status` says"
                f" how it is; try again in a minute. ({error})"
            ) from error
        return port
    raise ClusterousError(f"None of the ports {first} to {first + PORTS - 1} is free here.")

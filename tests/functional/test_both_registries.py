"""What both registries do alike: ECR, and the one on the cluster with its bucket.

Each is real: ECR's is behind its tokens and rules, that on the cluster on the simulated S3.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clusterous_cli.cluster.identity import Identity
from clusterous_cli.images import registry
from clusterous_cli.images.assembly import pull, references
from clusterous_cli.images.sending import push
from clusterous_cli.images.sending.saved import Saved
from clusterous_cli.images.stock import removal, shelf
from clusterous_cli.images.stock.places import Ecr, OnCluster, Place
from clusterous_cli.images.stock.shelf import Item
from clusterous_cli.images.stock.usage import Use, Uses
from tests import programs
from tests.functional import cloud
from tests.functional import test_registry_on_cluster as oncluster
from tests.functional.test_registry_s3 import image

pytestmark = programs.needs("docker-registry")

WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
NOBODY = Uses(unasked={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Here(OnCluster):
    """The registry of a cluster, whose way is no tunnel."""

    site: oncluster.Site

    def writable(self, repository: str) -> push.Repository:
        return self.site.repository(repository)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A registry, and how its repositories are called."""

    place: Place
    repository: str

    def push(self, what: Saved, tag: str) -> str:
        self.place.ensure(self.repository)
        to = self.place.writable(self.repository)
        with self.place.pushing(), tempfile.TemporaryDirectory() as scratch:
            return push.push(what, to, tag, Path(scratch), lambda *told: None)

    def point(self, tag: str, digest: str) -> None:
        with self.place.pushing():
            self.place.writable(self.repository).point(tag, digest)

    def items(self) -> list[Item]:
        return self.place.with_layers(self.place.listed())


@pytest.fixture(scope="module", params=["ecr", "s3"])
def kept(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as held, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLUSTEROUS_CACHE_HOME", str(folder / "cache"))
        if request.param == "ecr":
            world = held.enter_context(cloud.running(folder))
            held.enter_context(cloud.registry(world))
            patch.setattr(registry, "password", lambda region, profile: cloud.password(world))
            ecr = Ecr(cloud=world.cloud, who=WHO, profile=None)
            yield Kept(place=ecr, repository=f"{WHO.repositories}tool")
        else:
            account = held.enter_context(oncluster.with_bucket())
            site = held.enter_context(oncluster.sited(account, folder))
            here = Here(cloud=site.aws, bucket=oncluster.BUCKET, site=site)
            yield Kept(place=here, repository="tool")


def test_what_is_pushed_is_found_and_pulled(kept: Kept, tmp_path: Path) -> None:
    with image(b"reef") as what:
        digest = kept.push(what, "src-1")

    found = kept.place.find(kept.repository, "src-1", "v1")
    to = kept.place.writable(kept.repository)
    private = {"Authorization": to.authorization()}
    wanted = references.parse(f"{to.registry}/{kept.repository}:src-1")
    hosts = {to.registry: to.address} if to.address else {}
    there = pull.Registry(wanted, hosts, private, to.authority)

    assert found is not None
    assert (found.digest, found.tags) == (digest, ("src-1",))
    assert there.digest() == digest
    assert len(there.image(tmp_path, lambda *told: None).layers) == 1
    assert kept.place.find(kept.repository, "src-none") is None


def test_a_tag_of_content_is_never_given_to_another(kept: Kept) -> None:
    with image(b"first") as first, image(b"second") as second:
        digest = kept.push(first, "src-2")

        assert kept.push(second, "src-2") == digest

    found = kept.place.find(kept.repository, "src-2")
    assert found is not None
    assert found.digest == digest


def test_a_name_of_peoples_moves(kept: Kept) -> None:
    with image(b"old") as old, image(b"new") as new:
        before, after = kept.push(old, "src-3"), kept.push(new, "src-4")

    kept.point("v1", before)
    kept.point("v1", after)

    found = kept.place.find(kept.repository, "v1", "src-3", "src-4")
    newest = kept.place.newest(kept.repository, "v1")
    assert before != after
    assert found is not None
    assert newest is not None
    assert (found.digest, newest.digest) == (after, after)
    assert sorted(found.tags) == ["src-4", "v1"]


def test_images_are_listed_and_described(kept: Kept) -> None:
    with image(b"to be listed") as what:
        digest = kept.push(what, "src-5")
    kept.point("listed", digest)

    item = shelf.find(kept.items(), "tool:listed")

    assert (item.repository, item.name, item.digest) == (kept.repository, "tool", digest)
    assert item.tags == ("listed", "src-5")
    assert item.pointers == ("listed",)
    assert len(item.layers) == 1
    assert item.size > 0
    assert datetime.now(UTC) - item.pushed < timedelta(hours=1)
    assert kept.place.config(item)["architecture"] == "amd64"


def test_what_is_used_stays_and_what_nobody_uses_goes_with_all_its_names(kept: Kept) -> None:
    with image(b"used") as used, image(b"unused") as unused:
        stays, goes = kept.push(used, "src-6"), kept.push(unused, "src-7")
    kept.point("gone", goes)
    items = kept.items()
    wanted = [one for one in items if one.digest in (stays, goes)]
    uses = Uses(found=(Use(cluster="far", who="default/app", image=f"x@{stays}"),), unasked={})

    decision = removal.decide(wanted, items, uses)
    kept.place.remove(decision.go)

    assert [one.digest for one in decision.go] == [goes]
    left = {one.digest for one in kept.items()}
    assert stays in left
    assert goes not in left
    assert kept.place.find(kept.repository, "src-7") is None
    assert kept.place.find(kept.repository, "gone") is None
    with image(b"unused") as again:  # built anew, it comes back
        assert kept.push(again, "src-7") == goes

"""Builds what the registry lacks of a program's images, and says by which digest each is there."""

import os
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clusterous_api.errors import ClusterousError
from clusterous_cli.images import builder
from clusterous_cli.images.assembly import archives, pull, references
from clusterous_cli.images.builder import Builder
from clusterous_cli.images.context import recipe, taken
from clusterous_cli.images.context.taken import Taken
from clusterous_cli.images.contexts import Build
from clusterous_cli.images.registry import Known
from clusterous_cli.images.remote import building, desk
from clusterous_cli.images.remote.building import Order
from clusterous_cli.images.remote.desk import Desk
from clusterous_cli.images.sending import bearer, push, saved
from clusterous_cli.images.stock import places
from clusterous_cli.images.stock.places import Place
from clusterous_cli.reach.session import Session
from clusterous_cli.system import download, private
from clusterous_cli.terminal import spell
from clusterous_cli.terminal.lines import Lines
from clusterous_cli.terminal.screen import Ui


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where a cluster's images are made; *profile* is AWS's, for the registry's password.

    *wish* is the builder that was asked for; else the environment may name one.
    """

    session: Session
    ui: Ui
    profile: str | None = None
    wish: str | None = None

    @property
    def place(self) -> Place:
        """Return where the cluster's images are kept."""
        return places.of_session(self.session, self.profile)

    def there(self, builds: Sequence[Build]) -> dict[str, Known]:
        """Return, by titles, those that the registry has."""
        found = {build.title: self._find(build, build.tag) for build in builds}
        return {title: one for title, one in found.items() if one}

    def make(self, builds: Sequence[Build], there: Mapping[str, Known]) -> dict[str, str]:
        """Build and push what is not *there*; return the digests of all, by titles."""
        missing = [build for build in builds if build.title not in there]
        for build in builds:
            if build not in missing:
                self.ui.tell(f"✓ image {build.name}:{build.tag} is in the registry")
        made = self._made(missing) if missing else {}
        digests = {title: one.digest for title, one in there.items()} | made
        for build in builds:
            before = there.get(build.title)
            if before is None or build.pointer not in before.tags:
                self._point(build, digests[build.title])
        return digests

    def _point(self, build: Build, digest: str) -> None:
        """Let people's name for the image stand for this one, whichever it was before."""
        repository = self._repository(build)
        self.place.ensure(repository)
        with self.place.pushing():
            self.place.writable(repository).point(build.pointer, digest)

    def _made(self, missing: Sequence[Build]) -> dict[str, str]:
        for build in missing:
            if (found := recipe.find(build.folder)).is_default:
                self.ui.tell(f"· {build.folder} has {found.words}")
        named = {builder.ENV_BUILDER: self.wish} if self.wish else {}
        with_ = builder.chosen({**os.environ, **named}, platform.machine(), self.ui.tell)
        if with_ is None:
            return self._made_there(missing)
        try:
            with self.ui.lines() as lines:
                return {build.title: self._build(with_, build, lines) for build in missing}
        finally:
            builder.tidy(with_)

    # -- on the cluster --------------------------------------------------------------------

    def _made_there(self, missing: Sequence[Build]) -> dict[str, str]:
        place = builder.cache_folder(os.environ) / "contexts"
        private.folder(place)
        with self.ui.lines() as lines:
            tell = self.ui.now_and_then(lambda text: lines.set("builder", text[:100]))
            at = desk.begun(self.session, tell)
            lines.set("builder", "builds on the cluster", done=True)
            return {build.title: self._build_there(at, place, build, lines) for build in missing}

    def _build_there(self, at: Desk, place: Path, build: Build, lines: Lines) -> str:
        """Build one image on the cluster, and return its digest."""
        title, began = f"image {build.name}", self.ui.clock()
        tell = self.ui.now_and_then(lambda text: lines.set(title, text[:100]))
        lines.set(title, "not in the registry: building on the cluster")
        with taken.copy(build.source, place) as copy:
            found = self._find(build, copy.tag) if copy.tag != build.tag else None
            digest = found.digest if found else self._pushed_there(at, build, copy, tell)
        took = self.ui.clock() - began
        lines.set(title, f"{copy.tag}: built and pushed in {took:.0f} s", done=True)
        return digest

    def _pushed_there(
        self, at: Desk, build: Build, copy: Taken, tell: Callable[[str], None]
    ) -> str:
        """Have a copy built; what somebody else pushed meanwhile is as good."""
        repository = self._repository(build)
        self.place.ensure(repository)
        where = f"{self.session.cluster.place}{build.name}"
        below = [references.parse(one).repository for _, one in build.bases]
        order = Order(
            name=build.name,
            reference=f"{where}:{copy.tag}",
            cache=f"{where}:{taken.CACHE}build",
            login=self.place.login([repository, *below]),
        )
        try:
            # The builder may go on with it where this machine ends.
            with self.place.pushing(bearer.LASTS):
                return building.build(at, copy, order, tell)
        except ClusterousError:
            if there := self._find(build, copy.tag):
                return there.digest
            raise

    # -- either ----------------------------------------------------------------------------

    def _find(self, build: Build, tag: str) -> Known | None:
        return self.place.find(self._repository(build), tag, build.pointer)

    def _repository(self, build: Build) -> str:
        return f"{self.session.cluster.images}{build.name}"

    def _build(self, with_: Builder, build: Build, lines: Lines) -> str:
        """Build one image, and return its digest."""
        title, began = f"image {build.name}", self.ui.clock()
        tell = self.ui.now_and_then(lambda text: lines.set(title, text[:100]))
        lines.set(title, f"not in the registry: building with {with_.kind}")
        with tempfile.TemporaryDirectory(dir=with_.contexts) as place:
            archive = Path(place, "image.tar")
            tag = self._archive(with_, build, archive, tell)
            if archive.exists():
                built = self.ui.clock()
                lines.set(title, f"built in {built - began:.0f} s, pushing")
                digest = self._push(build, tag, archive, tell)
                took = f"built in {built - began:.0f} s, pushed in {self.ui.clock() - built:.0f} s"
                lines.set(title, f"{tag}: {took}", done=True)
                return digest
        found = self._find(build, tag)
        lines.set(title, f"{tag} is in the registry", done=True)
        return found.digest if found else self._build(with_, build, lines)

    def _archive(
        self, with_: Builder, build: Build, archive: Path, tell: Callable[[str], None]
    ) -> str:
        """Build *archive* of a copy of the folder, unless the copy is in the registry already."""
        with taken.copy(build.source, with_.contexts) as copy:
            if copy.tag != build.tag and self._find(build, copy.tag):
                return copy.tag
            for _, below in build.bases:
                self._lay(with_, below, archive, tell)
            reference = f"{self.session.cluster.place}{build.name}:{copy.tag}"
            builder.build(with_, reference, copy.context, copy.recipe, tell, copy.asked)
        builder.save(with_, reference, archive, tell)
        builder.forget_older(with_, reference)
        return copy.tag

    def _lay(self, with_: Builder, below: str, archive: Path, tell: Callable[[str], None]) -> None:
        """Let the builder have an image of the registry: it cannot pull what only we may read."""
        if builder.has(with_, below):
            return
        name = references.parse(below)
        tell(f"fetching {name.repository}:{name.version}, which it is built on")
        there = self.place.writable(name.repository)
        private = {"Authorization": there.authorization()}
        hosts = {name.registry: there.address} if there.address else {}
        image = pull.Registry(name, hosts, private, there.authority).image(
            download.cache() / "blobs", lambda *done: None
        )
        archives.write(image, below, archive)
        builder.load(with_, below, archive, tell)
        archive.unlink()

    def _push(self, build: Build, tag: str, archive: Path, tell: Callable[[str], None]) -> str:
        image = saved.read(archive)
        repository = self._repository(build)
        self.place.ensure(repository)

        def progress(done: int, total: int) -> None:
            tell(f"pushed {spell.size(min(done, total))} of {spell.size(total)}")

        with self.place.pushing():
            to = self.place.writable(repository)
            return push.push(image, to, tag, archive.parent, progress)

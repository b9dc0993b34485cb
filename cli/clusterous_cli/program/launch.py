"""The story of `run`: images, files, the app, and waiting until it is ready."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import yaml

from clusterous_api import models
from clusterous_api.conditions import Type
from clusterous_api.errors import TransientError
from clusterous_cli.data import links, transfer, volumes
from clusterous_cli.images.workshop import Workshop
from clusterous_cli.program import apps, exposure, foresight, program
from clusterous_cli.program.convert import Machine
from clusterous_cli.program.program import Program
from clusterous_cli.reach import kube, session
from clusterous_cli.reach.session import Session
from clusterous_cli.system.wait import Patience
from clusterous_cli.terminal.lines import Lines
from clusterous_cli.terminal.screen import Ui

# What of the predecessor's containers is not kept: every one of them was root of its machine.
PLAIN: Final = (
    "containers are not privileged, as they were: what mounts, opens devices or becomes root by"
    " sudo in them is refused"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the options of `run` ask for."""

    wait: bool = True
    until: str = Type.READY
    timeout: float = 1800
    profile: str | None = None
    connect: bool = True
    builder: str | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """One `run`; the steps in the order in which they are called."""

    program: Program
    session: Session
    ui: Ui
    wishes: Wishes = field(default_factory=Wishes)

    def run(self) -> apps.AppState:
        for warning in self.program.warnings:
            self.ui.warn(f"! {warning}")
        if self.program.copy:
            transfer.check_rsync()
            volumes.of(self.session.cluster)  # before images are built
        link = session.link(self.session.cluster)
        patience = Patience(mend=link.tunnel.ensure, tell=self.ui.warn)
        found = self.workshop.there(self.program.builds)
        there = {title: one.digest for title, one in found.items()}
        # All that the cluster is asked may be asked twice.
        wanted = patience.ask(lambda: self.wanted(session.api(link), there))
        digests = self.workshop.make(self.program.builds, found)
        self.copy()
        # A long build may have outlived the tunnel.
        planned = wanted if digests == there else None
        api, app = patience.ask(lambda: self._applied(session.api(link), planned, digests))
        if not self.wishes.wait:
            return app
        goes_on = f"{app.name} goes on without us; `clusterous status` shows how it is."
        try:
            app = self.follow(api, app, patience.ask)
        except KeyboardInterrupt:
            self.ui.warn(goes_on)
            raise
        except TransientError as error:
            raise TransientError(f"{error}\n  {goes_on}") from error
        if self.wishes.connect and app.endpoints and not app.holds(Type.COMPLETED):
            exposure.open_all(self.session.access, api, app, app.endpoints, self.ui)
        return app

    def _applied(
        self,
        api: kube.Api,
        planned: Sequence[kube.Object] | None,
        digests: Mapping[str, str],
    ) -> tuple[kube.Api, apps.AppState]:
        wanted = self.wanted(api, digests) if planned is None else planned
        return api, self.apply(api, wanted, digests)

    def wanted(self, api: kube.Api, digests: Mapping[str, str]) -> list[kube.Object]:
        """What to apply, having asked the cluster whether it takes it; none if it runs already.

        Images are named by *digests*, and by the tags of their content as long as there are none.
        """
        what, known = self.program, self._known(digests)
        running = api.find(kube.apps_path(what.namespace, what.name))
        program.check_name(what, running)
        if program.is_same(what, running, known):
            return []
        manifests = self.manifests(api, known)
        foresight.check_volume(api, manifests[-1], self.has_volume)
        return manifests

    def _known(self, digests: Mapping[str, str]) -> dict[str, str]:
        return program.references(self.program, self.session.cluster.place, digests)

    def manifests(self, api: kube.Api, known: Mapping[str, str]) -> list[kube.Object]:
        """What to apply, whatever runs, having asked the cluster whether it takes it."""
        machines = apps.cluster_machines(api)
        manifests, notes = program.manifests(self.program, machines, known)
        for note in notes:
            self.ui.tell(f"! {note}")
        if self.program.environment is not None:
            self.ui.tell(f"! {PLAIN}")
        api.check(manifests[-1])
        for lack in self._lacks(api, manifests[-1], machines):
            self.ui.warn(f"! {lack}")
        return manifests

    def _lacks(
        self, api: kube.Api, manifest: kube.Object, machines: Mapping[str, Machine]
    ) -> list[str]:
        app = models.parse(manifest)
        asks = any(foresight.devices(one) for one in app.components)
        return foresight.lacks(app, machines, api.items("/api/v1/nodes") if asks else ())

    @property
    def has_volume(self) -> bool:
        return volumes.is_shared(self.session.cluster.record)

    def show(self) -> None:
        """Put on stdout what would be applied, and say what that needs; change nothing."""
        for warning in self.program.warnings:
            self.ui.warn(f"! {warning}")
        link = session.link(self.session.cluster)
        patience = Patience(mend=link.tunnel.ensure, tell=self.ui.warn)
        there = self.workshop.there(self.program.builds)
        known = self._known({title: one.digest for title, one in there.items()})
        manifests = patience.ask(lambda: self.manifests(session.api(link), known))
        unserved = patience.ask(
            lambda: foresight.unserved(session.api(link), manifests[-1], self.has_volume)
        )
        if unserved:
            self.ui.warn(f"! {unserved}")
        for build in self.program.builds:
            word = "is not built yet; `clusterous run` does it"
            word = "is in the registry" if build.title in there else word
            self.ui.tell(f"  image {build.name}:{build.tag} {word}")
        for item in self.program.copy:
            name = transfer.copied_as(self.program.folder, item)
            self.ui.tell(f"  copy {item} goes to {transfer.volume_path(name)}")
        if self.ui.settings.output == "json":
            whole = {"apiVersion": "v1", "kind": "List", "items": manifests}
            self.ui.emit(whole if len(manifests) > 1 else manifests[0])
        else:
            self.ui.line(spelled(manifests))

    # -- images ----------------------------------------------------------------------------

    @property
    def workshop(self) -> Workshop:
        return Workshop(self.session, self.ui, self.wishes.profile, self.wishes.builder)

    # -- files -----------------------------------------------------------------------------

    def copy(self) -> None:
        """Put the folders of `copy` into the root of the shared volume."""
        items = self.program.copy
        if not items:
            return
        volume = volumes.of(self.session.cluster)
        with self.ui.lines() as lines:
            for item in items:
                title = f"copy {item}"
                tell = self.ui.now_and_then(_setter(lines, title))
                done = transfer.copy(self.session.access, volume, self.program.folder, [item], tell)
                where = transfer.volume_path(transfer.copied_as(self.program.folder, item))
                lines.set(title, f"is in {where}  {done}", done=True)
                if done.left:
                    self.ui.warn(f"! {links.spelled(done.left)} lead nowhere on the volume")

    # -- the app ---------------------------------------------------------------------------

    def apply(
        self, api: kube.Api, manifests: Sequence[kube.Object], digests: Mapping[str, str]
    ) -> apps.AppState:
        """Apply the manifests; without any, the app runs as it should."""
        running = api.find(kube.apps_path(self.program.namespace, self.program.name))
        if running is None and not manifests:  # it was removed while we were at work
            manifests = self.wanted(api, digests)
        if running is not None and not manifests:
            return self._again(api, apps.app_state(running))
        results = [api.apply(manifest) for manifest in manifests]
        for manifest, (_, changed) in zip(manifests[:-1], results[:-1], strict=True):
            word = "applied" if changed else "unchanged"
            self.ui.tell(f"{manifest['kind']} {manifest['metadata']['name']}: {word}")
        body, changed = results[-1]
        state = apps.app_state(body)
        if not changed:
            return self._again(api, state)
        self.ui.tell(f"{self.program.name} {'starts' if running is None else 'changed'}")
        return apps.resume(api, state) if self._is_to_resume(state) else state

    def _is_to_resume(self, app: apps.AppState) -> bool:
        """Whether *app* was suspended, and not by the very file that is run."""
        asked = self.program.environment is None and self.program.app["spec"].get("suspend")
        return app.is_suspended and not asked

    def _again(self, api: kube.Api, app: apps.AppState) -> apps.AppState:
        if self._is_to_resume(app):
            self.ui.tell(f"{app.name} was suspended; it is resumed")
            return apps.resume(api, app)
        if app.is_idle:
            self.ui.tell(f"{app.name} was suspended for being idle; it is resumed")
            return apps.resume(api, app)
        self.ui.tell(f"{app.name} runs already, unchanged")
        return app

    def follow(self, api: kube.Api, app: apps.AppState, steady: apps.Steady) -> apps.AppState:
        """Show the app's progress until it is ready."""
        with self.ui.lines() as lines:

            def tell(state: apps.AppState) -> None:
                lines.set(state.name, apps.progress_text(state))

            until, timeout = self.wishes.until, self.wishes.timeout
            done = apps.wait(api, app, tell, until=until, timeout=timeout, steady=steady)
            lines.set(done.name, f"{apps.progress_text(done)}   {done.state}", done=True)
        if done.holds(Type.COMPLETED):
            self.ui.hint(f"To run it again: clusterous kubectl delete capp {done.name}")
        return done


def spelled(manifests: Sequence[kube.Object]) -> str:
    """Spell *manifests* as a file that kubectl applies."""
    text: str = yaml.safe_dump_all(manifests, sort_keys=False, allow_unicode=True)
    return text.rstrip("\n")


def _setter(lines: Lines, title: str) -> Callable[[str], None]:
    return lambda text: lines.set(title, text)

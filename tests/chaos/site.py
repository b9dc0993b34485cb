"""One scenario's place: a namespace, its operators, each behind a proxy, and what happens there."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import ports
from tests.chaos import ending, invariants
from tests.chaos.calls import Fault
from tests.chaos.grounds import POOL, Grounds
from tests.chaos.history import World
from tests.chaos.invariants import Failover
from tests.chaos.process import Operator
from tests.chaos.proxy import Proxy, Write
from tests.cluster.conftest import Lab

Ending = Mapping[str, Any]  # of a story, as ending.py tells it

_QUIET_SECONDS = 0.6
_MOST_ENDS = 10


class StuckError(Exception):
    """Something that must come did not come."""


@dataclass(slots=True, kw_only=True)
class Post:
    """An operator and its proxy."""

    operator: Operator
    proxy: Proxy


@dataclass(slots=True, kw_only=True)
class Site:
    """The place; *lab* is the user who changes things there."""

    grounds: Grounds
    namespace: str
    home: Path
    rng: random.Random
    lab: Lab
    patience: float
    pool: str = POOL
    posts: list[Post] = field(default_factory=list)
    noted: list[Write] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    failovers: list[Failover] = field(default_factory=list)

    @property
    def operator(self) -> Operator:
        """Return the first operator."""
        return self.posts[0].operator

    @property
    def proxy(self) -> Proxy:
        """Return the first operator's proxy."""
        return self.posts[0].proxy

    def man(self, *flags: str, faults: Sequence[Fault] = ()) -> Post:
        """Start an operator of this namespace alone, behind a proxy of its own."""
        name = f"operator-{len(self.posts)}"
        proxy = self.grounds.proxy(name, self.noted)
        self.faults += faults
        proxy.faults = faults
        operator = Operator(
            name=name,
            home=self.home,
            port=ports.free(),
            server=proxy.url,
            token=self.grounds.token(),
            flags=(
                f"--namespaces={self.namespace}",
                f"--own-namespace={self.namespace}",
                f"--identity={name}",  # like a pod's name: it outlives a restart
                "--shrink-seconds=1",
                *flags,
            ),
        )
        self.posts.append(Post(operator=operator, proxy=proxy))
        operator.start()
        return self.posts[-1]

    def world(self) -> World:
        """Return how the namespace stands now."""
        return self.grounds.recorder.now(self.namespace)

    def trouble(self, post: Post, *faults: Fault) -> None:
        """Let these faults be the ones of a proxy from now on."""
        self.faults += faults
        post.proxy.faults = faults

    @property
    def strikes(self) -> int:
        """Return how often something went wrong."""
        return sum(one.strikes for one in self.faults)

    def until(self, check: Callable[[World], bool], what: str, seconds: float = 0.0) -> None:
        """Wait for something, and mind the operators meanwhile as a kubelet would."""
        end = time.monotonic() + (seconds or self.patience)
        while not check(self.world()):
            self.tend()
            if time.monotonic() > end:
                raise StuckError(f"waited in vain for {what}; {self._told()}")
            time.sleep(0.05)

    def tend(self) -> None:
        """Start again what has ended."""
        for post in self.posts:
            post.operator.tend()
            if post.operator.ends > _MOST_ENDS:
                raise StuckError(f"the operator keeps ending: {post.operator.last_words()}")

    def _told(self) -> str:
        apps = [one.get("status", {}).get("message") for one in self.world().all("ClusterousApp")]
        words = [one.operator.last_words() for one in self.posts]
        return f"the apps say {apps}; the operators' last words:\n" + "\n---\n".join(words)

    def writes(self) -> list[Write]:
        """Return what the operators have written here."""
        return [one for one in list(self.noted) if one.call.changes(self.namespace)]

    def is_quiet(self) -> bool:
        """Tell whether nothing has been written for a while."""
        done = self.writes()
        return not done or time.monotonic() - done[-1].at > _QUIET_SECONDS

    def settle(self, wanted: Mapping[str, Any]) -> None:
        """Wait until all is as it is in the undisturbed run, and the operators rest."""

        def settled(world: World) -> bool:
            return ending.ending(world) == wanted and self.is_quiet()

        try:
            self.until(settled, "the end of the undisturbed run")
        except StuckError as error:
            words = ending.difference(wanted, ending.ending(self.world())) or ["it does not rest"]
            raise StuckError("\n".join([*words, str(error)])) from error

    def wait_quiet(self) -> dict[str, Any]:
        """Wait until nothing changes any more; return how that is."""
        before: dict[str, Any] = {}
        since = time.monotonic()

        def still(world: World) -> bool:
            nonlocal before, since
            now = ending.ending(world)
            if now != before:
                before, since = now, time.monotonic()
            return self.is_quiet() and time.monotonic() - since > 2 * _QUIET_SECONDS

        self.until(still, "quiet")
        return before

    def clear(self) -> None:
        """Delete all apps, and wait until nothing is left but their data."""
        for app in self.world().all("ClusterousApp"):
            self.lab.delete("clusterousapps", app["metadata"]["name"])
        self.until(lambda world: not invariants.leftovers(world), "an empty namespace")


@contextlib.contextmanager
def opened(
    grounds: Grounds, name: str, *, seed: int = 0, patience: float = 120.0
) -> Iterator[Site]:
    """Make the place; end its operators and proxies afterwards."""
    namespace = f"chaos-{name}"
    home = grounds.home / namespace
    home.mkdir()
    grounds.plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    site = Site(
        grounds=grounds,
        namespace=namespace,
        home=home,
        rng=random.Random(f"{seed}/{name}"),
        lab=Lab(plane=grounds.plane, namespace=namespace),
        patience=patience,
    )
    try:
        grounds.let_live_in(namespace)
        site.lab.until(lambda: bool(site.lab.all("serviceaccounts")), "the service account")
        yield site
    finally:
        for post in site.posts:
            if post.operator.process is not None:
                post.operator.stop(9)
            grounds.background.do(post.proxy.stop())
        for node in site.lab.nodes:
            grounds.plane.delete_node(node)

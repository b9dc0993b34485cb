"""An account in which stories happen, one after another: its AWS, its machines, who types there."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from clusterous_api import names
from clusterous_cli.cluster import record
from clusterous_cli.cluster.config import ClusterConfig, parse
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.plan import inventory
from tests.functional import cloud
from tests.region.aws.log import Call
from tests.sweep import points, zygote
from tests.sweep.points import Point
from tests.sweep.stories import DESTROY, NAME, Story

# What the calls of those who type bear, and those of the machines do not.
TYPED: Final = "typed"
AGENT: Final = f"app/{TYPED}"
AS_WANTED: Final = "as wanted, nothing to do"  # what plan says then
# How often a command may end in words while faults last that strike once each.
TRIES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a point. *codes* are the exit codes of what was typed, in order."""

    point: str
    story: str
    how: str
    struck: tuple[str, ...] = ()  # the calls that met a fault
    codes: tuple[int, ...] = ()
    converged: bool = False
    left: tuple[str, ...] = ()
    traceback: bool = False
    trouble: str = ""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return self.converged and not self.left and not self.traceback

    def shown(self) -> dict[str, Any]:
        return asdict(self)


class NotAsWanted(Exception):
    """A story did not end as it must; the message has what was said."""


@dataclass
class Account:
    """Where stories happen."""

    world: cloud.World
    clients: zygote.Zygote
    folder: Path
    env: dict[str, str]
    codes: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def undisturbed(self, story: Story) -> list[Call]:
        """Return the calls that a story makes in good weather; it has to end well."""
        with self._stage(story):
            first = len(self.world.server.log())
            self._type(story.argv, must=True)
            calls = [one for one in self.world.server.log()[first:] if AGENT in one.agent]
            self._judge(story)
        return calls

    def disturbed(self, story: Story, point: Point) -> Outcome:
        """Tell a story with a fault in it, then type the same again, and end it."""
        began = time.monotonic()
        trouble: str = ""
        struck: tuple[str, ...] = ()
        try:
            with self._stage(story):
                first = len(self.world.server.log())
                self.world.configure(**point.settings)
                self._suffer(story, point)
                met = {points.call(one) for one in self.world.server.log()[first:] if one.fault}
                struck = tuple(sorted(met))
                self.world.server.world.faults.clear()
                self.world.server.world.settings = cloud.QUICK
                if not (story.by_number and self._ended(story)):
                    self._type(story.argv, must=True)
                self._judge(story)
        except NotAsWanted as error:
            trouble = str(error)
        left = tuple(self.world.server.leftovers())
        return Outcome(
            point=point.name, story=story.name, how=point.how, struck=struck,
            codes=tuple(self.codes), converged=not trouble, left=left, trouble=trouble,
            traceback=any("Traceback" in said for said in self.said),
            seconds=round(time.monotonic() - began, 1),
        )  # fmt: skip

    def _suffer(self, story: Story, point: Point) -> None:
        """Type it with the faults, and again as long as some that have not struck end it."""
        for _ in range(1 if len(point.faults) < 2 else TRIES):
            if self._type(story.argv, faults=point.faults) == 0:
                return

    def _ended(self, story: Story) -> bool:
        """Whether the record says that what is typed by number was done."""
        kept = record.read(self.world.cloud, self._who) or {}
        config = ClusterConfig.from_record(kept["config"])
        counts = {one.name: one.count for one in config.workers}
        return "unfinished" not in kept and counts[names.ROLE_WORKER] == story.workers

    @property
    def _who(self) -> Identity:
        return Identity(name=NAME, account=self.world.cloud.account, region="eu-west-1")

    @contextmanager
    def _stage(self, story: Story) -> Iterator[None]:
        self.world.server.reset()
        self.world.server.world.settings = cloud.QUICK
        self.world.renew()
        self.codes.clear()
        self.said.clear()
        stop = threading.Event()
        arguments = (self.world.cloud, parse(story.file), stop, "")
        machines = threading.Thread(target=cloud.pretend, args=arguments, daemon=True)
        machines.start()
        try:
            if story.before is not None:
                (self.folder / "clusterous.yaml").write_text(story.before)
                self._type(("create", "--yes", "--quiet"), must=True)
                story.upset(self.world)
            (self.folder / "clusterous.yaml").write_text(story.file)
            self.codes.clear()
            yield
        finally:
            stop.set()
            machines.join()

    def _judge(self, story: Story) -> None:
        """Look whether a story ended as it must; then remove the cluster."""
        who = self._who
        if story.workers is not None:
            self._type(("plan",), must=True)
            if AS_WANTED not in self.said[-1]:
                raise NotAsWanted(f"plan would change something:\n{self.said[-1]}")
            found = [one.pool or one.role for one in record.read_nodes(self.world.cloud, who)]
            if found.count(names.ROLE_WORKER) != story.workers:
                raise NotAsWanted(f"these machines are there: {found}")
            if surplus := inventory.index(inventory.take(self.world.cloud, who)).surplus:
                raise NotAsWanted(f"what was made twice: {surplus}")
        self._type(DESTROY, must=True)

    def _type(
        self, argv: Sequence[str], *, must: bool = False, faults: Sequence[dict[str, Any]] = ()
    ) -> int:
        def born(pid: int) -> None:
            if not self.world.server.world.faults.all():
                for fault in faults:
                    self.world.fault(**fault, agent=AGENT, pid=pid)

        address = ("127.0.0.1", self.world.port)
        code, said = self.clients.run(argv, self.folder, self.env, address, born)
        self.codes.append(code)
        self.said.append(said)
        if must and code != 0:
            raise NotAsWanted(f"{' '.join(argv)}: exit code {code}\n{said}")
        return code


@contextmanager
def opened(folder: Path) -> Iterator[Account]:
    """Open an empty account, and keep ready who types in it."""
    import os

    with zygote.started() as clients, cloud.running(folder) as world:
        home = folder / "laptop"
        home.mkdir()
        kept = ("AWS_CA_BUNDLE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION",
                "AWS_CONFIG_FILE", "CLUSTEROUS_HOME")  # fmt: skip
        env = {name: os.environ[name] for name in kept} | {"AWS_SDK_UA_APP_ID": TYPED}
        yield Account(world=world, clients=clients, folder=home, env=env)

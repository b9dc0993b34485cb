"""From the region's log of calls, and what machines told, to the steps of a `create`. Pure.

What needs what is AWS's own order and a machine's, not the product's: where the product lets things
wait for one another that need not, the path does not get longer, and the difference shows.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bench.cluster.path import CALL, MACHINE, STATE, Step
from clusterous_api import names
from clusterous_cli.addons import table, volumeserver
from clusterous_cli.cluster import payload
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.records import report
from clusterous_cli.plan.machines import nodes

Call = Mapping[str, Any]

LOCK: Final = f"PutObject {payload.LOCK_KEY}"
STATE_NOTE: Final = f"PutObject {payload.STATE}"
VOLUME_NOTE: Final = f"PutObject {payload.VOLUME}"
API: Final = "controller: its API server answers"
FILES: Final = "PutObject of the last file that machines boot from"
# The product's own order: one create at a time, so nothing is made before the lock is taken.
_FIRST: Final = (LOCK,)
# What AWS needs before each call. A state that follows a call bears the setting's name.
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "CreateBucket": (),
    LOCK: ("CreateBucket",),
    STATE_NOTE: ("CreateVolume",),
    VOLUME_NOTE: ("CreateVolume",),
    "CreateVpc": _FIRST,
    "CreateSubnet": ("CreateVpc",),
    "CreateInternetGateway": _FIRST,
    "AttachInternetGateway": ("CreateInternetGateway", "CreateVpc"),
    "AllocateAddress": _FIRST,
    "CreateRouteTable": ("CreateVpc",),
    "AssociateRouteTable": ("CreateRouteTable", "CreateSubnet"),
    "CreateNatGateway": ("CreateSubnet", "AllocateAddress", "AttachInternetGateway"),
    "CreateRoute": ("CreateRouteTable", "nat_pending"),
    "CreateVpcEndpoint": ("CreateVpc", "CreateRouteTable"),
    "CreateSecurityGroup": ("CreateVpc",),
    "AuthorizeSecurityGroupIngress": ("CreateSecurityGroup",),
    "CreateRole": _FIRST,
    "PutRolePolicy": ("CreateRole",),
    "CreateInstanceProfile": _FIRST,
    "AddRoleToInstanceProfile": ("CreateRole", "CreateInstanceProfile"),
    "CreateVolume": _FIRST,
    "RunInstances": ("CreateSubnet", "CreateSecurityGroup", "profile_delay"),
    "AttachVolume": ("volume_creating", "pending"),
}
# What follows a call by itself: the setting with its seconds, and the call.
STATES: Final[Mapping[str, str]] = {
    "nat_pending": "CreateNatGateway",
    "profile_delay": "AddRoleToInstanceProfile",
    "volume_creating": "CreateVolume",
    "pending": "RunInstances",
    "volume_attaching": "AttachVolume",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a machine told, read as the product reads it, and when."""

    at: float
    machine: str
    said: Mapping[str, Any]

    @property
    def view(self) -> Mapping[str, Any]:
        """Return what a controller saw of the cluster."""
        return self.said.get("cluster") or {}


@dataclass(slots=True, kw_only=True)
class Create:
    """One `create`, from its beginning to its end (seconds of the region's clock)."""

    config: ClusterConfig
    user: str
    began: float
    ended: float
    settings: Mapping[str, Any]
    calls: Sequence[Call]
    told: Sequence[Mapping[str, Any]]
    _steps: dict[str, Step] = field(default_factory=dict)

    def steps(self) -> list[Step]:
        """Return its steps. A machine's are as long as it took after the last that it needed."""
        self._steps = {}
        for name in NEEDS:
            self._call(name, NEEDS[name])
            self._states(name)
        self._files()
        words = self._words()
        machines = sorted({word.machine for word in words})
        told = [[word for word in words if word.machine == one] for one in machines]
        for own in told:
            if own[0].said["role"] == names.ROLE_CONTROLLER:
                self._controller(own)
        for own in told:
            if own[0].said["role"] != names.ROLE_CONTROLLER:
                self._machine(own)
        self._whole(words)
        return list(self._steps.values())

    # -- calls, and what follows them -------------------------------------------------------

    def _call(self, name: str, needs: Sequence[str], *, after: float = 0.0) -> float | None:
        """Add a call of the person's by its action; of several of a kind the last that counts.

        Return when it ended. *after* is what it has to come after.
        """
        found = [one for one in self._own(name) if one["time"] - self.began >= after]
        if name.startswith("PutObject") or after:
            found = found[:1]  # what is put anew later is another step
        if not found:
            return None
        last, slowest = found[-1], max(one["ms"] for one in found)
        title = name if name not in self._steps else f"{name}, again"
        at = float(last["time"]) - self.began
        self._add(Step(name=title, kind=CALL, seconds=slowest / 1000, at=at, needs=tuple(needs)))
        return at

    def _own(self, name: str) -> list[Call]:
        action, _, key = name.partition(" ")
        return [
            one
            for one in self.calls
            if one["action"] == action
            and one["caller"] == self.user
            and one["status"] < 400
            and self.began <= one["time"] <= self.ended
            and (not key or str(one["resource"]).partition("/")[2] == key)
        ]

    def _files(self) -> None:
        found = [
            one
            for action in ("PutObject", "CompleteMultipartUpload")
            for one in self._own(action)
            if str(one["resource"]).partition("/")[2].startswith("boot/")
        ]
        if found:
            last = max(found, key=lambda one: float(one["time"]))
            at, seconds = float(last["time"]) - self.began, float(last["ms"]) / 1000
            self._add(Step(name=FILES, kind=CALL, seconds=seconds, at=at, needs=("CreateBucket",)))

    def _states(self, action: str) -> None:
        for state, call in STATES.items():
            if call == action and call in self._steps:
                seconds, at = float(self.settings[state]), self._steps[call].at
                self._add(
                    Step(name=state, kind=STATE, seconds=seconds, at=at + seconds, needs=(call,))
                )

    def _add(self, step: Step) -> None:
        self._steps[step.name] = step

    # -- machines ---------------------------------------------------------------------------

    def _words(self) -> list[Word]:
        return [
            Word(
                at=float(one["time"]) - self.began,
                machine=str(one["caller"]).rpartition("/")[2],
                said=report.read(str(one["text"]).encode()),
            )
            for one in self.told
            if self.began <= one["time"] <= self.ended
            and re.search(r"/i-[0-9a-f]+\.json$", str(one["resource"]))
        ]

    def _leg(self, name: str, at: float, *needs: str) -> str:
        """Add what a machine did until *at*, since the last of its needs that had come by then."""
        known = [self._steps[one] for one in needs if one in self._steps]
        met = [one for one in known if one.at <= at]
        since = max((one.at for one in met), default=at)
        self._add(
            Step(
                name=name, kind=MACHINE, seconds=at - since, at=at,
                needs=tuple(one.name for one in met or known),
            )
        )  # fmt: skip
        return name

    def _machine(self, own: Sequence[Word]) -> None:
        """Add a machine's boot: until it begins with Kubernetes, and until it is ready."""
        title, last = f"{own[0].said['role']} {own[0].machine[-8:]}", ["pending"]
        for phase in ("fetching", "starting", "ready"):
            found = next((one for one in own if one.said["phase"] == phase), None)
            if found is not None:
                # A worker is ready when the API server has answered it.
                more = {"starting": [FILES], "ready": [API]}.get(phase, [])
                last = [self._leg(f"{title}: {phase}", found.at, *last, *more)]

    def _controller(self, own: Sequence[Word]) -> None:
        first = own[0]
        self._leg("controller: it boots", first.at, "pending")
        made = _first(own, lambda one: one.said.get("state", {}).get("phase") == "made")
        last = ["controller: it boots"]
        if made:
            needs = (*last, FILES, "volume_attaching", STATE_NOTE)
            self._leg("controller: the state's volume is formatted", made.at, *needs)
            last = self._marked(
                "the state's", "controller: the state's volume is formatted", STATE_NOTE
            )
        up = _first(own, lambda one: bool(one.view))
        if up:
            self._leg(API, up.at, *last)
            last = [API]
        made = _first(own, lambda one: (one.view.get("volume") or {}).get("phase") == "made")
        if made:
            formatted = "controller: the shared volume is formatted"
            self._leg(formatted, made.at, *last, "volume_attaching", VOLUME_NOTE)
            self._marked("the shared", formatted, VOLUME_NOTE)

    def _marked(self, whose: str, formatted: str, note: str) -> list[str]:
        """Add the marking of a volume: its tag, and the note by which the controller knows."""
        at = self._steps[formatted].at
        tagged = self._call("CreateTags", (formatted,), after=at)
        if tagged is None:
            return [formatted]
        title = f"CreateTags: {whose} volume is marked"
        self._rename("CreateTags", title)
        if self._call(note, (title,), after=tagged) is None:
            return [title]
        return [f"{note}, again"]

    def _rename(self, name: str, title: str) -> None:
        step = self._steps.pop(name)
        self._add(
            Step(name=title, kind=step.kind, seconds=step.seconds, at=step.at, needs=step.needs)
        )

    def _whole(self, words: Sequence[Word]) -> None:
        """Add what all is done with: what the controller saw when nothing was missing any more."""
        done = _first(words, self._is_whole)
        if done is not None:
            marks = [one for one in self._steps if one.endswith(", again")]
            ready = [one for one in self._steps if one.endswith(": ready")]
            self._leg(
                "controller: all is ready", done.at,
                API, *marks, *ready,
            )  # fmt: skip

    def _is_whole(self, word: Word) -> bool:
        """Whether it is a controller's, and `create` could end by it."""
        view = word.view
        if not view.get("addons"):
            return False
        awaited = [one.name for one in table.wanted(self.config) if one.awaited]
        digests = {name: view["addons"][name] for name in awaited if name in view["addons"]}
        states = nodes.addon_states(view, digests)
        if self.config.volume.served:
            states["volume"] = volumeserver.state(view, self.config.volume.size or 0)
        wanted = sum(one.count for one in self.config.pools if one.role != names.ROLE_GATEWAY)
        up = sum(state == "Ready" for state in view.get("nodes", {}).values())
        return (
            len(digests) == len(awaited) and up >= wanted and all(s.ready for s in states.values())
        )


def _first(words: Sequence[Word], check: Callable[[Word], bool]) -> Word | None:
    return next((one for one in words if check(one)), None)

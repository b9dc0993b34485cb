"""Who may write: what to do about the operator's Lease, as a function of what is seen of it. Pure.

All times are of one's own clock, since clocks of several machines do not agree. Whoever holds the
Lease counts from the moment at which it *sent* the last renewal that succeeded, whoever waits for
it from the moment at which it *saw* that one, which is later: so the holder stops first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """For how long the Lease holds, how often it is renewed, how long before its end we stop."""

    duration: float = 10.0
    renew: float = 2.0
    margin: float = 2.0  # for a request on its way when its time is over
    retry: float = 0.5
    nap: float = 1.0  # the longest: clocks go on while a machine sleeps, its timers do not


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a Lease says: who holds it (nobody: empty), since which renewal, for how long."""

    namespace: str
    name: str
    version: int = field(compare=False)
    holder: str
    renewed: str
    duration: float
    transitions: int = 0

    @classmethod
    def read(cls, body: Body) -> "Claim":
        """Read an API object."""
        metadata, spec = body["metadata"], body.get("spec") or {}
        return cls(
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            version=int(metadata.get("resourceVersion", 0)),
            holder=spec.get("holderIdentity") or "",
            renewed=spec.get("renewTime") or "",
            duration=float(spec.get("leaseDurationSeconds") or 0),
            transitions=int(spec.get("leaseTransitions") or 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The Lease as it was last seen (None: there is none), and since when it says the same."""

    claim: Claim | None
    since: float


def see(before: Seen | None, claim: Claim | None, now: float) -> Seen:
    """Return what is seen now; what says the same as before has said it since then."""
    if before is None or claim is None or before.claim is None:
        return Seen(claim=claim, since=now)
    if claim.version < before.claim.version:
        return before
    return Seen(claim=claim, since=before.since if claim == before.claim else now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Do nothing for so long, unless the Lease changes."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Write ourselves in; *over* is what was seen: if that has changed, it is not to succeed."""

    over: Claim | None


Step = Wait | Hold


def decide(me: str, seen: Seen, sent: float | None, now: float, terms: Terms) -> Step:
    """Return what *me* is to do, whose last successful renewal was sent at *sent*."""
    claim = seen.claim
    if claim is None or not claim.holder:
        return Hold(over=claim)
    if claim.holder != me:
        left = seen.since + claim.duration - now
    else:  # also of our predecessor in this pod, which is dead for sure: then *sent* is None
        left = 0.0 if sent is None else sent + terms.renew - now
    return Wait(seconds=left) if left > 0 else Hold(over=claim)


def deadline(me: str, seen: Seen | None, sent: float | None, terms: Terms) -> float:
    """Return until when *me* may write; minus infinity where it may not at all."""
    if sent is None or seen is None or seen.claim is None or seen.claim.holder != me:
        return float("-inf")
    return sent + terms.duration - terms.margin


def held(me: str, over: Claim | None, now: datetime, terms: Terms) -> dict[str, Any]:
    """Return the specification that says that *me* holds the Lease from now on."""
    time = moment(now)
    spec: dict[str, Any] = {
        "holderIdentity": me,
        "leaseDurationSeconds": round(terms.duration),
        "renewTime": time,
    }
    if over is None or over.holder != me:
        spec["acquireTime"] = time
        spec["leaseTransitions"] = 0 if over is None else over.transitions + 1
    return spec


def released(now: datetime) -> dict[str, Any]:
    """Return the specification that lets another take over at once."""
    return {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": moment(now)}


def moment(now: datetime) -> str:
    """Write a time as Kubernetes' MicroTime."""
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

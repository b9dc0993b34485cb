"""Whether the cluster is new enough for this operator: its CRD, and Kubernetes itself. Pure.

A status written through an older CRD loses the fields that it does not know, and a specification
read through it has lost them already: what then looks like "no longer wanted" never was.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clusterous_api import names

Body = Mapping[str, Any]

# 1.31 is where Jobs say SuccessCriteriaMet and FailureTarget before their last pod is gone, where
# podFailurePolicy is stable, and where lists are consistent without being read from etcd. The CRD's
# rules (fieldPath, quantities in CEL) need 1.30.
MINIMUM = (1, 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """Why no app is touched: a reason for programs, words for people."""

    reason: str
    words: str


def of_kubernetes(release: Body) -> Unfit | None:
    """Return what is wrong with the release of Kubernetes, of which `/version` tells."""
    found = tuple(_number(release.get(key)) for key in ("major", "minor"))
    if found >= MINIMUM:
        return None
    needed, there = (".".join(map(str, one)) for one in (MINIMUM, found))
    return Unfit(
        reason="KubernetesTooOld",
        words=f"This operator needs Kubernetes {needed} or newer, and this is {there}; upgrade it, "
        "or install an older release of Clusterous.",
    )


def _number(text: object) -> int:
    match = re.match(r"\d+", str(text))  # some write 34+
    return 0 if match is None else int(match[0])


def of_crd(ours: Body, theirs: Body) -> Unfit | None:
    """Return what the CRD in the cluster lacks of *ours*; fields it has beyond are welcome."""
    schema = _schema(theirs)
    if schema is None:
        lacks = [f"version {names.VERSION}"]
    else:
        lacks = sorted(_missing(_schema(ours) or {}, schema, ""))
    if not lacks:
        return None
    more = f" and {len(lacks) - 1} more" if len(lacks) > 1 else ""
    return Unfit(
        reason="CRDTooOld",
        words=f"The CRD {theirs['metadata']['name']} is older than the operator: it lacks "
        f"{lacks[0]}{more}. Nothing is changed until the CRD of this release is applied.",
    )


def _schema(crd: Body) -> Body | None:
    for version in crd["spec"]["versions"]:
        if version["name"] == names.VERSION and version.get("served"):
            found: Body = version["schema"]["openAPIV3Schema"]
            return found
    return None


def _missing(ours: Body, theirs: Body, where: str) -> Iterator[str]:
    if theirs.get("x-kubernetes-preserve-unknown-fields"):
        return
    there = theirs.get("properties") or {}
    for name, schema in (ours.get("properties") or {}).items():
        if name not in there:
            yield f"{where}.{name}".lstrip(".")
        else:
            yield from _missing(schema, there[name], f"{where}.{name}")
    for inner in ("items", "additionalProperties"):
        one, other = ours.get(inner), theirs.get(inner)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _missing(one, other, f"{where}[]")

"""What kstatus makes of an object: a port of its generic rules, to compare our status with.

From kubernetes-sigs/cli-utils at 5895ad6c, pkg/kstatus/status: checkGenericProperties in generic.go
and checkReadyCondition in status.go, in the order in which Compute calls them. What is left out is
of kinds that Kubernetes brings. Compared once with the Go code (v0.37.2) on 600 statuses of ours:
no difference.
"""

from collections.abc import Mapping
from typing import Any


def compute(body: Mapping[str, Any]) -> str:
    """Return InProgress, Failed, Current or Terminating."""
    metadata, status = body["metadata"], body.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    observed = status.get("observedGeneration")
    if "generation" in metadata and observed is not None and observed != metadata["generation"]:
        return "InProgress"
    conditions = status.get("conditions") or ()
    for one in conditions:
        if (one["type"], one["status"]) == ("Reconciling", "True"):
            return "InProgress"
        if (one["type"], one["status"]) == ("Stalled", "True"):
            return "Failed"
    for one in conditions:
        if one["type"] == "Ready":
            return "Current" if one["status"] == "True" else "InProgress"
    return "Current"

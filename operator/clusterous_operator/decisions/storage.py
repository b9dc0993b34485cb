"""An app's claim: whether it grows, and whether all pods can mount it. Pure."""

from collections.abc import Mapping
from typing import Any

from clusterous_api import names, quantity
from clusterous_api.models import ClusterVolume, NewClaim
from clusterous_operator import manifests
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import Node
from clusterous_operator.capacity import eligible
from clusterous_operator.decisions.plan import Patch
from clusterous_operator.manifests import Facts

Body = Mapping[str, Any]

_OF_ONE_NODE = frozenset({"ReadWriteOnce", "ReadWriteOncePod"})


def more(look: Look) -> str | None:
    """Return the size that the app wants its claim to have, if that is more than it has."""
    source, claim = look.app.volume.source, look.claim
    if not isinstance(source, NewClaim) or claim is None or "size" not in claim.state:
        return None
    is_more = quantity.parse(source.size) > quantity.parse(claim.state["size"])
    return source.size if is_more and not claim.deleting else None


def growth(look: Look) -> list[Patch]:
    """Return what lets the claim grow: the rest of a claim may not be changed."""
    wanted, claim = more(look), look.claim
    if wanted is None or claim is None or not look.can_grow:
        return []
    return [Patch(child=claim, body={"spec": {"resources": {"requests": {"storage": wanted}}}})]


def words(look: Look) -> str:
    """Say why a claim stays smaller than it is wanted, if it does."""
    wanted, claim = more(look), look.claim
    if wanted is None or claim is None or look.can_grow:
        return ""
    of = f"storage class {claim.state['class']}" if claim.state.get("class") else "its volume"
    return (
        f"it stays at {claim.state['size']}, since {of} does not let volumes grow to the {wanted} "
        "that are asked for"
    )


def remembered(look: Look) -> Body:
    """Return the claim that the data is behind, as the status is to remember it.

    One that goes with an earlier app of this name has that one's data.
    """
    claim, before = look.claim, look.before.get("claim") or {}
    if look.claim_is_going:
        return {}
    if claim is not None and claim.state.get("phase") == "Bound" and "volume" in claim.state:
        return {"name": claim.name, "volume": claim.state["volume"]}
    return before if before.get("name") == look.claim_name else {}


def is_lost(look: Look) -> bool:
    """Tell whether the claim is gone that the data was behind, and nobody wants an empty one.

    A volume that we describe ourselves, over NFS, has its data whoever claims it.
    """
    if look.claim is not None or not _makes_volumes(look):
        return False
    volume = remembered(look).get("volume")
    return bool(volume) and look.app.annotations.get(names.ANNOTATION_BEGIN_EMPTY) != volume


def _makes_volumes(look: Look) -> bool:
    """Tell whether another claim would get another, empty volume."""
    source = look.app.volume.source
    is_default = isinstance(source, ClusterVolume) and not look.on_cluster_volume
    return isinstance(source, NewClaim) or is_default


def lost_words(look: Look) -> str:
    """Say what became of the data, and how to go on."""
    volume = remembered(look)["volume"]
    return (
        f"The claim {look.claim_name} was deleted; the data was on volume {volume}, which "
        f"`kubectl get pv {volume}` shows if it is still there. To go on with it, make the claim "
        f"{look.claim_name} with volumeName {volume}, once that has no claimRef. To begin with an "
        f"empty volume: `kubectl annotate capp {look.app.name} --overwrite "
        f"{names.ANNOTATION_BEGIN_EMPTY}={volume}`."
    )


def is_of_one_node(look: Look) -> bool:
    """Tell whether the claim, on a cluster of several nodes, can be mounted on one at a time."""
    claim = look.claim
    if claim is None or "volume" not in claim.state or not claim.state["modes"]:
        return False
    if not _OF_ONE_NODE.issuperset(claim.state["modes"]):
        return False
    return sum(one.schedulable for one in look.nodes) > 1


def refusal(look: Look, replicas: Mapping[str, int]) -> str | None:
    """Return why not all pods could mount the claim, if so: it is of one node, they of several.

    Where the volume itself can be used on one node only, the scheduler puts all pods there.
    """
    pods = sum(replicas.values())
    if look.reach is None or pods < 2 or not is_of_one_node(look):
        return None
    nodes = [one for one in look.nodes if one.schedulable and _reaches(look.reach, one)]
    specs = [
        manifests.pod_template(look.app, one, Facts())["spec"]
        for one in look.app.components
        if replicas.get(one.name)
    ]
    usable = [one for one in nodes if any(eligible.admits(one, spec) for spec in specs)]
    if len(usable) < 2 or _are_together(look, pods):
        return None
    return (
        f"The claim {look.claim_name} can be mounted on one node at a time, since it is not "
        f"ReadWriteMany, but the app's {pods} pods may run on {len(usable)} nodes. "
        "Use a volume with ReadWriteMany, or keep all components on one node by placement."
    )


def _are_together(look: Look, pods: int) -> bool:
    """Tell whether all pods run already, on one node, so that there is nothing to refuse."""
    ready = [one for one in look.pods if one.ready and not one.deleting]
    return len(ready) >= pods and len({one.node for one in ready}) == 1


def _reaches(reach: Body, node: Node) -> bool:
    """Tell whether a volume with this node affinity can be used on a node."""
    required = reach.get("required")
    if not required:
        return True
    rule = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    return eligible.selected(node, {"affinity": {"nodeAffinity": rule}})

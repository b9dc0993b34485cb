"""For which cluster a controller of Kubernetes made a thing, by the tags that it gave it. Pure.

The names are what somebody told the controllers, and any cluster may be called so: a name alone
proves nothing. What bears ours and is in our network, or at one of our machines, is this one's.

https://github.com/kubernetes-sigs/aws-ebs-csi-driver/blob/master/docs/tagging.md
https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/deploy/security_groups/
"""

from collections.abc import Mapping
from typing import Final

from clusterous_cli.cluster.identity import Identity

# Of AWS's cloud controller, and of the CSI driver where it was told a name: `owned`; what is only
# used, and stays, is `shared`.
CLUSTER: Final = "kubernetes.io/cluster/"
OWNED: Final = "owned"
# Of the load balancer controller, in its second and its first edition, and of old cloud providers.
NAMED: Final = ("elbv2.k8s.aws/cluster", "ingress.k8s.aws/cluster", "KubernetesCluster")
# All that the CSI driver made bears this, whatever its cluster is called.
CSI: Final = "ebs.csi.aws.com/cluster"
CLAIM: Final = "kubernetes.io/created-for/pvc/"


def clusters(tags: Mapping[str, str]) -> tuple[str, ...]:
    """Name the clusters for which controllers made a thing."""
    owned = {
        key.removeprefix(CLUSTER)
        for key, value in tags.items()
        if key.startswith(CLUSTER) and value == OWNED
    }
    return tuple(sorted(owned | {tags[key] for key in NAMED if tags.get(key)}))


def names(tags: Mapping[str, str], who: Identity) -> bool:
    """Whether the tags name a cluster that is called like ours, and no other."""
    return clusters(tags) == (who.name,)


def claim(tags: Mapping[str, str]) -> str:
    """Spell the claim that a volume was made for, as far as it is known."""
    space, name = tags.get(f"{CLAIM}namespace"), tags.get(f"{CLAIM}name")
    return f"the claim {space}/{name}" if space and name else "a claim"


def says(tags: Mapping[str, str]) -> str:
    """Say who made a thing in our network that is not ours; nothing where no controller did."""
    named = ", ".join(clusters(tags))
    return f"a controller of a Kubernetes cluster called {named} made it" if named else ""

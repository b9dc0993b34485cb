"""Every name that the world sees: API group, labels, annotations, tags, object and DNS names."""

from typing import Final

DOMAIN: Final = "clusterous.io"

# The custom resource.
GROUP: Final = DOMAIN
VERSION: Final = "v1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "ClusterousApp"
PLURAL: Final = "clusterousapps"
SHORT: Final = "capp"

# Who writes: the field manager of server-side apply, and the value of the managed-by label.
FIELD_MANAGER: Final = "clusterous-operator"
MANAGED_BY: Final = "clusterous-operator"

# Labels on children of an app.
LABEL_APP: Final = f"{DOMAIN}/app"
LABEL_COMPONENT: Final = f"{DOMAIN}/component"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"

# Labels on nodes. Both are of the kind that no kubelet may set on its own node: a worker that was
# broken into could else call itself the controller, and be given the operator's next pod.
LABEL_CONTROL_PLANE: Final = "node-role.kubernetes.io/control-plane"
LABEL_POOL: Final = f"{DOMAIN}.node-restriction.kubernetes.io/pool"
ROLE_CONTROLLER: Final = "controller"
ROLE_WORKER: Final = "worker"
ROLE_GATEWAY: Final = "gateway"
# No machine's: that of a registry on the cluster, which reaches its bucket by it.
ROLE_REGISTRY: Final = "registry"
CONTROL_PLANE_TAINT: Final = LABEL_CONTROL_PLANE
# The pool of the machine for masters, and what keeps all else away from it.
POOL_MASTER: Final = "master"
MASTER_TAINT: Final = f"{DOMAIN}/master"

# Tags on everything in AWS; the truth about what exists.
TAG_CLUSTER: Final = f"{DOMAIN}/cluster"
TAG_UID: Final = f"{DOMAIN}/uid"
TAG_ROLE: Final = f"{DOMAIN}/role"
TAG_POOL: Final = f"{DOMAIN}/pool"
# On machines: what they were started with, which AWS does not say with the machine.
TAG_K3S: Final = f"{DOMAIN}/k3s"
TAG_DISK: Final = f"{DOMAIN}/disk-gib"
TAG_MARKS: Final = f"{DOMAIN}/marks"  # a digest of their nodes' labels and taints
# The type that the cluster file has, on a machine that had to be of another.
TAG_INSTEAD: Final = f"{DOMAIN}/instead-of"
# On volumes: that the file system was made, which is never done twice; on a snapshot, that it was
# made on its volume. On what outlasts its cluster on purpose, as a shared volume that was kept when
# its cluster was destroyed, and every snapshot: whose it was.
TAG_FORMATTED: Final = f"{DOMAIN}/formatted"
TAG_KEPT: Final = f"{DOMAIN}/kept-from"
# On a snapshot of a shared volume: the name of the one of the datastore that was taken with it.
TAG_BESIDE: Final = f"{DOMAIN}/datastore-snapshot"

# Components with a name of their own.
MASTER: Final = "master"
WORKERS: Final = "workers"

# The shared volume.
VOLUME_PATH: Final = "/home/data"
DEFAULT_VOLUME_SIZE: Final = "20Gi"
# On nodes, the way to the cluster's own volume: there only while that is mounted at VOLUME_PATH.
VOLUME_GATE: Final = "/run/clusterous/data"

# Where the operator lives on a cluster, and what tells it about the cluster's own volume.
NAMESPACE: Final = "clusterous-system"
CLUSTER_CONFIG: Final = "clusterous-cluster"

# The Lease of the one operator that writes.
LEASE: Final = "clusterous-operator"

# On the pods of what the cluster itself runs: which add-on's they are, and of which digest.
ANNOTATION_ADDON: Final = f"{DOMAIN}/addon"

# Environment of every component's containers.
ENV_APP: Final = "CLUSTEROUS_APP"
ENV_COMPONENT: Final = "CLUSTEROUS_COMPONENT"
ENV_MASTER_HOST: Final = "CLUSTEROUS_MASTER_HOST"

# Annotations on children: the hash of what was last applied, and of what a Job was asked to run.
ANNOTATION_APPLIED: Final = f"{DOMAIN}/applied"
ANNOTATION_RUN: Final = f"{DOMAIN}/run"

# On a Deployment whose pods were refused: when its ReplicaSet was last told to ask again.
ANNOTATION_ASKED_AGAIN: Final = f"{DOMAIN}/asked-again"

# On the pods of a component: how often failurePolicy has restarted it, with which generation of the
# app these counts began anew, and for the log pipeline.
ANNOTATION_RESTARTS: Final = f"{DOMAIN}/restarts"
ANNOTATION_LIFE: Final = f"{DOMAIN}/counted-since-generation"
LABEL_LOGGING: Final = f"{DOMAIN}/logging"
LABEL_LOG_FORMAT: Final = f"{DOMAIN}/log-format"

# Kubernetes' own: of the pods of a ReplicaSet those with less go first when there are to be fewer.
ANNOTATION_DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"

# On an app, by its users: a new value resumes an app that was suspended for being idle.
ANNOTATION_RESUME: Final = f"{DOMAIN}/resume"

# On an app, by its users: the name of the volume that was lost, in whose place an empty one may be.
ANNOTATION_BEGIN_EMPTY: Final = f"{DOMAIN}/begin-empty-after"

# The cluster's own volume: its claim in each namespace, which no app's own claim can be named
# like, because those have no dot; and its key in CLUSTER_CONFIG, beside the one of the region.
CLUSTER_CLAIM: Final = "shared.clusterous.io"
CLUSTER_VOLUME_KEY: Final = "volume.yaml"
CLUSTER_REGION_KEY: Final = "region"
VOLUME_NAME: Final = "data"

# The predecessor's programs find each other under these names.
LEGACY_DNS_SUFFIX: Final = "marathon.mesos"
# Where pods look for the names of their app's components that have no address of their own, below
# the app and its namespace. The DNS of clusters of ours makes the Service's name of it.
CLUSTER_DOMAIN: Final = "cluster.local"
NAMES_DOMAIN: Final = f"clusterous.{CLUSTER_DOMAIN}"
LONGEST_LABEL: Final = 63


def child(app: str, component: str) -> str:
    """Return the name of a component's Deployment, Job and Service."""
    return f"{app}-{component}"


def search_domain(app: str, namespace: str) -> str:
    """Return below which domain the components of an app have their short names."""
    return f"{app}.{namespace}.{NAMES_DOMAIN}"


def is_label(name: str) -> bool:
    """Tell whether DNS, and so a Service, can be called that: one label, not too long."""
    return "." not in name and len(name) <= LONGEST_LABEL


def claim(app: str) -> str:
    """Return the name of the claim that an app gets when it uses no other."""
    return f"{app}-data"


def persistent_volume(namespace: str, app: str | None = None) -> str:
    """Return the name of a static volume; dots keep namespace *a-b* apart from app *b* in *a*."""
    return ".".join(filter(None, ("clusterous", namespace, app)))


def selector(app: str, component: str) -> dict[str, str]:
    """Return the labels by which a component's pods are found."""
    return {LABEL_APP: app, LABEL_COMPONENT: component}

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

# Labels on nodes, and the tags of the machines behind them.
LABEL_ROLE: Final = f"{DOMAIN}/role"
LABEL_POOL: Final = f"{DOMAIN}/pool"
ROLE_CONTROLLER: Final = "controller"
ROLE_WORKER: Final = "worker"
ROLE_GATEWAY: Final = "gateway"
CONTROL_PLANE_TAINT: Final = "node-role.kubernetes.io/control-plane"

# Tags on everything in AWS; the truth about what exists.
TAG_CLUSTER: Final = f"{DOMAIN}/cluster"
TAG_UID: Final = f"{DOMAIN}/uid"
TAG_ROLE: Final = f"{DOMAIN}/role"
TAG_POOL: Final = f"{DOMAIN}/pool"

# Components with a name of their own.
MASTER: Final = "master"
WORKERS: Final = "workers"

# The shared volume.
VOLUME_PATH: Final = "/home/data"
DEFAULT_VOLUME_SIZE: Final = "20Gi"

# Where the operator lives on a cluster, and what tells it about the cluster's own volume.
NAMESPACE: Final = "clusterous-system"
CLUSTER_CONFIG: Final = "clusterous-cluster"

# Environment of every component's containers.
ENV_APP: Final = "CLUSTEROUS_APP"
ENV_COMPONENT: Final = "CLUSTEROUS_COMPONENT"
ENV_MASTER_HOST: Final = "CLUSTEROUS_MASTER_HOST"

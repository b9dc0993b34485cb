"""AWS's cloud controller manager: it removes the Node of a machine that EC2 says is gone.

It runs beside k3s' own, which must stay: that one gives new nodes their addresses, and says of
every machine that it exists. Of AWS's only the controller of nodes' lives is on.
"""

from typing import Any, Final

from clusterous_api import names
from clusterous_cli.addons.addon import CONFINED, Addon, Manifest, Mark, Setting
from clusterous_cli.boot.bootstrap import FACTS

IMAGE: Final = "registry.k8s.io/provider-aws/cloud-controller-manager:v1.35.0"
NAME: Final = "aws-cloud-controller-manager"

_SPACE: Final = "kube-system"
_FLAGS: Final = (
    "--cloud-provider=aws",
    f"--cloud-config={FACTS}/cloud.conf",
    "--controllers=cloud-node-lifecycle",
    "--leader-elect=false",
    "--bind-address=127.0.0.1",
    "--configure-cloud-routes=false",
    "--allocate-node-cidrs=false",
    "--authentication-tolerate-lookup-failure=true",
)
_RULES: Final = (
    ("", "nodes", ("get", "list", "watch", "patch", "update", "delete")),
    ("", "nodes/status", ("patch",)),
    ("", "events", ("create", "patch", "update")),
    ("", "services", ("list", "watch")),
)


def manifests(setting: Setting, mark: Mark) -> list[Manifest]:
    """Return its objects."""
    return [_account(), _role(), *_bindings(), _deployment(mark)]


def _meta(name: str = NAME) -> dict[str, Any]:
    return {"name": name, "namespace": _SPACE}


def _account() -> Manifest:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta()}


def _role() -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": NAME},
        "rules": [
            {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
            for group, resource, verbs in _RULES
        ],
    }


def _bindings() -> list[Manifest]:
    group = "rbac.authorization.k8s.io"
    subjects = [{"kind": "ServiceAccount", **_meta()}]
    reader = "extension-apiserver-authentication-reader"
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": NAME},
            "subjects": subjects,
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": _meta(),
            "roleRef": {"apiGroup": group, "kind": "Role", "name": reader},
            "subjects": subjects,
        },
    ]


def _deployment(mark: Mark) -> Manifest:
    labels = {"app.kubernetes.io/name": NAME}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": dict(mark)},
                "spec": _pod(),
            },
        },
    }


def _pod() -> dict[str, Any]:
    files = {"name": "clusterous", "mountPath": FACTS, "readOnly": True}
    return {
        "serviceAccountName": NAME,
        "priorityClassName": "system-cluster-critical",
        # The controller's role is for the machine itself: pods with a network of their own do not
        # reach the metadata service, whose answers may make one hop only.
        "hostNetwork": True,
        "nodeSelector": {names.LABEL_CONTROL_PLANE: "true"},
        "tolerations": [{"key": names.CONTROL_PLANE_TAINT, "operator": "Exists"}],
        "containers": [
            {
                "name": "controller",
                "image": IMAGE,
                "args": list(_FLAGS),
                # It trusts whom the machine trusts, a company's own authority included.
                "env": [{"name": "SSL_CERT_FILE", "value": f"{FACTS}/ca.pem"}],
                "resources": {
                    "requests": {"cpu": "20m", "memory": "64Mi"},
                    "limits": {"memory": "256Mi"},
                },
                "securityContext": {**CONFINED},
                "volumeMounts": [files],
            }
        ],
        "volumes": [{"name": "clusterous", "hostPath": {"path": FACTS, "type": "Directory"}}],
    }


ADDON: Final = Addon(
    name="cloud-controller",
    noun="cloud controller",
    manifests=manifests,
    # Nothing that starts needs it, and its image comes through NAT, which takes minutes.
    awaited=False,
    # Whether a machine that fell silent is gone; AWS knows no way to allow it for some only.
    actions=("ec2:DescribeInstances",),
)

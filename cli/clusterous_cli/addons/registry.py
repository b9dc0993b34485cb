"""The registry of images on the cluster: distribution 3.1 with its S3 driver, on a shared bucket.

It runs twice in one pod. Nodes pull from the one, which changes nothing and takes who has a node's
certificate; the other takes pushes of who has a token that the command line signed, for hours. A
program's pod reaches both, and has neither. Layers are not sent by it: it redirects to S3.

Its role is its own: the controller takes it, and leaves the keys to the pod's user alone
(boot/templates/registry.sh), so that nothing else of the cluster can be reached from here. There is
no cache of descriptors: another cluster may remove what the bucket has
(docs/adr/0029-a-registry-on-a-shared-bucket.md).
"""

import json
from typing import Any, Final

from clusterous_api import names
from clusterous_cli.addons.addon import CONFINED, Addon, Manifest, Mark, Setting
from clusterous_cli.boot import pki
from clusterous_cli.boot.bootstrap import FACTS, KEYS, REGISTRY_USER
from clusterous_cli.cluster.file.registry import NAME, PORT, PREFIX, READ, WRITE
from clusterous_cli.system import pins

IMAGE: Final = "docker.io/library/registry:3.1.2"
SPACE: Final = "kube-system"
LABELS: Final = {"app.kubernetes.io/name": NAME}
# Of the pod: the container, and where it listens.
PORTS: Final = {"read": PORT, "write": PORT + 1}
WRITER: Final = "write"
PROGRAM: Final = "registry"
FOLDER: Final = "/etc/registry"
# Whom a token is for, and who signed it.
SERVICE: Final = "clusterous-registry"
ISSUER: Final = "clusterous"
# Where nobody gives tokens: who pushes has one.
REALM: Final = "https://registry.invalid/token"


def manifests(setting: Setting, mark: Mark) -> list[Manifest]:
    """Return its objects."""
    return [_secret(setting), _service(NAME, READ, "read"), _service(f"{NAME}-push", WRITE, WRITER),
            _deployment(mark)]  # fmt: skip


def settings(setting: Setting, name: str) -> dict[str, Any]:
    """Return what distribution reads of one of the two."""
    reads = name != WRITER
    tls: dict[str, Any] = {
        "certificate": f"{FOLDER}/{pki.SERVER[0]}",
        "key": f"{FOLDER}/{pki.SERVER[1]}",
        "minimumtls": "tls1.2",
    }
    pushing = {
        "realm": REALM, "service": SERVICE, "issuer": ISSUER,
        "rootcertbundle": f"{FOLDER}/{pki.PUSH[0]}",
    }  # fmt: skip
    return {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {
            "s3": {
                "region": setting.region,
                "bucket": setting.bucket,
                "rootdirectory": f"/{PREFIX.rstrip('/')}",
            },
            "delete": {"enabled": not reads},
            "redirect": {"disable": False},
            "maintenance": {
                "readonly": {"enabled": reads},
                # It ends where one of these is not said.
                "uploadpurging": {
                    "enabled": not reads,
                    "age": "168h",
                    "interval": "24h",
                    "dryrun": False,
                },
            },
        },
        "http": {
            "addr": f":{PORTS[name]}",
            "secret": setting.registry[pki.UPLOADS],
            "relativeurls": True,
            "tls": {**tls, "clientcas": [f"{FOLDER}/{pki.REGISTRY_CA}"]} if reads else tls,
        },
        **({} if reads else {"auth": {"token": pushing}}),
    }


def _meta(name: str = NAME) -> dict[str, Any]:
    return {"name": name, "namespace": SPACE}


def _secret(setting: Setting) -> Manifest:
    files = {f"{name}.json": json.dumps(settings(setting, name), indent=1) for name in PORTS}
    parts = (pki.REGISTRY_CA, *pki.SERVER, pki.PUSH[0])
    files |= {part: setting.registry[part] for part in parts}
    # It asks again when they are about to end.
    files["aws"] = f"[default]\ncredential_process = cat {KEYS}\n"
    return {"apiVersion": "v1", "kind": "Secret", "metadata": _meta(), "stringData": files}


def _service(name: str, address: str, container: str) -> Manifest:
    port = {"name": "https", "port": PORT, "targetPort": PORTS[container]}
    spec = {"clusterIP": address, "selector": LABELS, "ports": [port]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _meta(name), "spec": spec}


def _deployment(mark: Mark) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS, "annotations": dict(mark)},
                "spec": _pod(),
            },
        },
    }


def _pod() -> dict[str, Any]:
    keys = KEYS.rpartition("/")[0]
    return {
        "automountServiceAccountToken": False,
        # By the names of Services it would be configured: https://github.com/distribution/
        # distribution-library-image/issues/138
        "enableServiceLinks": False,
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {names.LABEL_CONTROL_PLANE: "true"},  # where the keys are
        "tolerations": [{"key": names.CONTROL_PLANE_TAINT, "operator": "Exists"}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": REGISTRY_USER,
            "runAsGroup": REGISTRY_USER,
            "fsGroup": REGISTRY_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(name, port) for name, port in PORTS.items()],
        "volumes": [
            {"name": "settings", "secret": {"secretName": NAME, "defaultMode": 0o440}},
            {"name": "keys", "hostPath": {"path": keys, "type": "DirectoryOrCreate"}},
            {"name": "clusterous", "hostPath": {"path": FACTS, "type": "Directory"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
    }


def _container(name: str, port: int) -> dict[str, Any]:
    environment = {
        "AWS_CONFIG_FILE": f"{FOLDER}/aws",
        "AWS_SDK_LOAD_CONFIG": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "OTEL_TRACES_EXPORTER": "none",  # else it looks for a collector
        "SSL_CERT_FILE": f"{FACTS}/ca.pem",  # whom the machine trusts, a company's own included
    }
    return {
        "name": name,
        "image": pins.read().pinned(IMAGE),
        "command": [PROGRAM, "serve", f"{FOLDER}/{name}.json"],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "ports": [{"containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 5},
        "resources": {
            "requests": {"cpu": "20m", "memory": "64Mi"},
            "limits": {"memory": "512Mi"},
        },
        "securityContext": {**CONFINED},
        "volumeMounts": [
            {"name": "settings", "mountPath": FOLDER, "readOnly": True},
            {"name": "keys", "mountPath": KEYS.rpartition("/")[0], "readOnly": True},
            {"name": "clusterous", "mountPath": FACTS, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


ADDON: Final = Addon(
    name="registry",
    noun="image registry",
    manifests=manifests,
    wanted=lambda config: config.registry.on_cluster,
)

"""A real Kubernetes control plane on loopback, for tests of the operator and for benchmarks.

kine (SQLite), kube-apiserver with RBAC, kube-controller-manager and kube-scheduler run as plain
processes; kwok plays the nodes and their pods (kwok-stages.yaml says how, and how a test steers
them). Nothing outlives the `with` block, nor a killed test run.
"""

import base64
import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trustme

from tests import ports
from tests.region.parts import parts

STAGES: Final = Path(__file__).with_name("kwok-stages.yaml")
SERVICE_CIDR: Final = "10.43.0.0/16"
# kwok renews the leases of its nodes every ten seconds; less than that makes live nodes look dead.
NODE_GRACE_SECONDS: Final = 20
APISERVER: Final = "kube-apiserver"
CONTROLLER_MANAGER: Final = "kube-controller-manager"
SCHEDULER: Final = "kube-scheduler"
KINE: Final = "kine"
KWOK: Final = "kwok"

Manifest = Mapping[str, Any]


class ControlPlaneError(Exception):
    """A program ended or did not answer; the message carries its last words."""


class ApiError(ControlPlaneError):
    """The API server refused a request."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"the API server answered {status}: {body}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where the programs are; `kube` and `kine` are multi-call files, usually the same."""

    kube: Path
    kine: Path
    kwok: Path


_ROOM: Final[Manifest] = {
    "cpu": "4",
    "memory": "16Gi",
    "pods": "110",
    "ephemeral-storage": "100Gi",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be otherwise than in most tests."""

    # Requests per second of controller manager and scheduler; twice as many in a burst.
    qps: int = 1000
    room: Manifest = field(default_factory=lambda: _ROOM)  # of the nodes that it begins with
    audit: Manifest | None = None  # an audit policy; the log is then home/audit.log
    apiserver: Sequence[str] = ()  # further flags
    provisioner: bool = True  # make a volume for each claim of the class `standard`


@dataclass(slots=True, kw_only=True)
class ControlPlane:
    """A running control plane. `kubeconfig` is the administrator's."""

    home: Path
    port: int
    kubeconfig: Path
    argvs: Mapping[str, Sequence[str]]
    tls: ssl.SSLContext
    ca_pem: bytes
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def api(self, method: str, path: str, body: Manifest | None = None) -> dict[str, Any]:
        """Send one request as the administrator; raise ApiError when it is refused."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=self.tls, timeout=30
        )
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, body=payload, headers={"Content-Type": kind})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if response.status >= 400:
            raise ApiError(response.status, text)
        answer: dict[str, Any] = json.loads(text) if text.startswith("{") else {"text": text}
        return answer

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """Write a kubeconfig with a token of that account: exactly its RBAC, nothing more."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        answer = self.api("POST", path, {"spec": {"expirationSeconds": 3600 * 24}})
        target = self.home / f"{namespace}.{name}.kubeconfig"
        user = {"token": answer["status"]["token"]}
        write_kubeconfig(target, self.port, self.ca_pem, user, namespace=namespace)
        return target

    @property
    def audit_log(self) -> Path:
        return self.home / "audit.log"

    def add_nodes(
        self,
        names: Sequence[str],
        *,
        labels: Manifest | None = None,
        room: Manifest | None = None,
    ) -> None:
        """Register nodes that kwok keeps alive."""
        bodies = [_node(name, labels or {}, room or _ROOM) for name in names]
        with futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda body: self.api("POST", "/api/v1/nodes", body), bodies))

    def lose_node(self, name: str) -> None:
        """Let a node fall silent, as a machine does that lost its power.

        Its Ready becomes Unknown at once, which the controller manager otherwise would find out
        after the grace period; the taint and all that follows are the controller manager's.
        """
        path = f"/api/v1/nodes/{name}"
        self.api("PATCH", path, {"metadata": {"annotations": {"kwok.x-k8s.io/node": None}}})
        conditions = [
            {**item, "status": "Unknown", "reason": "NodeStatusUnknown"}
            for item in self.api("GET", path)["status"]["conditions"]
        ]
        self.api("PATCH", f"{path}/status", {"status": {"conditions": conditions}})

    def delete_node(self, name: str) -> None:
        self.api("DELETE", f"/api/v1/nodes/{name}")

    def launch(self, name: str) -> None:
        """Start one of the programs, which must not be running."""
        with (self.home / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                # The kernel ends it when we are killed; a killed test run leaves nothing behind.
                ["/usr/bin/setpriv", "--pdeathsig", "KILL", *self.argvs[name]],
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """End one of the programs, by default as a crash would, and wait until it is gone."""
        process = self.running.pop(name)
        process.send_signal(number)
        process.wait(30)

    def restart_apiserver(self, number: int = signal.SIGKILL) -> None:
        """Crash the API server, start it again at its port, and wait until it answers."""
        self.kill(APISERVER, number)
        self.launch(APISERVER)
        self.wait_ready()

    def wait_ready(self, timeout_seconds: float = 60) -> None:
        """Return once the API server says that it is ready to serve."""
        self.wait_until(self._answers, "the API server's /readyz", timeout_seconds)

    def wait_until(self, check: Callable[[], bool], what: str, timeout_seconds: float = 60) -> None:
        """Poll *check*; fail early and with its last words when a program has ended."""
        end = time.monotonic() + timeout_seconds
        while not check():
            for name, process in self.running.items():
                if process.poll() is not None:
                    raise ControlPlaneError(f"{name} ended: {self.last_words(name)}")
            if time.monotonic() > end:
                raise ControlPlaneError(f"waited in vain for {what}: {self.last_words(APISERVER)}")
            time.sleep(0.05)

    def last_words(self, name: str) -> str:
        """Return the end of a program's log."""
        log = self.home / f"{name}.log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else "(it said nothing)"

    def provision(self) -> None:
        """Be the external provisioner of the class `standard`: a volume for every claim."""
        while not self.closing.wait(0.2):
            with contextlib.suppress(OSError, http.client.HTTPException, ApiError):
                claims = self.api("GET", "/api/v1/persistentvolumeclaims")["items"]
                for claim in filter(_wants_volume, claims):
                    # Bound a moment later by the controller manager; until then it exists already.
                    with contextlib.suppress(ApiError):
                        self.api("POST", "/api/v1/persistentvolumes", _volume_for(claim))

    def close(self) -> None:
        """End everything, the store last."""
        self.closing.set()
        for name in (KWOK, SCHEDULER, CONTROLLER_MANAGER, APISERVER, KINE):
            if name in self.running:
                self.kill(name)

    def _answers(self) -> bool:
        try:
            return bool(self.api("GET", "/readyz")["text"] == "ok")
        except (OSError, http.client.HTTPException, ApiError):
            return False


@contextlib.contextmanager
def start(
    home: Path,
    *,
    kube: Path,
    kine: Path,
    kwok: Path,
    nodes: int = 0,
    node_grace_seconds: int = NODE_GRACE_SECONDS,
    options: Options | None = None,
) -> Iterator[ControlPlane]:
    """Run a control plane with *nodes* nodes (node-0, node-1, …) while the block lasts.

    Call it from a thread that lives as long as the block: the kernel ends the programs when the
    thread that started them ends.
    """
    home.mkdir(parents=True, exist_ok=True)
    chosen = options or Options()
    programs = Programs(kube=parts.kube(kube, print), kine=kine, kwok=kwok)
    plane = _prepare(home, programs, node_grace_seconds, chosen)
    try:
        plane.launch(KINE)
        plane.wait_until((home / "kine.sock").exists, "kine's socket")
        plane.launch(APISERVER)
        plane.wait_ready()
        for name in (CONTROLLER_MANAGER, SCHEDULER, KWOK):
            plane.launch(name)
        plane.api("POST", "/apis/storage.k8s.io/v1/storageclasses", _storage_class())
        plane.add_nodes([f"node-{index}" for index in range(nodes)], room=chosen.room)
        plane.wait_until(lambda: _is_settled(plane, nodes), "nodes and service accounts")
        if chosen.provisioner:
            threading.Thread(target=plane.provision, name="provisioner", daemon=True).start()
        yield plane
    finally:
        plane.close()


def _is_settled(plane: ControlPlane, nodes: int) -> bool:
    # Without its default service account a namespace refuses pods, so that it is part of ready.
    accounts = plane.api("GET", "/api/v1/namespaces/default/serviceaccounts")["items"]
    listed = plane.api("GET", "/api/v1/nodes")["items"] if nodes else []
    return bool(accounts) and all(map(_is_ready, listed))


def _is_ready(node: Manifest) -> bool:
    conditions = node["status"].get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _prepare(home: Path, programs: Programs, grace_seconds: int, options: Options) -> ControlPlane:
    port = ports.free()
    authority = trustme.CA()
    ca_pem = authority.cert_pem.bytes()
    (home / "ca.crt").write_bytes(ca_pem)
    _write(home / "apiserver", authority.issue_cert("127.0.0.1", "localhost"))
    _write(home / "accounts", _client(authority, "accounts"))
    # The privileged clients; their kubeconfigs carry certificates, as they do on real clusters.
    clients = {
        "admin": ("you", "system:masters"),
        CONTROLLER_MANAGER: ("system:kube-controller-manager", None),
        SCHEDULER: ("system:kube-scheduler", None),
        KWOK: ("kwok", "system:masters"),
    }
    for name, (user, group) in clients.items():
        made = _client(authority, user, group)
        certificate, key = _write(home / name, made)
        keys = {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
        write_kubeconfig(home / f"{name}.kubeconfig", port, ca_pem, keys)
    if options.audit is not None:
        (home / "audit-policy.yaml").write_text(json.dumps(options.audit))
    tls = ssl.create_default_context(cafile=str(home / "ca.crt"))
    tls.load_cert_chain(home / "admin.crt", home / "admin.key")
    return ControlPlane(
        home=home,
        port=port,
        kubeconfig=home / "admin.kubeconfig",
        argvs=_argvs(home, programs, port, grace_seconds, options),
        tls=tls,
        ca_pem=ca_pem,
    )


def _argvs(
    home: Path, programs: Programs, port: int, grace_seconds: int, options: Options
) -> dict[str, Sequence[str]]:
    kube = str(programs.kube)
    clients = (
        f"--kube-api-qps={options.qps}",
        f"--kube-api-burst={2 * options.qps}",
        "--leader-elect=false",
    )
    audit = (f"--audit-policy-file={home}/audit-policy.yaml", f"--audit-log-path={home}/audit.log")
    return {
        KINE: [
            str(programs.kine),
            KINE,
            f"--path={home}/state.db",
            f"--listen-address=unix://{home}/kine.sock",
        ],
        APISERVER: [
            kube,
            APISERVER,
            f"--etcd-servers=unix://{home}/kine.sock",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            # Loopback may not be advertised; nothing here follows the `kubernetes` Service.
            "--advertise-address=192.0.2.1",
            "--endpoint-reconciler-type=none",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            "--authorization-mode=Node,RBAC",
            # It would taint each new node until it is ready, which a test must then wait for.
            "--disable-admission-plugins=TaintNodesByCondition",
            "--allow-privileged=true",
            f"--client-ca-file={home}/ca.crt",
            f"--tls-cert-file={home}/apiserver.crt",
            f"--tls-private-key-file={home}/apiserver.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={home}/accounts.key",
            f"--service-account-signing-key-file={home}/accounts.key",
            *(audit if options.audit is not None else ()),
            *options.apiserver,
        ],
        CONTROLLER_MANAGER: [
            kube,
            CONTROLLER_MANAGER,
            f"--kubeconfig={home}/{CONTROLLER_MANAGER}.kubeconfig",
            f"--service-account-private-key-file={home}/accounts.key",
            f"--root-ca-file={home}/ca.crt",
            "--use-service-account-credentials=true",
            "--secure-port=0",
            f"--node-monitor-grace-period={grace_seconds}s",
            "--concurrent-deployment-syncs=20",
            "--concurrent-replicaset-syncs=20",
            "--concurrent-gc-syncs=40",
            "--horizontal-pod-autoscaler-sync-period=1s",
            *clients,
        ],
        SCHEDULER: [
            kube,
            SCHEDULER,
            f"--kubeconfig={home}/{SCHEDULER}.kubeconfig",
            "--secure-port=0",
            *clients,
        ],
        KWOK: [
            str(programs.kwok),
            f"--kubeconfig={home}/{KWOK}.kubeconfig",
            f"--config={STAGES}",
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        ],
    }


def _node(name: str, labels: Manifest, room: Manifest) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                **labels,
            },
        },
        "status": {"capacity": room, "allocatable": room},
    }


def _storage_class() -> Manifest:
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": default},
        "provisioner": "clusterous.test/standard",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "Immediate",
    }


def _wants_volume(claim: Manifest) -> bool:
    spec = claim["spec"]
    return spec.get("storageClassName") == "standard" and not spec.get("volumeName")


def _volume_for(claim: Manifest) -> Manifest:
    meta, spec = claim["metadata"], claim["spec"]
    owner = {key: meta[key] for key in ("name", "namespace", "uid")}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{meta['uid']}",
            "annotations": {"pv.kubernetes.io/provisioned-by": "clusterous.test/standard"},
        },
        "spec": {
            "accessModes": spec["accessModes"],
            "capacity": spec["resources"]["requests"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "standard",
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **owner},
            "hostPath": {"path": f"/nowhere/{meta['uid']}"},
        },
    }


def write_kubeconfig(
    target: Path, port: int, ca_pem: bytes, user: Manifest, *, namespace: str = "default"
) -> None:
    # JSON is YAML; and the file is whole before anyone can see it.
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": _base64(ca_pem)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [
            {"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}
        ],
        "current-context": "test",
    }
    partial = target.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(content, indent=1))
    os.replace(partial, target)


def _client(authority: trustme.CA, user: str, group: str | None = None) -> trustme.LeafCert:
    # Without any name of a host, trustme marks their empty list as critical, which Go then refuses.
    return authority.issue_cert("localhost", common_name=user, organization_name=group)


def _write(stem: Path, made: trustme.LeafCert) -> tuple[bytes, bytes]:
    """Write STEM.crt and STEM.key and return both."""
    certificate, key = made.cert_chain_pems[0].bytes(), made.private_key_pem.bytes()
    stem.with_name(f"{stem.name}.crt").write_bytes(certificate)
    key_file = stem.with_name(f"{stem.name}.key")
    key_file.touch(mode=0o600)
    key_file.write_bytes(key)
    return certificate, key


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

"""What each kind of machine boots from: files in the bucket, and the few lines that fetch them."""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from clusterous_api import names
from clusterous_api.mounts import EFS_OPTIONS, LOOK_OPTIONS
from clusterous_cli.boot import pki
from clusterous_cli.boot.pki import Secrets
from clusterous_cli.cluster.addresses import addresses
from clusterous_cli.cluster.config import ClusterConfig, Pool, VolumeType
from clusterous_cli.cluster.file import registry
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import (
    ADDONS,
    BEGUN,
    HOMES,
    LIB,
    ROLES,
    SECRETS_KEY,
    SNAPSHOT_SCRIPT,
    SNAPSHOTS,
    STATE,
    VOLUME,
    Blob,
    Machine,
)
from clusterous_cli.cluster.records.formats import FORMAT
from clusterous_cli.system import assets

K3S: Final = "/var/lib/rancher/k3s"
PROVIDER: Final = "/var/lib/rancher/credentialprovider"
# Where the controller writes what it knows of its place, for what runs on it; see cloud.sh.
FACTS: Final = "/etc/clusterous"
PIN: Final = "io.cri-containerd.pinned=pinned"
# Which volume the volume server is to serve, and where it says how that is.
VOLUME_ORDER: Final = f"{FACTS}/volume"
VOLUME_STATUS: Final = "/run/clusterous/volumeserver/status.json"
# The keys of the role of a registry on the cluster, for its pod alone, whose user this is.
KEYS: Final = "/run/clusterous/registry/keys.json"
REGISTRY_USER: Final = 65532
# What Kubernetes knows, on a volume of its own; see state.sh.
KEPT: Final = f"{K3S}/server"
# MiB that are reserved there, and with how few left they are given up; see state.sh.
KEPT_ROOM: Final = 512
KEPT_SPARE: Final = 64
# A snapshot that a new life begins with, in the bucket.
SNAPSHOT: Final = "snapshot.tar.gz"
# k3s hands it to kine, whose usual options these are, but for one: its NORMAL syncs a commit only
# with the next checkpoint, so that a machine that is lost loses what the API had acknowledged.
DATASTORE: Final = (
    f"sqlite://{KEPT}/db/state.db?_journal_mode=WAL&_busy_timeout=30000&_synchronous=FULL"
    "&_txlock=immediate&_stmt_cache_size=20&cache=shared"
)
# Of the controller's files those on that volume are fetched when it is there.
FETCH: Final = {
    names.ROLE_CONTROLLER: f"""\
    files | grep -v ' {KEPT}/' | fetch_all
    keep_state
    files | grep ' {KEPT}/' | fetch_all""",
    names.ROLE_WORKER: "    files | fetch_all",
}
USER_DATA_LIMIT: Final = 4096
# What stays for the kubelet (and on the controller for all of k3s), and for sshd and what serves
# volumes, however full of programs a machine is.
RESERVED: Final = {
    names.ROLE_CONTROLLER: (
        "  - kube-reserved=cpu=250m,memory=768Mi\n  - system-reserved=cpu=100m,memory=128Mi"
    ),
    names.ROLE_WORKER: (
        "  - kube-reserved=cpu=100m,memory=256Mi\n  - system-reserved=cpu=100m,memory=128Mi"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of a node: where its content is in the bucket and where it goes."""

    blob: Blob
    mode: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Everything that machines boot from."""

    blobs: tuple[Blob, ...]
    machines: tuple[Machine, ...]


def bundle(
    config: ClusterConfig,
    who: Identity,
    secrets: Secrets,
    *,
    released: Mapping[str, Blob],
    version: str,
) -> Bundle:
    """Return the files and user data of all pools."""
    files = {role: _files(role, who, secrets, released) for role in ROLES}
    files[names.ROLE_CONTROLLER] += _snapshot_files(who)
    if config.registry.on_cluster:
        for role in (names.ROLE_CONTROLLER, names.ROLE_WORKER):
            files[role] += _registry_files(secrets)
    scripts = {
        one.name: content(
            "boot", f"{one.role}.sh", _script(one, config, who, files[one.role], version)
        )
        for one in config.pools
    }
    kept = content("", SECRETS_KEY, secrets.to_json().encode())
    blobs = {file.blob.key: file.blob for role in ROLES for file in files[role]}
    blobs |= {script.key: script for script in scripts.values()}
    return Bundle(
        blobs=(kept, *blobs.values()),
        machines=tuple(
            Machine(
                pool=one.name,
                role=one.role,
                user_data=user_data(who, secrets.ssh_public, scripts[one.name]),
            )
            for one in config.pools
        ),
    )


def released(name: str, filename: str, sha256: str) -> Blob:
    """Return the blob of a published file; its content is fetched only when the bucket lacks it."""
    return Blob(key=f"boot/{sha256}/{filename}", sha256=sha256)


def content(folder: str, name: str, raw: bytes) -> Blob:
    """Return the blob of a file of ours, in a folder of the bucket that says who may read it."""
    digest = hashlib.sha256(raw).hexdigest()
    # The hash is part of the name: what is there is right, and what changed has another name.
    key = f"{folder}/{digest}/{name}" if folder else name
    return Blob(key=key, sha256=digest, content=raw)


def _files(
    role: str,
    who: Identity,
    secrets: Secrets,
    released: Mapping[str, Blob],
) -> tuple[File, ...]:
    if role == names.ROLE_GATEWAY:
        return ()
    provider = content("boot", "credential-provider.yaml", credential_provider(who))
    common = (
        File(blob=released["k3s"], mode="0755", target="/usr/local/bin/k3s"),
        File(
            blob=released["images"], mode="0644",
            target=f"{K3S}/agent/images/k3s-airgap-images-amd64.tar.zst",
        ),
        File(
            blob=released["ecr-credential-provider"], mode="0755",
            target=f"{PROVIDER}/bin/ecr-credential-provider",
        ),
        File(blob=provider, mode="0644", target=f"{PROVIDER}/config.yaml"),
    )  # fmt: skip
    if role == names.ROLE_WORKER:
        return (*common, _secret("agent", "token", secrets.agent_token, "/etc/rancher/k3s/token"))
    return (*common, *_server_files(secrets))


def _server_files(secrets: Secrets) -> tuple[File, ...]:
    return (
        _secret("server", "token", secrets.server_secret, "/etc/rancher/k3s/token"),
        _secret("server", "agent-token", secrets.agent_secret, "/etc/rancher/k3s/agent-token"),
        *(
            _secret("server", name.replace("/", "-"), text, f"{K3S}/server/tls/{name}")
            for name, text in sorted(secrets.tls.items())
        ),
    )


def _registry_files(secrets: Secrets) -> tuple[File, ...]:
    """Return what tells a node where the cluster's own registry is, and lets it pull there."""
    folder = "/etc/rancher/k3s"
    files = {part: f"{folder}/registry-{part}" for part in (pki.REGISTRY_CA, *pki.NODE)}
    address = f"{registry.READ}:{registry.PORT}"
    tls = dict(zip(("ca_file", "cert_file", "key_file"), files.values(), strict=True))
    told = {
        "mirrors": {registry.HOST: {"endpoint": [f"https://{address}"]}},
        "configs": {address: {"tls": tls}},
    }
    text = json.dumps(told, indent=1) + "\n"  # JSON is YAML
    return (
        _secret("agent", "registries.yaml", text, f"{folder}/registries.yaml"),
        *(
            _secret("agent", f"registry-{part}", secrets.registry[part], target)
            for part, target in files.items()
        ),
    )


def _snapshot_files(who: Identity) -> tuple[File, ...]:
    """Return what makes snapshots of the datastore, and a datastore of one."""
    texts = {
        "datastore.py": assets.template("datastore.py"),
        SNAPSHOT_SCRIPT: snapshot_script(who),
    }
    return tuple(
        File(blob=content("boot", name, text.encode()), mode="0644", target=f"{LIB}/{name}")
        for name, text in texts.items()
    )


def restored(snapshot: bytes) -> Blob:
    """Return the blob of a snapshot that the controller begins with; only its role may read it."""
    return content("server", SNAPSHOT, snapshot)


def _secret(folder: str, name: str, text: str, target: str) -> File:
    return File(blob=content(folder, name, text.encode()), mode="0600", target=target)


def credential_provider(who: Identity) -> bytes:
    """Tell the kubelet to ask AWS's plug-in for the registry's password."""
    provider = {
        "name": "ecr-credential-provider",
        "matchImages": [f"*.dkr.ecr.*.{who.dns_suffix}"],
        "defaultCacheDuration": "6h",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "args": ["get-credentials"],
        "env": [{"name": "AWS_REGION", "value": who.region}],
    }
    whole = {
        "apiVersion": "kubelet.config.k8s.io/v1",
        "kind": "CredentialProviderConfig",
        "providers": [provider],
    }
    return (json.dumps(whole, indent=1) + "\n").encode()  # JSON is YAML


def _script(
    pool: Pool, config: ClusterConfig, who: Identity, files: Iterable[File], version: str
) -> bytes:
    role, server = pool.role, pool.role == names.ROLE_CONTROLLER
    on_efs = config.volume.type is VolumeType.EFS
    volume = addresses(config.cidr).volume if on_efs else "none"
    mounts = config.volume.served and not server
    if role == names.ROLE_GATEWAY:
        steps = assets.template("gateway.sh")
    else:
        table = [f"{f.blob.key} {f.blob.sha256} {f.mode} {f.target}" for f in files]
        steps = assets.render(
            assets.template("node.sh"),
            FILES="\n".join(table),
            CONFIG=server_config(config) if server else agent_config(config, pool),
            CLUSTER=config.name,
            COMMAND="server" if server else "agent",
            RESERVED=RESERVED[role],
            CLIENT="nfs" if on_efs or mounts else "none",
            SHIELD=_shield(config, server),
            BARRED="true" if mounts else "false",  # on the controller the volume server does it
            PLACE=names.VOLUME_PATH,
            CIDR=config.cidr,
            PREPARE=f"{_cloud(config)}    first_addons" if server else "",
            FETCH=FETCH[role],
            NEEDS=_NEEDS if server else "",
            UNIT="k3s" if server else "k3s-agent",
            EXTRA=assets.template("ready.sh") if server else "",
        )
        steps = _following(config, who) + steps if server else steps
    return assets.render(
        assets.template("boot.sh"),
        ROLE=role,
        VERSION=version,
        **_bucket(who),
        REPORTS=quote(who.reports, safe="/"),
        STEPS=steps,
        AFTER=_after(config, role, volume),
    ).encode()


# A machine that starts again starts its units before its boot has mounted anything.
_NEEDS: Final = f"""\
ConditionPathIsMountPoint={KEPT}
RequiresMountsFor={KEPT}
"""


def _bucket(who: Identity) -> dict[str, str]:
    """Return what s3.sh has to know before it is read."""
    return {"REGION": who.region, "BUCKET": who.bucket, "DOMAIN": who.dns_suffix}


def state_script() -> str:
    """Return what the controller does about the volume of its state."""
    places = {"NOTE": STATE, "BEGUN": BEGUN, "PLACE": KEPT}
    room = {"ROOM": str(KEPT_ROOM), "SPARE": str(KEPT_SPARE)}
    text = assets.template("state.sh")
    return assets.render(text, LIFE="server/", SNAPSHOT=f"/{SNAPSHOT}", **places, **room)


def snapshot_script(who: Identity) -> str:
    """Return what the controller makes a snapshot of its datastore with."""
    return assets.render(
        assets.template(SNAPSHOT_SCRIPT),
        **_bucket(who),
        CLUSTER=who.name,
        UID=who.uid,
        KEPT=KEPT,
        FOLDER=SNAPSHOTS,
    )


def _registry_keys(who: Identity) -> str:
    """Return what gives the registry's pod the keys of its own role, again and again."""
    role = f"arn:{who.partition}:iam::{who.account}:role/{who.role(names.ROLE_REGISTRY)}"
    text = assets.template("registry.sh")
    return assets.render(text, ROLE_ARN=quote(role, safe=""), FILE=KEYS, USER=str(REGISTRY_USER))


def _following(config: ClusterConfig, who: Identity) -> str:
    followed = state_script() + assets.render(assets.template("addons.sh"), TABLE=ADDONS, PIN=PIN)
    if config.registry.on_cluster:
        followed += _registry_keys(who)
    if not config.volume.served:
        return followed
    text = assets.template("volume.sh")
    return followed + assets.render(
        text,
        NOTE=VOLUME,
        ORDER=VOLUME_ORDER,
        PLACE=names.VOLUME_PATH,
        GATE=names.VOLUME_GATE,
    )


def _after(config: ClusterConfig, role: str, volume: str) -> str:
    """Return what a machine does when it is ready."""
    if role == names.ROLE_CONTROLLER:
        return _reporting(volume, config)
    if role == names.ROLE_WORKER and config.volume.served:
        return _mounting(config)
    return ""


def _reporting(volume: str, config: ClusterConfig) -> str:
    text = assets.template("report.sh")
    marks = {"POOL": names.LABEL_POOL, "MARK": names.ANNOTATION_ADDON, "SPACE": names.NAMESPACE}
    marks |= {"MASTER": names.POOL_MASTER}
    followed = ["follow_volume"] if config.volume.served else []
    followed += ["follow_registry_keys"] if config.registry.on_cluster else []
    follow = "\n".join(f"{one} >/dev/null 2>&1 &" for one in followed)
    places = {"VOLUME": volume, "STATUS": VOLUME_STATUS, "HOMES": HOMES}
    return assets.render(text, FOLLOW=follow, OPTIONS=",".join(LOOK_OPTIONS), **places, **marks)


def _mounting(config: ClusterConfig) -> str:
    text = assets.render(
        assets.template("mount.sh"),
        CLUSTER=config.name,
        SERVER=addresses(config.cidr).controller,
        PLACE=names.VOLUME_PATH,
        GATE=names.VOLUME_GATE,
        OPTIONS=",".join(EFS_OPTIONS),
    )
    return f"{text}\nmount_volume"


def _shield(config: ClusterConfig, server: bool) -> str:
    """Return what keeps pods from the volume itself, over which they are nobody's and anybody's."""
    port = "-p tcp --dport 2049"
    if config.volume.type is VolumeType.EFS:
        return f'    dropped FORWARD cni0 "-d {addresses(config.cidr).volume} {port}"'
    if not config.volume.served:
        return ""
    if server:  # from its own pods, and from those of others, which come by their network
        return "\n".join(f'    dropped INPUT {card} "{port}"' for card in ("cni0", "flannel.1"))
    return f'    dropped FORWARD cni0 "-d {addresses(config.cidr).controller} {port}"'


def _cloud(config: ClusterConfig) -> str:
    text = assets.template("cloud.sh")
    return assets.render(text, FOLDER=FACTS, CLUSTER=config.name)


def server_config(config: ClusterConfig) -> str:
    """Return the controller's part of k3s' configuration."""
    # Patience with nodes is Kubernetes' own: slowness alone ends nothing. What moves the pods of a
    # lost machine sooner is EC2's word that it is gone, by the cloud controller.
    return f"""\
token-file: /etc/rancher/k3s/token
agent-token-file: /etc/rancher/k3s/agent-token
tls-san:
  - 127.0.0.1
  - {addresses(config.cidr).controller}
node-taint:
  - {names.CONTROL_PLANE_TAINT}=true:NoSchedule
datastore-endpoint: "{DATASTORE}"
disable:
  - traefik
  - servicelb
write-kubeconfig-mode: "0600"
egress-selector-mode: disabled"""


def agent_config(config: ClusterConfig, pool: Pool) -> str:
    """Return a worker's part of k3s' configuration. Which pool it is of, the controller tells."""
    labels = _listed("node-label", [f"{key}={value}" for key, value in pool.labels])
    return f"""\
token-file: /etc/rancher/k3s/token
{labels}{_listed("node-taint", pool.taints)}\
server: https://{addresses(config.cidr).controller}:6443"""


def _listed(key: str, values: Sequence[str]) -> str:
    lines = "".join(f'  - "{value}"\n' for value in values)
    return f"{key}:\n{lines}" if values else ""


def user_data(who: Identity, ssh_public: str, script: Blob) -> str:
    """Return the cloud-config: a user, and the few lines that fetch the boot script. No secrets."""
    start = assets.render(
        assets.template("start.sh"),
        **_bucket(who),
        SCRIPT_KEY=script.key,
        SCRIPT_SHA256=script.sha256,
    )
    unit = assets.template("clusterous-boot.service")
    files = [
        _write(f"{LIB}/s3.sh", assets.template("s3.sh")),
        _write(f"{LIB}/start.sh", start),
        _write("/etc/systemd/system/clusterous-boot.service", unit),
    ]
    text = assets.render(
        assets.template("cloud-config.yaml"), SSH_KEY=ssh_public, FILES="\n".join(files)
    )
    assert len(text) < USER_DATA_LIMIT, f"user data of {len(text)} bytes"
    return text


def _write(path: str, content: str) -> str:
    packed = base64.b64encode(gzip.compress(content.encode(), mtime=0)).decode()
    return f"  - {{path: {path}, encoding: gz+b64, content: {packed}}}"


def record(
    config: ClusterConfig,
    who: Identity,
    *,
    image: str,
    zone: str,
    created: str,
    version: str,
    leaving: Iterable[str] = (),
    unfinished: Mapping[str, Any] | None = None,
) -> Blob:
    """Return the record: what is wanted, for the next command on any laptop.

    *leaving* are the ids of machines that are being drained: they are named until they are gone.
    *unfinished* is by how much a pool is being changed, until it is.
    """
    kept: dict[str, Any] = {
        "format": FORMAT,
        "name": who.name,
        "uid": who.uid,
        "account": who.account,
        "region": who.region,
        "created": created,
        "clusterous": version,
        "image": image,
        "zone": zone,
        "config": config.to_record(),
    }
    if going := sorted(leaving):
        kept["leaving"] = going
    if unfinished:
        kept["unfinished"] = dict(unfinished)
    return content("", "record.json", json.dumps(kept, indent=1).encode())

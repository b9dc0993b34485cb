"""The `kubernetes` package as the whole transport, beside ours: what a list and a watch cost.

    python -m bench.transport [--pods N] [--rounds N]

A stand-in API server on loopback serves N pods, in pages of 250, and a watch that changes each of
them once. Each side reads both, cuts each pod down as the operator does, and keeps the result; each
runs in a process of its own. Writes build/bench/transport.json. What came of it is in
docs/adr/0003-kubernetes-client.md.
"""

import argparse
import asyncio
import json
import os
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
RESULT: Final = ROOT / "build/bench/transport.json"
PAGE: Final = 250
Body = dict[str, Any]


def pod(number: int) -> Body:
    """A worker's pod as an API server has it, owners of fields and all."""
    name, at = f"app-{number // 5}-workers-5f7d9c9b4-{number:05}", "2026-11-29T09:00:00Z"
    labels = {
        "clusterous.io/app": f"app-{number // 5}",
        "clusterous.io/component": "workers",
        "app.kubernetes.io/managed-by": "clusterous",
        "pod-template-hash": "5f7d9c9b4",
    }
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name[:-6], "uid": f"u{number}"}
    fields = {f"f:{key}": {".": {}, "f:name": {}, f"k:{key}": {}} for key in "abcdefghijklmnop"}
    managed = [
        {"manager": who, "operation": "Update", "apiVersion": "v1", "time": at, "fieldsV1": fields}
        for who in ("kube-controller-manager", "kubelet")
    ]
    env = [{"name": f"CLUSTEROUS_{n}", "value": f"value {n}"} for n in range(12)]
    mounts = [{"name": "data", "mountPath": "/home/data"}, {"name": "token", "mountPath": "/var/t"}]
    probe = {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "periodSeconds": 10}
    container = {
        "name": "workers",
        "image": "registry.example/sim:1",
        "env": env,
        "ports": [{"containerPort": 8080, "protocol": "TCP", "name": "http"}],
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
        "volumeMounts": mounts,
        "livenessProbe": probe,
        "readinessProbe": probe,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    conditions = [
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": at}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    started = {
        "name": "workers",
        "image": "registry.example/sim:1",
        "imageID": "registry.example/sim@sha256:" + "0" * 64,
        "containerID": "containerd://" + "1" * 64,
        "ready": True,
        "started": True,
        "restartCount": 0,
        "lastState": {},
        "state": {"running": {"startedAt": at}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "generateName": name[:-5],
            "namespace": "default",
            "uid": f"00000000-0000-0000-0000-{number:012}",
            "resourceVersion": str(1000 + number),
            "creationTimestamp": at,
            "labels": labels,
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
            "managedFields": managed,
        },
        "spec": {
            "containers": [container],
            "nodeName": f"ip-10-0-0-{number % 100}",
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "token", "secret": {"secretName": "token"}},
            ],
            "tolerations": [{"key": key, "operator": "Exists"} for key in ("a", "b")],
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "terminationGracePeriodSeconds": 30,
        },
        "status": {
            "phase": "Running",
            "conditions": conditions,
            "containerStatuses": [started],
            "hostIP": "10.0.0.1",
            "podIP": f"10.42.{number // 250}.{number % 250}",
            "qosClass": "Burstable",
            "startTime": at,
        },
    }


# -- the stand-in ---------------------------------------------------------------------------


def serve(count: int, folder: Path) -> None:
    """Answer lists and watches of pods until killed; FOLDER/url says where."""
    from aiohttp import web

    everything = [pod(number) for number in range(count)]
    pages = [
        json.dumps(
            {
                "kind": "PodList",
                "apiVersion": "v1",
                "metadata": {
                    "resourceVersion": "9999",
                    **({"continue": str(at + PAGE)} if at + PAGE < count else {}),
                },
                "items": everything[at : at + PAGE],
            }
        ).encode()
        for at in range(0, count, PAGE)
    ]
    events = b"".join(
        json.dumps({"type": "MODIFIED", "object": one}).encode() + b"\n" for one in everything
    )
    del everything

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.query.get("watch"):
            stream = web.StreamResponse()
            stream.content_type = "application/json"
            await stream.prepare(request)
            await stream.write(events)
            return stream
        page = pages[int(request.query.get("continue", 0)) // PAGE]
        return web.Response(body=page, content_type="application/json")

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/api/v1/pods", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(folder / "server.pem")
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        (folder / "url.partial").write_text(f"https://127.0.0.1:{runner.addresses[0][1]}")
        (folder / "url.partial").replace(folder / "url")
        await asyncio.Event().wait()

    asyncio.run(run())


# -- the sides ------------------------------------------------------------------------------


def _cut() -> Callable[[Body], Any]:
    from clusterous_operator.cache import observed

    return observed.pod


async def ours(url: str, ca: str) -> list[Any]:
    """The operator's client."""
    import kopf

    from clusterous_operator.client.cluster import Cluster

    async def login() -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=url, ca_path=ca)

    cut = _cut()
    async with Cluster(login) as cluster:
        kept = [item async for p in cluster.list_pages("Pod", None, {}, cut) for item in p.items]
        async for _, body in cluster.watch("Pod", None, {}, "9999"):
            kept[int(body["metadata"]["resourceVersion"]) - 1000] = cut(body)
    return kept


async def raw(url: str, ca: str) -> list[Any]:
    """The package's requests, without its models: its answers are read as JSON."""
    return await _package(url, ca, with_models=False)


async def models(url: str, ca: str) -> list[Any]:
    """The package as its documentation shows it: models, and its own watch."""
    return await _package(url, ca, with_models=True)


async def _package(url: str, ca: str, *, with_models: bool) -> list[Any]:
    import kopf  # noqa: F401  # it stays: the operator is kopf's
    from kubernetes.aio import client, watch

    cut, kept, more = _cut(), list[Any](), ""
    made = client.Configuration(host=url)
    made.ssl_ca_cert = ca
    async with client.ApiClient(made) as api:
        core = client.CoreV1Api(api)
        while True:
            asked = {"limit": PAGE, **({"_continue": more} if more else {})}
            if with_models:
                page = await core.list_pod_for_all_namespaces(**asked)
                kept += [cut(api.sanitize_for_serialization(item)) for item in page.items]
                more = page.metadata._continue
            else:
                got = await core.list_pod_for_all_namespaces_without_preload_content(**asked)
                read = json.loads(await got.read())
                kept += [cut(item) for item in read["items"]]
                more = read["metadata"].get("continue", "")
            if not more:
                break
        stream = watch.Watch().stream(
            core.list_pod_for_all_namespaces, resource_version="9999", timeout_seconds=300
        )
        async for event in stream:
            body = event["raw_object"]
            kept[int(body["metadata"]["resourceVersion"]) - 1000] = cut(body)
    return kept


SIDES: Final = {"ours": ours, "requests": raw, "models": models}


def play(side: str, folder: Path) -> None:
    """Be one side; say what it took."""
    if side == "ours":
        sys.modules["kubernetes"] = None  # type: ignore[assignment]  # as the operator does
    url, began = (folder / "url").read_text(), time.perf_counter()
    kept = asyncio.run(SIDES[side](url, str(folder / "ca.pem")))
    used = resource.getrusage(resource.RUSAGE_SELF)
    status = Path("/proc/self/status").read_text()
    told = {
        "seconds": round(time.perf_counter() - began, 2),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "mib": round(int(status.partition("VmRSS:")[2].split()[0]) / 1024, 1),
        "peak_mib": round(used.ru_maxrss / 1024, 1),
        "kept": len(kept),
    }
    print(json.dumps(told))


# -- the measurement ------------------------------------------------------------------------


def measure(pods: int, rounds: int) -> Body:
    """Run the sides in turn, several times."""
    import trustme

    found: dict[str, list[Body]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as name:
        folder, authority = Path(name), trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
            folder / "server.pem"
        )
        me = [sys.executable, "-m", "bench.transport"]
        server = subprocess.Popen([*me, "--serve", name, "--pods", str(pods)], cwd=ROOT)
        try:
            while not (folder / "url").exists():
                time.sleep(0.1)
            for _ in range(rounds):
                for side, turns in found.items():
                    done = subprocess.run(
                        [*me, "--play", side, "--serve", name],
                        cwd=ROOT, check=True, capture_output=True, text=True,
                    )  # fmt: skip
                    turns.append(json.loads(done.stdout))
                    print(f"{side:<9} {turns[-1]}", flush=True)
        finally:
            server.kill()
            server.wait()
    medians = {
        side: {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        for side, turns in found.items()
    }
    machine = {"cpus": os.cpu_count(), "load": os.getloadavg(), "python": sys.version.split()[0]}
    return {"pods": pods, "machine": machine, "medians": medians, "turns": found}


def main() -> None:
    """Measure, or be what is measured."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--pods", type=int, default=2000)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    words.add_argument("--play", choices=SIDES, help=argparse.SUPPRESS)
    asked = words.parse_args()
    if asked.play:
        play(asked.play, asked.serve)
    elif asked.serve:
        serve(asked.pods, asked.serve)
    else:
        found = measure(asked.pods, asked.rounds)
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

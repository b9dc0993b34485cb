"""The dask-kubernetes operator: its own chart's CRDs and rights, its own spec, its own defaults.

A cluster of it counts as ready when its phase is Running and its scheduler and workers are ready:
the phase alone says nothing of the workers.
"""

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from bench.operator import apps, environments, product, testbed
from bench.operator.errors import BenchError
from bench.operator.rise import Sign
from bench.operator.testbed import Testbed
from tests import ports

Manifest = Mapping[str, Any]

_NAMESPACE: Final = "dask-operator"
_ACCOUNT: Final = "bench-dask-kubernetes-operator"
_VERSION: Final = "kubernetes.dask.org/v1"
_CLUSTERS: Final = testbed.collection("DaskCluster", _VERSION, testbed.NAMESPACE)
_DEPLOYMENTS: Final = testbed.collection("Deployment", "apps/v1", testbed.NAMESPACE)
_LABEL: Final = "dask.org/cluster-name"
_START_SECONDS: Final = 60.0
_SPEC: Final = (
    "import json; from dask_kubernetes.operator import make_cluster_spec;"
    f"print(json.dumps(make_cluster_spec('NAME', n_workers={apps.WORKERS})))"
)


def _of_running_cluster(body: Manifest) -> tuple[str, str] | None:
    is_running = (body.get("status") or {}).get("phase") == "Running"
    return (body["metadata"]["name"], "phase") if is_running else None


def _of_ready_deployment(body: Manifest) -> tuple[str, str] | None:
    app = body["metadata"].get("labels", {}).get(_LABEL)
    if app is None or not apps.deployment_is_ready(body):
        return None
    return app, body["metadata"]["name"]


class Dask:
    """The side that is called `dask-kubernetes`."""

    name = "dask-kubernetes"
    user = f"system:serviceaccount:{_NAMESPACE}:{_ACCOUNT}"
    signs = (
        Sign(path=_CLUSTERS, read=_of_running_cluster),
        Sign(path=_DEPLOYMENTS, read=_of_ready_deployment),
    )

    def __init__(self) -> None:
        self._folder = environments.dask(print)
        self._spec = self._run("-c", _SPEC)

    def _run(self, *arguments: str) -> str:
        command = [str(self._python), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    @property
    def _python(self) -> Path:
        return self._folder / "bin" / "python"

    def prepare(self, bed: Testbed) -> None:
        """Install its chart."""
        (chart,) = self._folder.glob(
            "lib/python3.*/site-packages/dask_kubernetes/operator/deployment/helm/dask-*-operator"
        )
        testbed.install_chart(bed, chart, _NAMESPACE)

    def app(self, index: int) -> tuple[str, Manifest]:
        """Return a cluster as its own client would ask for it."""
        return _CLUSTERS, json.loads(self._spec.replace("NAME", apps.name(index)))

    def needed(self) -> int:
        """Return how many parts there are: a scheduler, each worker by itself, and the phase."""
        return 1 + apps.WORKERS + 1

    @contextlib.asynccontextmanager
    async def running(self, bed: Testbed) -> AsyncIterator[int]:
        """Run the operator beside the block."""
        port, log = ports.free(), bed.scratch / "dask.log"
        kubeconfig = bed.plane.service_account_kubeconfig(_NAMESPACE, _ACCOUNT)
        command = [str(self._python), "-m", "kopf", "run", "-m"]
        options = [f"--liveness=http://127.0.0.1:{port}/healthz", "--all-namespaces"]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [
                    *("/usr/bin/setpriv", "--pdeathsig", "KILL", *command),
                    *("dask_kubernetes.operator.controller", *options),
                ],
                cwd=bed.scratch,
                env={**os.environ, "KUBECONFIG": str(kubeconfig), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            await _until_alive(process, port, log)
            yield process.pid
        finally:
            process.kill()
            process.wait()


async def _until_alive(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    url = f"http://127.0.0.1:{port}/healthz"
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await asyncio.to_thread(product.answer, url):
                if process.poll() is not None:
                    raise BenchError(f"dask-kubernetes ended: {log.read_text()[-3000:]}")
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        raise BenchError(f"dask-kubernetes does not start: {log.read_text()[-3000:]}") from error
    await asyncio.sleep(3)  # its watches open after that

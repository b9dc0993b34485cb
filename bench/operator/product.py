"""Our operator as it ships: the image's packages, environment and interpreter flags, no others."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.operator import apps, environments, testbed
from bench.operator.errors import BenchError
from bench.operator.rise import Sign
from bench.operator.testbed import ROOT, Testbed
from clusterous_api import names
from clusterous_cli.images import recipes
from tests import ports

Manifest = Mapping[str, Any]

ACCOUNT: Final = "clusterous-operator"
USER: Final = f"system:serviceaccount:{names.NAMESPACE}:{ACCOUNT}"
CHART: Final = ROOT / "charts" / "clusterous"
IMAGE: Final = ROOT / "images" / "operator"
_OWN_PACKAGES: Final = (ROOT / "crds" / "clusterous_api", ROOT / "operator" / "clusterous_operator")
_CRD: Final = ROOT / "crds" / "clusterousapps.yaml"
_READY_SECONDS: Final = 60.0


def _of_ready_app(body: Manifest) -> tuple[str, str] | None:
    return (body["metadata"]["name"], "status") if apps.is_ready(body) else None


SIGNS: Final[Sequence[Sign]] = (Sign(path=apps.APPS, read=_of_ready_app),)


def install(bed: Testbed) -> None:
    """Install CRD, account, rights, and the cluster's own volume."""
    nfs = apps.VOLUME["nfs"]
    values = [f"clusterConfig.volume.nfs.{key}={value}" for key, value in nfs.items()]
    testbed.install_chart(bed, CHART, names.NAMESPACE, *values)
    apps.make_volume(bed.plane)


@dataclass(kw_only=True)
class Operator:
    """The operator as a process."""

    bed: Testbed
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the id of its process."""
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> Path:
        """Return where it writes its log."""
        return self.bed.scratch / "operator.log"

    def launch(self) -> None:
        """Start it."""
        kubeconfig = self.bed.plane.service_account_kubeconfig(names.NAMESPACE, ACCOUNT)
        environment = {
            **os.environ,
            **recipes.read(IMAGE).environment,
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": str(_app_folder(self.bed.scratch)),
        }
        # -S: the image has no site-packages either, so that kopf finds no other client there.
        command = [sys.executable, "-S", "-m", "clusterous_operator", f"--port={self.port}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["/usr/bin/setpriv", "--pdeathsig", "KILL", *command],
                cwd=self.bed.scratch,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def stop(self) -> None:
        """End it in good order."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self.process.wait, 40)
        self.process = None

    def ask(self, path: str) -> str:
        """Return what it answers, if it does."""
        return answer(f"http://127.0.0.1:{self.port}{path}")

    def is_ready(self) -> bool:
        """Tell whether it says that it is ready."""
        return self.ask("/readyz").startswith("ok")

    def figure(self, name: str) -> float:
        """Return the sum of one of its metrics over all labels."""
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", self.ask("/metrics"), re.M)
        return sum(map(float, found))

    async def until(self, check: Callable[[], bool], what: str, pause: float = 0.02) -> None:
        """Wait for something of the operator's."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not await asyncio.to_thread(check):
                    if self.process is None or self.process.poll() is not None:
                        raise BenchError("the operator has ended")
                    await asyncio.sleep(pause)
        except TimeoutError as error:
            raise BenchError(f"waited in vain for {what}") from error

    def last_words(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-3000:]


class Product:
    """The side that is called `clusterous`."""

    name = "clusterous"
    user = USER
    signs = SIGNS

    def __init__(self) -> None:
        self.operator: Operator | None = None

    def prepare(self, bed: Testbed) -> None:
        """Install the chart."""
        install(bed)

    def app(self, index: int) -> tuple[str, Manifest]:
        """Return an app."""
        return apps.APPS, apps.body(apps.name(index))

    def needed(self) -> int:
        """Return how many parts of an app have to become ready."""
        return 1

    @contextlib.asynccontextmanager
    async def running(self, bed: Testbed) -> AsyncIterator[int]:
        """Run the operator beside the block."""
        operator = self.operator = Operator(bed=bed, port=ports.free())
        operator.launch()
        try:
            await operator.until(operator.is_ready, "the operator's /readyz")
            await asyncio.sleep(1)
            yield operator.pid
        except BenchError as error:
            raise BenchError(f"{error}; the operator: {operator.last_words()}") from error
        finally:
            if operator.process is not None:
                operator.process.kill()
                operator.process.wait()


def _app_folder(scratch: Path) -> Path:
    """Return a folder like /app in the image, compiled beforehand as it is there."""
    folder = scratch / "app"
    if not folder.exists():
        shutil.copytree(environments.operator_dependencies(print), folder)
        for package in _OWN_PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(package, folder / package.name, ignore=ignored)
        shutil.copy2(_CRD, folder / "clusterous_api")  # as in our wheel
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(folder)], check=True)
    return folder


def answer(url: str) -> str:
    """Return what a server on this machine answers; nothing, where it does not."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return str(response.read().decode())
    except (urllib.error.URLError, OSError):
        return ""

"""The distribution registry as a child process that listens on a unix socket only."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

_PATIENCE_SECONDS = 120.0


class RegistryError(Exception):
    """The registry's process did not start; the message carries its last words."""


class Distribution:
    """A running registry on *storage*; `socket_path` is where it answers plain HTTP."""

    def __init__(self, program: Path, storage: Path, *, read_only: bool) -> None:
        # A unix socket's path may have 107 characters only; a temporary folder's is short.
        self._folder = Path(tempfile.mkdtemp(prefix="registry-"))
        self.socket_path = self._folder / "socket"
        settings = self._folder / "settings.json"
        settings.write_text(json.dumps(_settings(self.socket_path, storage, read_only=read_only)))
        self._log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen(
            [program, "serve", settings],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            # It traces to a collector by default in newer versions.
            env={"OTEL_TRACES_EXPORTER": "none"},
        )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while not _answers(self.socket_path):
            if self._process.poll() is not None or time.monotonic() > end:
                words = (self._folder / "log").read_text(errors="replace")[-2000:]
                raise RegistryError(f"the registry does not answer: {words}")
            time.sleep(0.02)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _settings(listen: Path, storage: Path, *, read_only: bool) -> dict[str, Any]:
    # JSON is YAML, which the registry reads.
    return {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(storage)},
            "delete": {"enabled": not read_only},
            # Redirects and caches would show images that were just deleted by way of the API.
            "redirect": {"disable": True},
            "maintenance": {
                "readonly": {"enabled": read_only},
                "uploadpurging": {"enabled": False},
            },
        },
        "http": {"net": "unix", "addr": str(listen), "secret": "of-one-process-only"},
    }

"""The operator as a process of its own, and what the kubelet would do for it: start it again."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clusterous_api import names

_CLOCK = Path(__file__).with_name("clock")  # the folder of the shim that shifts its clock
# As the chart's livenessProbe has them, but for the patience of each try: nothing is so slow here.
_PROBE_SECONDS = 10.0
_PROBE_TIMEOUT = 5.0
_FAILED_PROBES = 3


@dataclass(slots=True, kw_only=True)
class Operator:
    """`python -m clusterous_operator`, with nothing but the rights of its service account."""

    name: str
    home: Path
    port: int
    server: str  # the proxy's address
    token: str
    flags: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    ends: int = 0  # of itself, without being asked
    unwell: int = 0  # how often its liveness probe had it restarted
    frozen: bool = False
    _probed: float = 0.0
    _failed: int = 0

    @property
    def log(self) -> Path:
        """Return where it writes what it says."""
        return self.home / f"{self.name}.log"

    @property
    def clock(self) -> Path:
        """Return the file with the seconds by which its clock is wrong."""
        return self.home / f"{self.name}.clock"

    def start(self) -> None:
        """Start it; it lives as long as the thread that starts it."""
        self.write_kubeconfig()
        command = [sys.executable, "-m", "clusterous_operator", f"--port={self.port}"]
        paths = [str(_CLOCK), os.environ.get("PYTHONPATH", "")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["/usr/bin/setpriv", "--pdeathsig", "KILL", *command, *self.flags],
                env={
                    **os.environ,
                    "KUBECONFIG": str(self._kubeconfig),
                    "CHAOS_CLOCK": str(self.clock),
                    "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                    **self.environ,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.starts += 1
        self._failed = 0
        self._probed = time.monotonic()

    @property
    def _kubeconfig(self) -> Path:
        return self.home / f"{self.name}.kubeconfig"

    def write_kubeconfig(self) -> None:
        """Write the file in which it finds server and token; whole before anyone sees it."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "chaos", "cluster": {"server": self.server}}],
            "users": [{"name": "chaos", "user": {"token": self.token}}],
            "contexts": [
                {
                    "name": "chaos",
                    "context": {"cluster": "chaos", "user": "chaos", "namespace": names.NAMESPACE},
                }
            ],
            "current-context": "chaos",
        }
        partial = self._kubeconfig.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_text(json.dumps(content))
        os.replace(partial, self._kubeconfig)

    def kill(self) -> None:
        """End it as a power cut does; any thread may ask for that."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 40.0) -> int:
        """Ask it to end; return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(seconds)
        self.process = None
        return code

    def freeze(self) -> None:
        """Stop its time, as a paused machine or a long page-in does."""
        assert self.process is not None
        self.frozen = True
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let its time go on; it does not know that it stood still."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.frozen = False
        self._failed = 0

    def shift_clock(self, seconds: float) -> None:
        """Set its wall clock wrong by so much."""
        self.clock.write_text(str(seconds))

    def tend(self) -> None:
        """Start it again if it has ended, or if its liveness probe keeps failing."""
        if self.process is None or self.frozen:
            return
        code = self.process.poll()
        if code is not None:
            self.ends += code != -signal.SIGKILL
            self.start()
        elif time.monotonic() - self._probed > _PROBE_SECONDS:
            self._probe()

    def _probe(self) -> None:
        self._probed = time.monotonic()
        self._failed = 0 if self.answers("/healthz") else self._failed + 1
        if self._failed >= _FAILED_PROBES:
            self.unwell += 1
            self.stop(signal.SIGKILL)
            self.start()

    def answers(self, path: str) -> bool:
        """Tell whether a probe is answered well."""
        try:
            url = f"http://127.0.0.1:{self.port}{path}"
            with urllib.request.urlopen(url, timeout=_PROBE_TIMEOUT) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def last_words(self) -> str:
        """Return the end of what it said."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return text[-2000:]

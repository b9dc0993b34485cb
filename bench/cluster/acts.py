"""What is done to a cluster in the simulated region, and what is seen of it meanwhile."""

import json
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.cluster import path, seen
from bench.cluster.calls import Create
from clusterous_api import names
from clusterous_cli.cluster import addresses, config
from tests.region import story
from tests.region.region import Region

WORKER: Final = Path(story.__file__).parents[1] / "vm/worker.py"
APP: Final = "writer"
IMAGE: Final = "rancher/mirrored-library-busybox:1.36.1"  # of k3s' own archive
PROGRAM: Final = f"""\
apiVersion: clusterous.io/v1
kind: ClusterousApp
metadata: {{name: {APP}}}
spec:
  image: {IMAGE}
  workers:
    replicas: 2
    command: [sh, -c, "while date +%s >>/home/data/$HOSTNAME; do sleep 1; done"]
"""
CLUSTER: Final = """\
name: %s
region: eu-west-1
controller: {type: t3.medium}
master: none
workers: {type: t3.medium, count: 2}
volume: {size: 2}
"""
# As AWS's, where the issue says how slow; what it does not name stays short.
SLOW: Final = {"nat_pending": 90.0, "shutting_down": 45.0, "volume_attaching": 5.0}
FILE, LOG, PROGRAM_PATH = "/home/data/acknowledged", "/run/append.log", "/run/worker.py"
# Told by the controller itself, as fast as it gets answers: each number was acknowledged.
WRITES: Final = """\
number=0
while :; do
    number=$((number + 1))
    k3s kubectl create configmap kept-$number >/dev/null 2>&1 && echo $number
done
"""
ENOUGH: Final = 8


@dataclass(slots=True, kw_only=True)
class Cluster:
    """A cluster of the bench, and the laptop's folder."""

    region: Region
    folder: Path
    tell: Callable[[str], None]
    # Each cluster has a name of its own: of one that was destroyed a moment ago AWS still answers
    # the tokens of then, which the next of that name has to find out and wait for.
    name: str = "bench"
    figures: dict[str, float] = field(default_factory=dict)

    # -- what a person types --------------------------------------------------------------

    def typed(self, *argv: str) -> str:
        """Type what has to succeed."""
        self.tell(f"$ {' '.join(argv)}")
        return story.run(self.region, self.folder, *argv)

    def create(self) -> dict[str, Any]:
        """Create, or bring back; return how long it took, and its longest path."""
        text = CLUSTER % self.name
        (self.folder / "cluster.yaml").write_text(text)
        with used() as spent:
            began, clock = time.monotonic(), time.time()
            said = self.typed_with_words("clusterous", "create", "cluster.yaml", "--yes")
            seconds, ended = time.monotonic() - began, time.time()
        settings = self.region.aws("GET", "config")
        made = Create(
            config=config.parse(text), user=settings["user"], began=clock, ended=ended,
            settings=settings, calls=self.region.aws_log(), told=self.region.aws("GET", "told"),
        )  # fmt: skip
        longest = path.longest(made.steps())
        return {
            "seconds": round(seconds, 1),
            "path_seconds": round(longest.seconds, 1),
            "beyond_path_seconds": round(seconds - longest.seconds, 1),
            "path": [
                {
                    "step": one.step.name,
                    "kind": one.step.kind,
                    "seconds": round(one.step.seconds, 2),
                    "ended": round(one.step.at, 2),
                    "late": round(one.late, 2),
                }
                for one in longest.links
            ],
            "settings": {name: settings[name] for name in SLOW},
            "processor": spent,
            "said": said.splitlines(),
        }

    def typed_with_words(self, *argv: str) -> str:
        """Type what has to succeed, and return what it told people."""
        self.tell(f"$ {' '.join(argv)}")
        done = self.region.laptop_run(
            argv, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == 0, f"{argv}: {done.stdout}"
        return str(done.stdout)

    def listed(self, what: str) -> list[dict[str, Any]]:
        """Return what the cluster has of a kind, or of several."""
        said = story.clusterous(
            self.region, self.folder, "kubectl", "get", what, "-A", "-o", "json"
        )
        return list(json.loads(said)["items"])

    # -- machines -------------------------------------------------------------------------

    def workers(self) -> list[dict[str, Any]]:
        """Return the machines of workers that run."""
        return [
            each
            for each in self.region.instances()
            if each["tags"].get(names.TAG_ROLE) == names.ROLE_WORKER and each["state"] == "running"
        ]

    def on(self, instance: str, script: str, given: str | None = None) -> str:
        """Run what has to succeed on a machine; return what it printed."""
        done = self.region.exec(
            instance, ["sh", "-c", script], input=given, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return str(done.stdout).strip()

    def end(self, instance: str) -> float:
        """Terminate a machine as AWS may at any time; return when that was."""
        ids = ("--instance-id", instance)
        off = ("aws", "ec2", "modify-instance-attribute", *ids, "--no-disable-api-termination")
        self.typed(*off)
        at = time.monotonic()
        self.typed(
            "aws", "ec2", "terminate-instances", "--instance-ids", instance, "--output", "text"
        )
        return at

    # -- acts -----------------------------------------------------------------------------

    def begin(self) -> str:
        """Start a program, and on a worker a file that is open for ever; return that worker."""
        (self.folder / "app.yaml").write_text(PROGRAM)
        self.typed("clusterous", "kubectl", "apply", "-f", "app.yaml")
        story.until(self.is_ready, "the program is ready", 300)
        worker = str(self.workers()[0]["id"])
        self.on(worker, f"cat >{PROGRAM_PATH}", WORKER.read_text())
        behind = "</dev/null >/run/append.err 2>&1 &"
        self.on(worker, f"setsid python3 {PROGRAM_PATH} append {FILE} {LOG} {behind}")
        story.until(lambda: self.acknowledged(worker), "it writes", 60)
        return worker

    def is_ready(self) -> bool:
        """Whether both of the program's workers are there."""
        apps = self.listed("clusterousapps")
        return [app.get("status", {}).get("workers") for app in apps] == ["2/2"]

    def acknowledged(self, worker: str) -> set[int]:
        """Return the lines that the shared volume has acknowledged so far."""
        return seen.acknowledged(self.on(worker, f"cat {LOG} 2>/dev/null || true"))

    def kill_the_volumes_server(self, worker: str) -> None:
        """Kill the server while a file is open, and open another at once."""
        controller = story.machine(self.region, "controller")["id"]
        since = self.on(worker, "date +%s.%N")
        self.on(controller, "pkill -KILL -x ganesha.nfsd")
        began = time.monotonic()
        self.on(worker, f"python3 {PROGRAM_PATH} fresh /home/data/after-kill")
        self.figures["new_open_seconds"] = round(time.monotonic() - began, 1)
        self.figures["open_file_seconds"] = self.gone_on(worker, since)

    def gone_on(self, worker: str, since: str, patience: float = 180.0) -> float:
        """Wait until lines are acknowledged again; return the longest time in which none was."""
        deadline = time.monotonic() + patience
        while True:
            said = self.on(worker, f"python3 {PROGRAM_PATH} gap {LOG} {since}")
            longest, age = map(float, said.split())
            if age < 0.5 and longest > 0.5:
                return round(longest, 1)
            assert time.monotonic() < deadline, f"the open file does not go on: {said}"
            time.sleep(0.5)

    def lose_the_controller(self, worker: str) -> dict[str, Any]:
        """Terminate it while it acknowledges writes; bring it back when the machine has ended."""
        old = str(story.machine(self.region, "controller")["id"])
        nodes = [_node(one) for one in self.workers()]
        before = seen.lives(self.listed("pods"), nodes)
        with (self.folder / "kept").open("w") as numbers:
            writing = self.region.exec_popen(old, ["sh", "-c", WRITES], stdout=numbers)
            story.until(lambda: len(self.kept_numbers()) >= ENOUGH, "the API acknowledges", 120)
            lost_at = self.end(old)
            story.until(lambda: self.has_ended(old), "its machine ends", 300)
            writing.kill()
            writing.wait()
        told, ended_at = self.kept_numbers(), time.monotonic()

        made = self.create()

        self.figures["controller_seconds"] = made["seconds"]
        after = seen.lives(self.listed("pods"), nodes)
        self.figures["restarts"] = seen.restarts(before, after)
        kept = {one["metadata"]["name"] for one in self.listed("configmaps")}
        self.figures["lost_writes"] = seen.lost(
            told, (number for number in told if f"kept-{number}" in kept)
        )
        return {
            **made,
            "acknowledged_writes": len(told),
            "containers": sum(map(len, before.values())),
            "machine_ended_after_seconds": round(ended_at - lost_at, 1),
            "loss_to_ready_seconds": round(ended_at - lost_at + made["seconds"], 1),
        }

    def kept_numbers(self) -> list[int]:
        """Return the writes that the API has acknowledged; a line that was cut short is none."""
        text = (self.folder / "kept").read_text()
        return [int(line) for line in text[: text.rfind("\n") + 1].split()]

    def has_ended(self, instance: str) -> bool:
        """Whether AWS shows a machine as terminated."""
        return all(one["id"] != instance for one in self.region.instances())

    def count_lines(self, worker: str) -> dict[str, Any]:
        """Wait until the open file goes on; compare what was acknowledged with what is there."""
        before = len(self.acknowledged(worker))
        story.until(lambda: len(self.acknowledged(worker)) > before, "the file goes on", 180)
        told = self.acknowledged(worker)
        controller = story.machine(self.region, "controller")["id"]
        lines = {int(line) for line in self.on(controller, f"cat {FILE}").split()}
        self.figures["lost_lines"] = seen.lost(told, lines)
        self.on(worker, f"pkill -f '^python3 {PROGRAM_PATH}'")
        return {"acknowledged_lines": len(told)}

    def lose_a_worker(self, patience: float = 600.0) -> dict[str, Any]:
        """Terminate a worker with a pod of the program; look until nothing of it is left."""
        story.until(self.is_ready, "the program is ready", 300)
        homes = {
            one["spec"]["nodeName"]
            for one in self.listed("pods")
            if one["metadata"].get("labels", {}).get(names.LABEL_APP) == APP
        }
        machine = next(one for one in self.workers() if _node(one) in homes)
        node, began = _node(machine), self.end(str(machine["id"]))
        times: dict[str, float] = {}
        while len(times) < 3 and time.monotonic() - began < patience:
            now = self._loss(node)
            passed = round(time.monotonic() - began, 1)
            if now is not None:
                over = {"node": not now.node, "pods": not now.pods, "elsewhere": now.elsewhere}
                times |= {
                    f"{name}_seconds": passed
                    for name, is_over in over.items()
                    if is_over and f"{name}_seconds" not in times
                }
            time.sleep(1.0)
        self.figures |= times
        return {"machine": machine["id"], **times}

    def _loss(self, node: str) -> seen.Loss | None:
        try:
            return seen.loss(self.listed("nodes,pods"), node, APP, 2)
        except AssertionError as error:  # a busy API server; we look again
            self.tell(f"  {str(error)[-300:]}")
            return None


def _node(machine: dict[str, Any]) -> str:
    return addresses.node_name(machine["private_dns_name"], machine["id"])


@contextmanager
def used() -> Iterator[dict[str, float]]:
    """Measure the processor's seconds: those of what we started, and of the whole machine."""
    spent: dict[str, float] = {}
    before, own = Path("/proc/stat").read_text(), _children()
    began = time.monotonic()
    yield spent
    ticks = 100  # USER_HZ, on every Linux of today
    spent["command_seconds"] = round(_children() - own, 1)
    spent["machine_seconds"] = seen.busy(before, Path("/proc/stat").read_text(), ticks)
    spent["of_seconds"] = round((time.monotonic() - began) * (os.cpu_count() or 1), 1)


def _children() -> float:
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime

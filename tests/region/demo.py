"""The main job on real parts: from an empty account to a result on the laptop and back.

`make demo` runs this, and so does a test. Every step is what a person would do, as the person's own
programs do it on the laptop; only the audit at the end asks the simulator itself.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import yaml

from tests.region import critical, region

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "examples/montecarlo"
REPORT = CHECKOUT / "build/demo.json"
EVIDENCE = CHECKOUT / "build/evidence"

TRY_AGAIN = 75  # the exit code of what may do better the next time
ATTEMPTS = 3

# How many of a million points each fall inside, by how many jobs of the example's seed: the same,
# whoever computes them. The example has 300; an emulated machine takes half an hour for these.
KNOWN_HITS: Final = {300: 235_613_289, 100: 78_543_014}
POINTS_PER_JOB: Final = 1_000_000

CLUSTER = """\
name: demo
region: eu-west-1
controller: {type: t3.medium}
master: none
workers: {type: t3.medium, count: 2}
"""


class StoryError(Exception):
    """The story did not go as told; the message says where."""


@dataclass(slots=True)
class Story:
    """The laptop in a region, and a stopwatch for its phases."""

    region: region.Region
    folder: Path
    tell: Callable[[str], None]
    jobs: int = max(KNOWN_HITS)
    phases: dict[str, float] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)  # seconds after the machine was ended

    @contextmanager
    def phase(self, name: str, title: str) -> Iterator[None]:
        self.tell(f"\n━━ {title}")
        began = time.monotonic()
        yield
        self.phases[name] = round(time.monotonic() - began, 1)

    def type(self, *argv: str, check: bool = True) -> int:
        """Run *argv* on the laptop as a person would: again, if it says that this may help."""
        for _ in range(ATTEMPTS - 1):
            code = self._type(*argv)
            if code != TRY_AGAIN:
                break
        else:
            code = self._type(*argv)
        if check and code:
            raise StoryError(f"{' '.join(argv)} ended with exit code {code}")
        return code

    def _type(self, *argv: str) -> int:
        """Run *argv* as typed at the laptop's prompt, its words indented under it."""
        self.tell(f"$ {' '.join(argv)}")
        with self.region.laptop_popen(
            argv, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            for line in process.stdout or ():
                self.tell(f"  {line.rstrip()}")
        return int(process.returncode)

    def read(self, *argv: str) -> str:
        """Run *argv* on the laptop without showing it; return what it wrote to stdout."""
        answer = self.region.laptop_run(argv, cwd=self.folder, capture_output=True, text=True)
        if answer.returncode:
            raise StoryError(f"{' '.join(argv)} failed: {answer.stderr.strip()[-2000:]}")
        return str(answer.stdout)


def main(
    name: str = region.DEFAULT_NAME, *, keep: bool = False, jobs: int = max(KNOWN_HITS)
) -> int:
    """Tell the whole story; return 0 when it ended well. *keep* leaves the region up.

    *jobs* is one of KNOWN_HITS.
    """
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="clusterous-demo-"))
    story = Story(region=region.Region(name), folder=folder, tell=_tell, jobs=jobs)
    left: list[str] = []
    error = ""
    try:
        _whole_story(story)
        left = story.region.leftovers()
        _show_audit(story, left)
    except (StoryError, region.RegionError) as problem:
        error = str(problem)
        story.tell(f"\n✗ {error}")
    if error or left:
        _keep_evidence(story)
    report = _report(story, left=left, error=error, seconds=time.monotonic() - began)
    _write(report)
    _show_table(story, report)
    if not keep:
        story.region.down(tell=story.tell)
    shutil.rmtree(folder, ignore_errors=True)
    return 0 if report["ok"] else 1


# What a person would look at, on the laptop.
_LOOKS = {
    "status": ("clusterous", "status"),
    "objects": ("clusterous", "kubectl", "get", "nodes,pods,capp", "-A", "-o", "yaml"),
    "events": ("clusterous", "kubectl", "get", "events", "-A", "--sort-by=.lastTimestamp"),
    "operator": (
        *("clusterous", "kubectl", "-n", "clusterous-system", "logs", "--tail=2000"),
        *("-l", "app.kubernetes.io/name=clusterous-operator", "--prefix"),
    ),
}


def _keep_evidence(story: Story) -> None:
    """Keep what the region and its cluster have to say, since both go away now."""
    shutil.rmtree(EVIDENCE, ignore_errors=True)
    logs = story.region.places.log.parent
    if logs.exists():
        shutil.copytree(logs, EVIDENCE)
    EVIDENCE.mkdir(parents=True, exist_ok=True)
    for log in story.folder.glob("*.log"):
        shutil.copy(log, EVIDENCE)
    for name, argv in _LOOKS.items():
        with (EVIDENCE / f"{name}.txt").open("w") as file, suppress(OSError, region.RegionError):
            story.region.laptop_run(
                ("timeout", "120", *argv), cwd=story.folder, stdout=file, stderr=file
            )
    story.tell(f"  {EVIDENCE.relative_to(CHECKOUT)} has what machines and cluster said")


def _whole_story(story: Story) -> None:
    with story.phase("region", "A region of our own: an empty AWS account and the internet"):
        story.region.up(tell=story.tell)
    with story.phase("create", "A private cluster: 1 controller, 2 workers"):
        (story.folder / "cluster.yaml").write_text(CLUSTER)
        story.type("clusterous", "create", "cluster.yaml", "--yes")
    with story.phase("run", "The program: its image built, pushed, and run"):
        shutil.copytree(EXAMPLE, story.folder / "montecarlo")
        _ask_for_jobs(story.folder / "montecarlo/app.yaml", story.jobs)
        story.type("clusterous", "run", "montecarlo/app.yaml", "--no-wait")
    with story.phase("compute", "The computation, seen through a tunnel, and a node that dies"):
        _watch_and_lose_a_node(story)
    with story.phase("get", "The result, on the laptop"):
        story.type("clusterous", "get", "result.json", ".")
        _check_result(story)
    with story.phase("destroy", "Nothing left that costs money"):
        story.type("clusterous", "destroy", "--yes")


def _ask_for_jobs(path: Path, jobs: int) -> None:
    """Have the program of the manifest at *path* compute *jobs* jobs, if it would others."""
    if jobs == max(KNOWN_HITS):
        return
    app = yaml.safe_load(path.read_text())
    app["spec"]["master"]["env"] = [{"name": "MONTECARLO_JOBS", "value": str(jobs)}]
    path.write_text(yaml.safe_dump(app, sort_keys=False))


def _watch_and_lose_a_node(story: Story) -> None:
    with ExitStack() as stack:
        connect = Connect(story)
        stack.callback(connect.end)
        _follow(story, until=lambda now: now["done"] >= 30, look=connect.look)
        lost = Lost(_terminate_a_worker(story))

        def look(story: Story) -> None:
            connect.look(story)
            lost.look(story)

        _follow(story, until=lambda now: now["done"] >= now["jobs"], look=look)
    lost.wait(story)
    story.lost = lost.seconds
    wait = ("clusterous", "kubectl", "wait", "capp/montecarlo", "--for=condition=Completed")
    if story.type(*wait, "--timeout=1800s", check=False) and not _ended(story):
        raise StoryError("all jobs are done, and the program is not Completed")
    story.type("clusterous", "kubectl", "get", "capp")


@dataclass(slots=True)
class Rest:
    """Sleeps between questions, for twice as long as they took: on a slow machine, to ask again and
    again must not be what makes it slow. `rest` in boot/templates/s3.sh does so on nodes."""

    shortest: float = 1.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _since: float = field(init=False)

    def __post_init__(self) -> None:
        self._since = self.clock()

    def take(self) -> None:
        self.sleep(max(self.shortest, 2 * (self.clock() - self._since)))
        self._since = self.clock()


@dataclass(slots=True)
class Connect:
    """`clusterous connect` beside us; it is typed again where it gave up."""

    story: Story
    process: "subprocess.Popen[Any] | None" = None

    def look(self, story: Story) -> None:
        if self.process is None or self.process.poll() is not None:
            argv = ("clusterous", "connect", "montecarlo")
            story.tell(f"$ {' '.join(argv)} &")
            with (story.folder / "connect.log").open("a") as words:
                self.process = story.region.laptop_popen(
                    argv, cwd=story.folder, stdout=words, stderr=subprocess.STDOUT, text=True
                )

    def end(self) -> None:
        if self.process is not None:
            _end(self.process)


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
        return
    process.kill()
    process.wait()


def _follow(
    story: Story,
    *,
    until: Callable[[dict[str, Any]], bool],
    look: Callable[[Story], None] = lambda _: None,
    patience: float = 900.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show the program's own progress page until *until* says so.

    Gives up only when *patience* seconds have passed without one more job done, or another word of
    `connect`: a machine that is ten times slower gets there, too.
    """
    since, done, shown, words = clock(), -1, -1, frozenset[str]()
    rest = Rest(clock=clock, sleep=sleep)
    while clock() - since < patience:
        look(story)
        now = _progress(story)
        said = words | set(_connect_said(story).splitlines())
        if said != words or (now and now["done"] > done):
            since, words, done = clock(), said, max(done, now["done"] if now else -1)
        if now and now["done"] // 20 > shown // 20:
            shown = now["done"]
            pi = "" if now["pi"] is None else f", pi ≈ {now['pi']:.6f} ± {now['error']:.6f}"
            story.tell(
                f"  {now['done']:>4} of {now['jobs']} jobs by {len(now['workers'])} workers{pi}"
            )
        if now and until(now):
            return
        rest.take()
    last = _connect_said(story)[-2000:]
    raise StoryError(f"the computation did not get on in {patience:.0f} s; connect said:\n{last}")


def _connect_said(story: Story) -> str:
    log = story.folder / "connect.log"
    return log.read_text(errors="replace") if log.exists() else ""


def _progress(story: Story) -> dict[str, Any] | None:
    """Ask the master through the tunnel; None while it does not answer (or has ended: all done)."""
    url = "http://localhost:8080/progress"
    answer = story.region.laptop_run(
        ("curl", "-sS", "--max-time", "30", url), capture_output=True, text=True
    )
    if answer.returncode == 0 and answer.stdout:
        found: dict[str, Any] = json.loads(answer.stdout)
        return found
    return _ended(story)


def _ended(story: Story) -> dict[str, Any] | None:
    """A batch master that is done serves no page; the app's own status says so."""
    path = "jsonpath={.status.conditions[?(@.type=='Completed')].status}"
    answer = story.region.laptop_run(
        ("clusterous", "kubectl", "get", "capp/montecarlo", "-o", path),
        cwd=story.folder,
        capture_output=True,
        text=True,
    )
    if answer.returncode or answer.stdout.strip() != "True":
        return None
    return {"done": story.jobs, "jobs": story.jobs, "pi": None, "error": None, "workers": {}}


def _terminate_a_worker(story: Story) -> str:
    """End one of the machines that compute, as AWS may at any time; return which."""
    query = "Reservations[].Instances[].InstanceId"
    found = story.read(
        *("aws", "ec2", "describe-instances", "--output", "text", "--query", query, "--filters"),
        "Name=tag:clusterous.io/role,Values=worker",
        "Name=instance-state-name,Values=running",
    )
    instance = found.split()[0]
    story.type(
        *("aws", "ec2", "terminate-instances", "--instance-ids", instance), *("--output", "text")
    )
    return instance


@dataclass(slots=True)
class Lost:
    """A machine that is gone, and after how many seconds Kubernetes forgot its node and pods."""

    instance: str
    began: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def is_forgotten(self) -> bool:
        return {"Node", "Pod"} <= self.seconds.keys()

    def look(self, story: Story) -> None:
        """Look what is still there: nodes are named with the end of their machine's id."""
        if self.is_forgotten:
            return
        end = f"-{self.instance[-8:]}"
        row = "{.kind} {.metadata.name} {.spec.nodeName}"
        path = "{range .items[*]}" + row.replace(" ", '{" "}') + '{"\\n"}{end}'
        try:
            said = story.read(
                "clusterous", "kubectl", "get", "nodes,pods", "-A", "-o", f"jsonpath={path}"
            )
        except StoryError:
            return  # a busy API server; we look again
        passed = round(time.monotonic() - self.began, 1)
        there = {words[0] for words in map(str.split, said.splitlines()) if words[-1].endswith(end)}
        for kind in {"Node", "Pod"} - there - self.seconds.keys():
            self.seconds[kind] = passed

    def wait(self, story: Story, patience: float = 600.0) -> None:
        """Look until it is forgotten; *patience* begins now, after a computation that was slow."""
        since, rest = time.monotonic(), Rest()
        while not self.is_forgotten:
            if time.monotonic() - since > patience:
                raise StoryError(f"{self.instance} is gone, and Kubernetes has not noticed")
            self.look(story)
            rest.take()
        story.tell(
            f"✓ the machine that died is gone from Kubernetes: its node after"
            f" {self.seconds['Node']:.0f} s, the last of its pods after {self.seconds['Pod']:.0f} s"
        )


def _check_result(story: Story) -> None:
    result = json.loads((story.folder / "result.json").read_text())
    hits, points = KNOWN_HITS[story.jobs], story.jobs * POINTS_PER_JOB
    if (result["hits"], result["points"]) != (hits, points):
        raise StoryError(
            f"the result is wrong: {result['hits']} of {result['points']} points,"
            f" known are {hits} of {points}"
        )
    names = ", ".join(f"{name} {count}" for name, count in result["workers"].items())
    story.tell(
        f"✓ pi is {result['pi']:.6f} ± {result['error']:.6f}: {result['hits']:,} of"
        f" {result['points']:,} points, to the last one what is known"
    )
    story.tell(f"  jobs by worker: {names}")


def _show_audit(story: Story, left: Sequence[str]) -> None:
    story.tell("\n━━ The audit, asked of the region itself")
    for line in left:
        story.tell(f"✗ left: {line}")
    if not left:
        story.tell("✓ nothing left: no machine, address, volume, network, role, bucket or image")


def _report(story: Story, *, left: Sequence[str], error: str, seconds: float) -> dict[str, Any]:
    calls: dict[str, int] = {}
    ratio: dict[str, Any] = {}
    with suppress(region.RegionError):
        log = story.region.aws_log()
        for call in log:
            calls[call["action"]] = calls.get(call["action"], 0) + 1
        ratio = critical.of_create(log, story.phases.get("create"))
    return {
        "ok": not error and not left,
        "error": error,
        "phases": story.phases,
        "seconds": round(seconds, 1),
        "lost_machine": story.lost,
        "left": len(left),
        "create": ratio,
        "aws_calls": dict(sorted(calls.items())),
        "machine": {"cpus": os.cpu_count()},
    }


def _write(report: dict[str, Any]) -> None:
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")


def _show_table(story: Story, report: dict[str, Any]) -> None:
    story.tell("\n  phase        seconds")
    for name, seconds in report["phases"].items():
        story.tell(f"  {name:<10} {seconds:>9.1f}")
    story.tell(f"  {'all':<10} {report['seconds']:>9.1f}")
    if report["create"]:
        found = report["create"]
        story.tell(
            f"\n  create took {found['seconds']} s, {found['ratio']} x its critical path"
            f" ({found['chain']} s of AWS states and calls + {found['boot']} s of one node's boot)"
        )
    story.tell(f"  {REPORT.relative_to(CHECKOUT)} has this as JSON")


def _tell(line: str, stream: IO[str] = sys.stdout) -> None:
    print(line, file=stream, flush=True)

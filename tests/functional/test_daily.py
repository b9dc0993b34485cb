"""What is typed day by day on a cluster that runs: files, programs, logs, pages.

As in `test_run.py`: a strict AWS, real SSH, rsync and tar, a stand-in of the API server.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from click.shell_completion import ShellComplete

from clusterous_api import names
from clusterous_cli import main
from clusterous_cli.commands import completing, kept
from clusterous_cli.data import rsync
from clusterous_cli.program import exposure
from clusterous_cli.reach import kube, session, ssh, tunnel, warm
from clusterous_cli.system import browser, shell
from tests import programs
from tests.functional import sshd
from tests.functional.echo import Echo, said_by
from tests.functional.test_run import (  # noqa: F401  # fixtures
    APPS,
    Kubernetes,
    Stage,
    account,
    page,
    stage,
)
from tests.functional.test_ssh import has_a_third, stop_at_a_third
from tests.unit.cli.program.running.test_copying import RUN, become

pytestmark = [sshd.NEEDED, programs.needs("docker-registry", "tar", "sha256sum")]

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


@dataclass
class Living(Kubernetes):
    """An API server whose apps have pods with logs, and can be scaled."""

    logs: dict[tuple[str, bool], str] = field(default_factory=dict)
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    changed: list[tuple[str, Any]] = field(default_factory=list)

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        place, _, query = path.partition("?")
        if place.endswith("/log"):
            asked = parse_qs(query)
            self.asked.append(asked)
            said = self.logs.get((place.split("/")[-2], "previous" in asked))
            return (400, "{}") if said is None else (200, said)
        if kind == "application/json-patch+json":
            self.changed.append((place, json.loads(body or "")))
            self.edit(self.objects[place], json.loads(body or ""))
            return 200, json.dumps(self.objects[place])
        if kind == "application/merge-patch+json" and place.startswith(DEPLOYMENTS):
            self.changed.append((place, json.loads(body or "")))
            return 200, "{}"
        if place.startswith(DEPLOYMENTS):
            return 200, "{}"
        if place.endswith("/pods") and query:
            return 200, json.dumps({"items": self.selected(query)})
        return super().__call__(method, path, body, kind)

    def selected(self, query: str) -> list[dict[str, Any]]:
        (text,) = parse_qs(query)["labelSelector"]
        wanted = dict(one.split("=") for one in text.split(","))
        return [pod for pod in self.pods if wanted.items() <= pod["metadata"]["labels"].items()]

    @staticmethod
    def edit(app: dict[str, Any], operations: list[dict[str, Any]]) -> None:
        for one in operations:
            *above, last = one["path"].strip("/").split("/")
            at: Any = app
            for step in above:
                at = at[int(step)] if isinstance(at, list) else at[step]
            match one["op"]:
                case "test":
                    assert at[last] == one["value"]
                case "add":
                    at[last] = one["value"]
                case "remove":
                    del at[last]


def app(name: str, port: int = 80, **spec: Any) -> dict[str, Any]:
    """An app that runs: a master that serves *port*, workers, a database."""
    titles = ("master", "workers", "db")
    conditions = [{"type": "Ready", "status": "True"}]
    return {
        "metadata": {"name": name, "namespace": "default", "generation": 1},
        "spec": {
            "master": {"ports": [{"name": "http", "port": port}]},
            "workers": {"replicas": 2, "aliases": ["engine"]},
            "components": [{"name": "db"}],
            **spec,
        },
        "status": {
            "observedGeneration": 1,
            "conditions": conditions,
            "components": [{"name": one, "desired": 1, "ready": 1} for one in titles],
            "endpoints": [
                {
                    "name": "page",
                    "component": "master",
                    "service": "reef-master",
                    "port": port,
                    "localPort": 28080,
                }
            ],
        },
    }


def pod(of: str, title: str, name: str, *, again: bool = False) -> dict[str, Any]:
    state = {"lastState": {"terminated": {"exitCode": 1}}} if again else {}
    return {
        "metadata": {
            "name": f"{of}-{title}-{name}",
            "namespace": "default",
            "labels": {names.LABEL_APP: of, names.LABEL_COMPONENT: title},
        },
        "spec": {"containers": [{"name": title}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": title, **state}]},
    }


@pytest.fixture
def living(stage: Stage, page: int, monkeypatch: pytest.MonkeyPatch) -> Living:  # noqa: F811
    """Two programs on the cluster, sim and lab; sim's master was started again."""
    made = Living()
    stage.kubernetes = made
    monkeypatch.setattr(session, "api", lambda link: kube.Api(made))
    for name in ("sim", "lab"):
        made.objects[f"{APPS}/{name}"] = app(name, page)
    made.pods = [
        pod("sim", "master", "m", again=True),
        pod("sim", "workers", "w1"),
        pod("sim", "workers", "w2"),
        pod("lab", "db", "d"),
    ]
    return made


def spec(living: Living, name: str = "sim") -> dict[str, Any]:
    found: dict[str, Any] = living.objects[f"{APPS}/{name}"]["spec"]
    return found


# -- programs -------------------------------------------------------------------------------


def test_scales_workers_and_components(stage: Stage, living: Living) -> None:  # noqa: F811
    more = stage.type("scale", "sim", "8")
    same = stage.type("scale", "sim", "engine", "8", "-o", "json")
    full = stage.type("scale", "sim", "fill")
    other = stage.type("scale", "lab", "db", "3")
    unclear = stage.type("scale", "4")
    master = stage.type("scale", "sim", "master", "2")
    wrong = stage.type("scale", "sim", "many")

    assert (more[0], "✓ engine of sim: 2 → 8" in more[2]) == (0, True)
    assert json.loads(same[1]) == {"app": "sim", "component": "engine", "before": "8", "after": "8"}
    assert "8 → fill" in full[2]
    assert "replicas" not in spec(living)["workers"]
    assert (other[0], spec(living, "lab")["components"][0]["replicas"]) == (0, 3)
    assert (unclear[0], "several apps: default/sim, default/lab" in unclear[2]) == (2, True)
    assert (master[0], "has one master, and never more" in master[2]) == (2, True)
    assert (wrong[0], "many is no number of pods" in wrong[2]) == (2, True)


def test_restarts_all_or_one(stage: Stage, living: Living) -> None:  # noqa: F811
    one = stage.type("restart", "engine")
    everything = stage.type("restart", "sim", "-o", "json")

    assert one[0] == 2  # both programs have workers that are called so
    assert "clusterous restart lab engine" in one[2]
    assert json.loads(everything[1])["restarted"] == {"master": 1, "engine": 2}
    changed = [place.rpartition("/")[2] for place, _ in living.changed]
    assert changed == ["sim-master", "sim-workers", "sim-db"]


def test_suspends_and_resumes(stage: Stage, living: Living) -> None:  # noqa: F811
    living.pods = []
    suspended = stage.type("suspend", "sim")
    kept = spec(living)["suspend"]
    again = stage.type("suspend", "sim")
    restarted = stage.type("restart", "sim")
    scaled = stage.type("scale", "sim", "3")
    resumed = stage.type("resume", "sim")
    running = stage.type("resume", "sim")

    assert (suspended[0], kept, "✓ sim is suspended" in suspended[2]) == (0, True, True)
    assert "was suspended already" in again[2]
    assert (restarted[0], "clusterous resume sim" in restarted[2]) == (2, True)
    assert (scaled[0], "! sim is suspended" in scaled[2]) == (0, True)
    assert (resumed[0], spec(living)["suspend"]) == (0, False)
    assert "sim is not suspended; it is Ready" in running[2]


def test_logs_are_by_time_and_also_of_before(stage: Stage, living: Living) -> None:  # noqa: F811
    at = "2026-11-30T09:00:0{}Z {}\n".format
    living.logs = {
        ("sim-master-m", False): at(5, "up again"),
        ("sim-master-m", True): at(1, "out of memory"),
        ("sim-workers-w1", False): at(3, "job 1") + at(6, "job 2"),
        ("lab-db-d", False): at(4, "ready"),
    }

    plain = stage.type("logs", "sim")
    before = stage.type("logs", "sim", "-p", "-o", "json")
    one = stage.type("logs", "sim", "engine", "--since", "10m")
    alone = stage.type("logs", "db", "--cluster", "reef")
    wrong = stage.type("logs", "sim", "--since", "soon")

    assert plain[1].splitlines() == [
        "workers-w1 | job 1",
        "master-m | up again",
        "workers-w1 | job 2",
    ]
    told = [json.loads(line) for line in before[1].splitlines()]
    assert [(one["line"], one.get("previous", False)) for one in told] == [
        ("out of memory", True),
        ("job 1", False),
        ("up again", False),
        ("job 2", False),
    ]
    assert one[1].splitlines() == ["workers-w1 | job 1", "workers-w1 | job 2"]
    assert living.asked[-1].get("sinceSeconds") == ["600"]
    assert "tailLines" not in living.asked[-1]
    assert alone[0] == 2  # both have one
    assert (wrong[0], "is no time" in wrong[2]) == (2, True)


@pytest.fixture
def containers(stage: Stage) -> Path:  # noqa: F811
    """A kubectl that runs on this machine what it is to run in a container."""
    become(stage.folder / "bin/kubectl", RUN)
    disk = stage.folder / "container"
    (disk / "out").mkdir(parents=True)
    (disk / "out/trace.json").write_text("{}")
    return disk


def test_copies_to_and_from_a_container(
    stage: Stage,  # noqa: F811
    living: Living,
    containers: Path,
) -> None:
    out = stage.type("cp", f"sim/master:{containers}/out", "back/")
    into = stage.type("cp", "inputs/data.txt", f"sim/engine:{containers}/new/")
    missing = stage.type("cp", "nothing", "sim/master:/x")
    absent = stage.type("cp", "sim/master:/no/such", ".")
    both = stage.type("cp", "a", "b")

    assert (out[0], into[0]) == (0, 0)
    assert (stage.folder / "back/out/trace.json").read_text() == "{}"
    assert (containers / "new/data.txt").read_text() == "data"
    assert "! engine has 1 more like sim-workers-w1, which this is" in into[2]
    assert (missing[0], "There is no nothing here" in missing[2]) == (2, True)
    assert (absent[0], "There is no /no/such in master" in absent[2]) == (2, True)
    assert (both[0], "COMPONENT:PATH" in both[2]) == (2, True)


def test_a_command_is_run_in_a_container(
    stage: Stage,  # noqa: F811
    living: Living,
    containers: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(shell, "replace", lambda argv, environment: became.append(argv))

    code, _, _ = stage.type("shell", "sim", "master", "-c", "df -h")

    assert code == 0
    assert became[0][-3:] == ["sh", "-c", "df -h"]
    assert "--tty" not in became[0]  # nobody sits there


# -- files ----------------------------------------------------------------------------------


@pytest.fixture
def inputs(stage: Stage) -> Path:  # noqa: F811
    folder = stage.folder / "inputs"
    (folder / "deep").mkdir()
    (folder / "deep/a.csv").write_text("a" * 5000)
    (folder / "deep/b.tmp").write_text("b")
    return folder


def test_tells_first_what_it_would_do(stage: Stage, inputs: Path) -> None:  # noqa: F811
    code, out, err = stage.type("put", "inputs", "new/in", "--dry-run")

    assert code == 0, err
    listed = sorted(line for line in out.splitlines() if not line.endswith("/"))
    assert listed == ["+ inputs/data.txt", "+ inputs/deep/a.csv", "+ inputs/deep/b.tmp"]
    assert not (stage.volume / "new").exists()
    stage.type("put", "inputs")
    (inputs / "deep/b.tmp").write_text("longer")
    _, out, _ = stage.type("put", "inputs", "-n", "-o", "json")
    assert json.loads(out) == {"new": [], "changed": ["inputs/deep/b.tmp"], "deleted": []}


def test_leaves_out_and_counts(stage: Stage, inputs: Path) -> None:  # noqa: F811
    first = stage.type("put", "inputs", "--exclude", "*.tmp")
    again = stage.type("put", "inputs", "-o", "json")
    same = stage.type("put", "inputs", "--check")

    assert "2 files, 5 KiB; 2 new or changed (5 KiB)" in first[2]
    told = json.loads(again[1])
    assert (told["files"], told["sent"]) == (3, {"files": 1, "bytes": 1})
    assert "nothing new; compared, all the same" in same[2]


def test_deletes_what_is_not_here_when_that_is_agreed(
    stage: Stage,  # noqa: F811
    inputs: Path,
) -> None:
    stage.type("put", "inputs")
    (inputs / "deep/b.tmp").unlink()

    unasked = stage.type("put", "inputs")
    refused = stage.type("put", "inputs", "--delete")
    there = (stage.volume / "inputs/deep/b.tmp").exists()
    agreed = stage.type("put", "inputs", "--delete", "--yes")
    several = stage.type("put", "inputs", "image", "x/", "--delete", "--yes")

    assert unasked[0] == 0
    assert refused[0] == 2
    assert "delete 1 file in" in refused[2]
    assert "(inputs/deep/b.tmp)" in refused[2]
    assert there
    assert (agreed[0], "1 deleted" in agreed[2]) == (0, True)
    assert not (stage.volume / "inputs/deep/b.tmp").exists()
    assert (several[0], "--delete takes one folder" in several[2]) == (2, True)


def test_brings_home_only_what_is_there_when_that_is_agreed(
    stage: Stage,  # noqa: F811
    inputs: Path,
) -> None:
    stage.type("put", "inputs/", "results/")
    (stage.folder / "results").mkdir()
    (stage.folder / "results/old").write_text("old")

    shown = stage.type("get", "results", "--delete", "-n", "-o", "json")
    agreed = stage.type("get", "results", "--delete", "-y")

    assert json.loads(shown[1])["deleted"] == ["results/old"]
    assert agreed[0] == 0
    assert not (stage.folder / "results/old").exists()
    assert (stage.folder / "results/deep/a.csv").exists()


def test_what_has_other_content_and_the_same_size_and_time_is_found(
    stage: Stage,  # noqa: F811
    inputs: Path,
) -> None:
    stage.type("put", "inputs")
    file = stage.volume / "inputs/data.txt"
    before = file.stat()
    file.write_text("DATA")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    checked = stage.type("put", "inputs", "--check")
    mended = stage.type("put", "inputs", "--checksum", "--check")

    assert (checked[0], "Not the same at both ends: inputs/data.txt" in checked[2]) == (1, True)
    assert mended[0] == 0
    assert file.read_text() == "data"


def test_goes_on_by_itself_where_the_connection_broke(
    stage: Stage,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The gateway dies in the midst of a file; it is back when it is tried again."""
    (stage.folder / "big.bin").write_bytes(os.urandom(24 << 20))
    plain = shell.stream
    times: list[int] = []

    def stream(argv: list[str], hear: Callable[[str], None], **more: Any) -> int:
        times.append(1)
        if len(times) > 1:
            return plain(argv, hear, **more)

        def cut(line: str) -> None:
            hear(line)
            if has_a_third(line):
                for name in (ssh.CONTROLLER, ssh.GATEWAY):
                    if name in stage.site.running:
                        stage.site.stop(name)
                        stage.site.start(name)

        return plain([argv[0], "--bwlimit=8m", *argv[1:]], cut, **more)

    monkeypatch.setattr(shell, "stream", stream)

    code, _, err = stage.type("put", "big.bin")

    assert (code, len(times)) == (0, 2), err
    assert "! big.bin: the connection broke; going on in 1 s" in err
    assert (stage.volume / "big.bin").read_bytes() == (stage.folder / "big.bin").read_bytes()


def test_after_ctrl_c_the_same_command_goes_on(
    stage: Stage,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (stage.folder / "big.bin").write_bytes(os.urandom(24 << 20))
    plain = shell.stream
    said: list[str] = []

    def stream(argv: list[str], hear: Callable[[str], None], **more: Any) -> int:
        def stop(line: str) -> None:
            hear(line)
            stop_at_a_third(line)

        return plain([argv[0], "--bwlimit=8m", *argv[1:]], stop, **more)

    def listening(argv: list[str], hear: Callable[[str], None], **more: Any) -> int:
        return plain(argv, lambda line: (said.append(line), hear(line))[1], **more)

    monkeypatch.setattr(shell, "stream", stream)
    stopped = stage.type("put", "big.bin")
    half = (stage.volume / "big.bin").exists()
    end = time.monotonic() + 60
    while not (stage.volume / rsync.PARTIAL / "big.bin").exists():  # the far end has noticed
        assert time.monotonic() < end
        time.sleep(0.05)
    monkeypatch.setattr(shell, "stream", listening)
    again = stage.type("put", "big.bin")

    assert (stopped[0], half) == (130, False)
    assert "the same command goes on from there" in stopped[2]
    assert again[0] == 0
    assert (stage.volume / "big.bin").read_bytes() == (stage.folder / "big.bin").read_bytes()
    (matched,) = (line for line in said if line.startswith("Matched data"))
    assert int("".join(filter(str.isdigit, matched))) >= 2 << 20


def test_measures_and_lists_for_programs(stage: Stage, inputs: Path) -> None:  # noqa: F811
    stage.type("put", "inputs")
    (stage.volume / "inputs/last").symlink_to("data.txt")

    whole = stage.type("du")
    told = json.loads(stage.type("du", "inputs", "-o", "json")[1])
    listed = json.loads(stage.type("ls", "inputs", "-o", "json")[1])
    missing = stage.type("du", "nothing")

    assert "inputs" in whole[1]
    assert "free on the volume" in whole[1]
    assert {one["name"] for one in told["entries"]} == {"data.txt", "deep", "last"}
    assert told["volume"]["size"] > told["volume"]["free"] > 0
    assert [(one["name"], one["kind"], one.get("target")) for one in listed] == [
        ("data.txt", "file", None),
        ("deep", "folder", None),
        ("last", "link", "data.txt"),
    ]
    assert (missing[0], "There is no nothing on the shared volume" in missing[2]) == (2, True)


def test_a_script_is_asked_nothing_and_a_person_before_much_goes(
    stage: Stage,  # noqa: F811
    inputs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from clusterous_cli.commands import rm
    from clusterous_cli.terminal.screen import Ui

    stage.type("put", "inputs", "a/")
    stage.type("put", "inputs", "b/")
    asked: list[str] = []

    script = stage.type("rm", "a/inputs/deep", "a/inputs/data.txt")
    monkeypatch.setattr(Ui, "can_ask", property(lambda ui: True))
    monkeypatch.setattr(Ui, "confirm", lambda ui, question: asked.append(question))
    little = stage.type("rm", "b/inputs/deep")
    monkeypatch.setattr(rm, "MANY_FILES", 2)
    much = stage.type("rm", "b/inputs")

    assert script[0] == 0
    assert list((stage.volume / "a/inputs").iterdir()) == []
    assert (little[0], much[0]) == (0, 1)
    assert (stage.volume / "b/inputs/data.txt").exists()
    (question,) = asked
    assert question.startswith(f"delete {stage.volume}/b/inputs of reef (2 files")


# -- pages ----------------------------------------------------------------------------------


def test_each_page_keeps_its_port(stage: Stage, living: Living) -> None:  # noqa: F811
    first = stage.type("connect", "sim", "--background", "-o", "json")
    other = stage.type("connect", "lab", "--background", "-o", "json")
    ports = [int(json.loads(out)[0]["url"].rpartition(":")[2]) for _, out, _ in (first, other)]
    both = [said_by(port) for port in ports]
    closed = stage.type("connect", "lab", "--close")
    stage.type("connect", "sim", "--close")
    again = stage.type("connect", "lab", "--background")
    listed = json.loads(stage.type("connect", "lab", "--list", "-o", "json")[1])
    stage.type("connect", "lab", "--close")

    assert ports[0] != ports[1]
    assert both == ["hello", "hello"]
    assert "1 tunnel closed" in closed[2]
    assert f"http://localhost:{ports[1]}" in again[2]
    assert listed[0]["here"] == str(ports[1])
    assert all(map(tunnel.is_free, ports))


def test_a_port_is_free_again_when_its_program_is_gone(
    stage: Stage,  # noqa: F811
    living: Living,
) -> None:
    stage.type("connect", "sim", "--background")
    del living.objects[f"{APPS}/sim"]

    _, out, _ = stage.type("connect", "lab", "--background", "-o", "json")
    stage.type("connect", "lab", "--close")

    assert json.loads(out)[0]["url"] == "http://localhost:28080"


def test_a_page_is_shown_in_a_browser(
    stage: Stage,  # noqa: F811
    living: Living,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[str] = []
    answers = iter([True, False])
    monkeypatch.setattr(browser, "show", lambda url: bool(shown.append(url)) or next(answers))

    seen = stage.type("connect", "sim", "--background", "--browser")
    nobody = stage.type("connect", "sim", "--background", "--browser")
    stage.type("connect", "sim", "--close")

    assert shown == ["http://localhost:28080"] * 2
    assert "no browser" not in seen[2]
    assert "There is no browser to open here; the address is http://localhost:28080" in nobody[2]


def test_a_page_is_followed_to_where_its_pod_has_gone(
    stage: Stage,  # noqa: F811
    living: Living,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The far end changes while the page is held open; the port here does not."""
    with closing(Echo("moved")) as moved:
        far = exposure.apps.Far(address="127.0.0.1", port=moved.port)
        seen: list[str] = []

        def sleep(seconds: float) -> None:
            seen.append(said_by(28080))
            if len(seen) == exposure.ASKED_EACH + 1:
                raise KeyboardInterrupt

        held = exposure.hold
        monkeypatch.setattr(
            exposure,
            "hold",
            lambda pages, find, ui: held(pages, lambda endpoint: far, ui, sleep=sleep),
        )
        stage.type("connect", "sim")

    assert seen == ["hello"] * exposure.ASKED_EACH + ["moved"]


# -- completion -----------------------------------------------------------------------------


def test_by_a_way_that_is_open_nobody_asks_aws(
    stage: Stage,  # noqa: F811
    inputs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage.type("put", "inputs")
    (known,) = (stage.folder / "home/clusters").glob("*/record.json")
    home = stage.site.access.home
    (home / "record.json").write_text(known.read_text())
    monkeypatch.setattr(kept, "home", lambda name: home)
    before = len(stage.world.server.log())
    logins = stage.site.log(ssh.CONTROLLER).count("Accepted publickey")

    open_ = [stage.type(*words) for words in (("ls",), ("put", "inputs"), ("rm", "inputs"))]
    quiet = len(stage.world.server.log())
    ssh.close(home)
    cold = stage.type("ls")

    assert [code for code, _, _ in open_] == [0, 0, 0]
    assert "inputs" in open_[0][1]
    assert quiet == before
    assert cold[0] == 0
    assert len(stage.world.server.log()) > before
    # What was opened while AWS was asked is what is used.
    assert stage.site.log(ssh.CONTROLLER).count("Accepted publickey") == logins + 1


@pytest.fixture
def patient(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """TAB may take its time, and finds the machines that stand in for the cluster's."""
    monkeypatch.setattr(completing, "SECONDS", 60.0)
    monkeypatch.setattr(warm, "SECONDS", 60.0)
    monkeypatch.setattr(kept, "home", lambda name: stage.site.access.home)


def test_tab_offers_what_is_on_the_volume_by_the_way_that_is_open(
    stage: Stage,  # noqa: F811
    inputs: Path,
    patient: None,
) -> None:
    stage.type("put", "inputs")
    made = ShellComplete(main.cli, {}, "clusterous", "_CLUSTEROUS_COMPLETE")

    logins = stage.site.log(ssh.CONTROLLER).count("Accepted publickey")
    found = [one.value for one in made.get_completions(["ls"], "inputs/d")]
    again = stage.site.log(ssh.CONTROLLER).count("Accepted publickey")

    assert found == ["inputs/data.txt", "inputs/deep/"]
    assert logins == again

"""Central logging's light stack on a region's nodes, under the names that upstream's images have.

What a program says is in its page as it was said: traces whole, equal lines as many as they were,
also of a pod that is gone, and after the store was killed. One cluster serves the whole module; the
tests run in the order in which they stand here.
"""

import contextlib
import json
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.region import story
from tests.region.parts import logimages, parts
from tests.region.region import Region
from tests.region.story import clusterous, until

pytestmark = pytest.mark.region

CLUSTER: Final = """\
name: diary
region: eu-west-1
controller: {type: t3.medium}
master: none
workers: {type: t3.medium, count: 2}
volume: {size: 1}
"""
PYTHON: Final = "docker.io/library/python:3.11-slim"
BUSYBOX: Final = "rancher/mirrored-library-busybox:1.36.1"
# The receiver's bare name is known a minute or two after it was turned on: DNS reads its rule then.
CONNECTS: Final = """\
import socket, time

while True:
    try:
        wire = socket.create_connection(("central-logging", 5514))
        break
    except OSError:
        time.sleep(1)
"""
# Says all that is to be one record each, once; then counts, a line a tenth of a second.
SAYS: Final = """\
import json, sys, traceback

def fail():
    return {"a": 1}["b"] + 1

def chain():
    try:
        fail()
    except KeyError as error:
        raise RuntimeError("the chain") from error

for one in (fail, chain):
    try:
        one()
    except Exception:
        traceback.print_exc()
    print("between", file=sys.stderr, flush=True)
print(json.dumps({"message": "in JSON", "level": "warning", "user": {"id": 7}}), flush=True)
print("long " + "x" * 20000, flush=True)
for _ in range(1000):
    print("equal", flush=True)
with wire:
    for _ in range(10):
        wire.sendall(b"<14>1 - host sim 17 - - by syslog\\n")
number = 0
while True:
    print(f"number {number}", flush=True)
    number += 1
    time.sleep(0.1)
"""
# Says a line each way.
SENDS: Final = """\
wire.sendall(b"<14>1 - host pair 17 - - sent by TCP\\n")
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(
    b"<14>Nov 30 10:00:00 host pair: sent by UDP", wire.getpeername()
)
time.sleep(10**6)
"""
CARETS: Final = "^^^"
LONG: Final = "long " + "x" * 20000


def app(name: str, image: str, command: list[str], **more: Any) -> dict[str, Any]:
    """Return a program of one worker, of which may be said *more*."""
    spec = {"image": image, "workers": {"replicas": 1, "command": command, **more}}
    return {
        "apiVersion": "clusterous.io/v1",
        "kind": "ClusterousApp",
        "metadata": {"name": name},
        "spec": spec,
    }


# From a file: of a program that is an argument, traces show no lines and so no carets.
RUN: Final = f"cat >/tmp/sim.py <<'END'\n{CONNECTS}{SAYS}END\nexec python /tmp/sim.py"
APART: Final = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {
                "labelSelector": {"matchLabels": {"clusterous.io/app": "pair"}},
                "topologyKey": "kubernetes.io/hostname",
            }
        ]
    }
}
BARE: Final = {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
APPS: Final = (
    app(
        "pair",
        PYTHON,
        ["python", "-c", CONNECTS + SENDS],
        replicas=2,
        template={"spec": {"affinity": APART}},
    ),
    app("bare", PYTHON, ["python", "-c", CONNECTS + SENDS], template={"spec": BARE}),
    app("sim", PYTHON, ["sh", "-c", RUN]),
    app("crash", BUSYBOX, ["sh", "-c", "echo it goes wrong; exit 3"]),
)


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    parts.paths([logimages.NAME], print)
    with story.up("crdiary") as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("laptop")
    (made / "diary.yaml").write_text(CLUSTER)
    (made / "apps.yaml").write_text(yaml.safe_dump_all(APPS))
    return made


def stored(region: Region, folder: Path, *argv: str) -> list[str]:
    """Return what the store has, by `clusterous logs`."""
    said = clusterous(region, folder, "logs", *argv, "--stored", "--since", "1h", "-o", "json")
    return [json.loads(line)["line"] for line in said.splitlines()]


def numbers(lines: list[str]) -> list[int]:
    return [int(line.partition(" ")[2]) for line in lines if line.startswith("number ")]


@contextlib.contextmanager
def opened(region: Region, folder: Path, *argv: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Hold the page open on the laptop: its address, and the login for curl."""
    pipe, words = subprocess.PIPE, ("clusterous", "logging", "open", *argv)
    process = region.laptop_popen(words, cwd=folder, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout
    assert process.stderr
    try:
        link, said = process.stdout.readline(), process.stderr.readline()
        assert "with the password" in said, f"{link}{said}"
        user, _, password = said.strip().removeprefix("as ").partition(", with the password ")
        yield link.partition("select/")[0], ("--user", f"{user}:{password}")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def answered(region: Region, url: str, *login: str) -> str:
    """Return how somebody on the laptop is answered: the status, and then the page."""
    argv = ("curl", "-s", "-m", "20", "-w", "\n%{http_code}", *login, url)
    done = region.laptop_run(argv, capture_output=True, text=True)
    page, _, status = str(done.stdout).rpartition("\n")
    return f"{status} {page}"


def test_it_is_turned_on_beside_programs_that_run(region: Region, folder: Path) -> None:
    clusterous(region, folder, "create", "diary.yaml", "--yes")

    clusterous(region, folder, "logging", "on", "--light", "--level", "2", "--yes")

    told = json.loads(clusterous(region, folder, "logging", "status", "-o", "json"))
    assert (told["ready"], told["store"], told["level"]) == (True, "light", 2)
    assert told["parts"]["collectors"] == {"ready": 3, "wanted": 3}
    clusterous(region, folder, "kubectl", "apply", "-f", "apps.yaml")


def test_what_was_said_together_is_one_record(region: Region, folder: Path) -> None:
    until(lambda: stored(region, folder, "sim", "--grep", "^number "), "it counts", 240)

    (trace, chained) = stored(region, folder, "sim", "--grep", "^Traceback")

    assert trace.count("Traceback") == 1
    assert CARETS in trace
    assert trace.splitlines()[-1] == "KeyError: 'b'"
    assert chained.count("Traceback") == 2
    assert "direct cause of the following exception" in chained
    assert chained.splitlines()[-1] == "RuntimeError: the chain"
    assert stored(region, folder, "sim", "--grep", "in JSON") == ["in JSON"]
    assert stored(region, folder, "sim", "--grep", "^long") == [LONG]
    assert stored(region, folder, "sim", "--grep", "^between") == ["between"] * 2


def test_equal_lines_are_as_many_as_they_were(region: Region, folder: Path) -> None:
    assert stored(region, folder, "sim", "--grep", "^equal$") == ["equal"] * 1000
    assert stored(region, folder, "sim", "--grep", "^by syslog$") == ["by syslog"] * 10


def test_a_line_by_syslog_belongs_to_the_app_on_whatever_node(region: Region, folder: Path) -> None:
    both = ["sent by TCP", "sent by UDP"]
    until(lambda: len(stored(region, folder, "pair", "--grep", "^sent by")) >= 4, "both sent")

    assert sorted(stored(region, folder, "pair", "--grep", "^sent by")) == sorted(both * 2)
    assert stored(region, folder, "bare", "--grep", "^sent by") == []
    with opened(region, folder) as (url, login):
        asked = 'query=_time:1h app:=unknown "sent by"'
        there = answered(region, f"{url}select/logsql/query", *login, "--data-urlencode", asked)
    found = [json.loads(line)["_msg"] for line in there.partition(" ")[2].splitlines()]
    assert sorted(found) == both


def test_a_pod_that_crashes_is_told_by_its_words_and_by_kubernetes(
    region: Region, folder: Path
) -> None:
    until(lambda: len(stored(region, folder, "crash", "--grep", "it goes")) >= 2, "it crashes")

    def events() -> str:
        with opened(region, folder) as (url, login):
            asked = "query=_time:1h BackOff crash"
            return answered(region, f"{url}select/logsql/query", *login, "--data-urlencode", asked)

    until(lambda: "BackOff" in events(), "Kubernetes says so")


def test_its_page_opens_through_the_tunnel_for_who_has_the_password(
    region: Region, folder: Path
) -> None:
    with opened(region, folder, "sim") as (url, login):
        status, _, page = answered(region, f"{url}select/vmui/", *login).partition(" ")
        assert status == "200"
        assert "<html" in page
        knocks = [answered(region, f"{url}{path}") for path in ("select/vmui/", "insert/jsonline")]
        wrong = answered(region, f"{url}select/vmui/", "--user", "clusterous:guessed")
    assert [one[:3] for one in (*knocks, wrong)] == ["401"] * 3


@pytest.mark.parametrize(
    ("network", "words"),
    [
        pytest.param("pod", "401 Unauthorized|kept out", id="in its first seconds"),
        pytest.param("pod", "kept out", id="once its chain is written"),
        pytest.param("host", "401 Unauthorized", id="of the store's own machine"),
    ],
)
def test_a_strange_pod_gets_nothing_of_the_store(
    region: Region, folder: Path, network: str, words: str
) -> None:
    """A policy keeps pods out; who is of the store's machine is kept out by the password alone."""
    at = ("-n", "clusterous-logging", "get", "pod", "clusterous-logs-store-0", "-o")
    store = clusterous(region, folder, "kubectl", *at, "jsonpath={.status.podIP} {.spec.nodeName}")
    address, home = store.split()
    wait = "sleep 20; " if words == "kept out" else ""
    # By its address and without wget: this busybox is a static one, which looks up no names.
    asked = "GET /select/logsql/query?query=* HTTP/1.0\\r\\n\\r\\n"
    script = f"{wait}printf '{asked}' | nc -w 20 {address} 9428 2>&1 || echo kept out"
    more: dict[str, Any] = {"nodeName": home, "hostNetwork": network == "host"}
    argv = ("run", "knock", "--image", BUSYBOX, "--restart=Never")
    strange = ("--overrides", json.dumps({"spec": more}), "--", "sh", "-c", script)
    clusterous(region, folder, "kubectl", *argv, *strange)

    try:
        until(lambda: re.search(words, said_by(region, folder, "knock")), "it has knocked")
    finally:
        clusterous(region, folder, "kubectl", "delete", "pod", "knock")


def said_by(region: Region, folder: Path, pod: str) -> str:
    done = region.laptop_run(
        ("clusterous", "kubectl", "logs", pod), cwd=folder, capture_output=True, text=True
    )
    return str(done.stdout)


def test_who_follows_hears_all_over_a_store_that_is_killed(region: Region, folder: Path) -> None:
    argv = ("clusterous", "logs", "sim", "--stored", "-f", "--grep", "^number", "--since", "5s")
    with (folder / "heard").open("wb") as out, (folder / "told").open("wb") as err:
        follows = region.laptop_popen(argv, cwd=folder, stdout=out, stderr=err)
        try:
            until(lambda: heard(folder), "the first")
            time.sleep(5)
            kill = ("-n", "clusterous-logging", "delete", "pod", "clusterous-logs-store-0")
            clusterous(region, folder, "kubectl", *kill, "--force", "--grace-period=0")
            newest = max(heard(folder))
            until(lambda: max(heard(folder)) > newest + 300, "it goes on", 240)
        finally:
            follows.send_signal(signal.SIGINT)
            follows.wait(30)

    found = heard(folder)
    missing = set(range(min(found), max(found) + 1)) - set(found)
    # A killed store may lose what it had taken and not written: some 3 s of ten lines each.
    assert len(missing) <= 30, sorted(missing)
    assert [one for one, count in Counter(found).items() if count > 1] == []


def heard(folder: Path) -> list[int]:
    lines = (folder / "heard").read_text().splitlines()
    return numbers([line.partition(" | ")[2] for line in lines])


def test_of_a_program_that_is_gone_all_is_there(region: Region, folder: Path) -> None:
    before = stored(region, folder, "sim", "--grep", "^Traceback")

    clusterous(region, folder, "quit", "sim", "--confirm")

    assert stored(region, folder, "sim", "--grep", "^Traceback") == before
    assert len(before) == 2


def test_destroy_writes_it_down_first_and_leaves_nothing(region: Region, folder: Path) -> None:
    done = region.laptop_run(
        ("clusterous", "destroy", "diary", "--yes"), cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "--export-logs FOLDER, or --discard-logs" in done.stderr

    clusterous(region, folder, "destroy", "diary", "--yes", "--export-logs", "kept")

    days = [*(folder / "kept/logs/sim").iterdir()]
    lines = [json.loads(line) for day in days for line in day.read_text().splitlines()]
    assert sum(one["_msg"] == "equal" for one in lines) == 1000
    assert region.leftovers() == []

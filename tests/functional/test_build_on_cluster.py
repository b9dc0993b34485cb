"""Builds on the cluster as a whole, but for BuildKit: a strict AWS and its registry, real SSH,
rsync and shells. What runs in the builder's pod runs here, in a folder of its own."""

import json
import os
import shutil
import socket
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clusterous_cli import main
from clusterous_cli.images import builder, workshop
from clusterous_cli.images.context import taken
from clusterous_cli.images.context.taken import Source
from clusterous_cli.images.remote import building, desk, scripts
from clusterous_cli.reach import kube, session
from tests import programs
from tests.functional import cloud, sshd
from tests.functional.sshd import Site
from tests.functional.test_run import account, nodes  # noqa: F401  # fixtures

pytestmark = [sshd.NEEDED, programs.needs("docker-registry")]

# The controller's sudo and kubectl, and what Kubernetes does of `exec`: paths lead to folders here.
SUDO = """\
#!{python} -S
import os, sys
home, words = os.path.dirname(sys.argv[0]), sys.argv[1:]
pod = os.path.join(home, "pod")
known = {{"/etc/clusterous": home, "/run/secrets": pod + "/secrets"}}
for place in known:
    words = [word.replace(place, known[place]) for word in words]
if words[0].endswith("/k3s"):
    with open(home + "/k3s.log", "a") as log:
        print(*words[:9], file=log)
    words = [w.replace("/work", pod + "/work") for w in words[words.index("--") + 1 :]]
    os.environ["PATH"] = pod + ":" + os.environ["PATH"]
os.execvp(words[0], words)
"""
# A BuildKit that makes images of one layer, what is in the context, and pushes them as asked.
BUILDCTL = """\
#!{python}
import base64, hashlib, json, os, socket, sys, tarfile, tempfile
from pathlib import Path
sys.path[:0] = {path!r}
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **given: (
    [(socket.AF_INET, socket.SOCK_STREAM, 6, "", {address!r})]
    if ".dkr.ecr." in str(host) else resolve(host, *more, **given)
)
from clusterous_cli.images.sending import push, saved
home, words = Path(sys.argv[0]).parent, sys.argv[1:]
os.environ["SSL_CERT_FILE"] = str(home / "work/tools/ca.pem")
with (home / "buildctl.log").open("a") as log:
    print(*words, file=log)
if words[0] == "debug":
    sys.exit((home / "not-yet").exists())
places = dict(w.split("=", 1)[1].split("=") for w in words if w.startswith("--local="))
print("#1 reading", file=sys.stderr)
if (home / "broken").exists():
    sys.exit("ERROR: failed to solve: process did not complete")
(output,) = (word for word in words if "push=true" in word)
host, _, rest = output.split("name=")[1].split(",")[0].partition("/")
name, _, tag = rest.partition(":")
logins = json.loads(Path(os.environ["DOCKER_CONFIG"], "config.json").read_text())["auths"]
user, _, password = base64.b64decode(logins[host]["auth"]).decode().partition(":")
with tempfile.TemporaryDirectory() as scratch:
    layer, archive = Path(scratch, "layer"), Path(scratch, "image.tar")
    with tarfile.open(layer, "w") as tar:
        tar.add(places["context"], ".")
    diff = "sha256:" + hashlib.sha256(layer.read_bytes()).hexdigest()
    known = {{"os": "linux", "architecture": "amd64", "rootfs": {{"diff_ids": [diff]}}}}
    Path(scratch, "c").write_text(json.dumps(known))
    Path(scratch, "m").write_text(json.dumps([{{"Config": "c", "Layers": ["layer"]}}]))
    with tarfile.open(archive, "w") as tar:
        for path, member in (("m", "manifest.json"), ("c", "c"), ("layer", "layer")):
            tar.add(Path(scratch, path), member)
    to = push.Repository(registry=host, name=name, user=user, password=lambda: password)
    digest = push.push(saved.read(archive), to, tag, Path(scratch), lambda done, total: None)
Path(words[words.index("--metadata-file") + 1]).write_text(
    json.dumps({{"containerimage.digest": digest}}, indent=2)
)
"""
AWS = '#!/bin/sh\ncat "${0%/*}/token"\n'


@dataclass
class Kubernetes:
    """An API server that has a builder's pod running as soon as there is its Job."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        place = path.partition("?")[0]
        if method != "GET":
            self.calls.append(f"{method} {path}")
        if method == "PATCH":
            made = json.loads(body or "")
            made["metadata"]["uid"] = str(len(self.calls))
            self.objects[place] = made
        if method == "DELETE":
            self.objects.pop(place, None)
        found = self.fixed(place) or self.objects.get(place)
        return (200, json.dumps(found)) if found else (404, "{}")

    def fixed(self, place: str) -> dict[str, Any] | None:
        kinds = {"v1": "Namespace", "networking.k8s.io/v1": "NetworkPolicy", "batch/v1": "Job"}
        known = {
            kube.group_path(group): {
                "resources": [
                    {
                        "name": {"NetworkPolicy": "networkpolicies"}.get(one, f"{one.lower()}s"),
                        "kind": one,
                        "namespaced": one != "Namespace",
                    }
                ]
            }
            for group, one in kinds.items()
        }
        uids = [job["metadata"]["uid"] for job in (self.objects.get(desk.JOBS),) if job]
        pods = {"items": [pod(uid) for uid in ("0", *uids)]}
        answers: dict[str, Any] = {
            **known,
            "/api/v1/nodes": {"items": nodes()},
            desk.PODS.partition("?")[0]: pods,
        }
        return answers.get(place)


def pod(uid: str) -> dict[str, Any]:
    """Return the builder's pod; one of a Job that was failed."""
    return {
        "metadata": {"name": f"builder-{uid}", "ownerReferences": [{"uid": uid}]},
        "status": {"phase": "Failed" if uid == "0" else "Running"},
    }


@dataclass
class Stage:
    world: cloud.World
    site: Site
    folder: Path
    kubernetes: Kubernetes
    capture: pytest.CaptureFixture[str]

    @property
    def pod(self) -> Path:
        """Return what is in the pod."""
        return self.site.programs / "pod"

    def type(self, *words: str) -> tuple[int, str, str]:
        code = main.run(list(words))
        out, err = self.capture.readouterr()
        return code, out, err

    def asked(self) -> list[str]:
        """Return what BuildKit was asked to build."""
        log = self.pod / "buildctl.log"
        return [line for line in log.read_text().splitlines() if line.startswith("build ")]

    def images(self) -> list[dict[str, Any]]:
        name = "clusterous/reef/tool"
        found: list[dict[str, Any]] = self.world.cloud.call(
            "ecr", "describe_images", repositoryName=name
        )["imageDetails"]
        return found


@pytest.fixture
def stage(
    account: cloud.World,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Stage]:
    kubernetes = Kubernetes()
    (tmp_path / "bin").mkdir()
    script(tmp_path / "bin/aws", AWS)
    (tmp_path / "bin/token").write_text(cloud.password(account))
    (tmp_path / "image").mkdir()
    (tmp_path / "image/Containerfile").write_text("FROM scratch\nCOPY . /\n")
    (tmp_path / "image/run").write_text("#!/bin/sh\n")
    (tmp_path / "image/run").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(builder.ENV_BUILDER, "cluster")
    monkeypatch.setenv("CLUSTEROUS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with sshd.site(tmp_path) as site:
        enter(site, account)
        monkeypatch.setattr(session, "access_to", lambda cluster: site.access)
        monkeypatch.setattr(session, "api", lambda link: kube.Api(kubernetes))
        yield Stage(account, site, tmp_path, kubernetes, capsys)
    cloud.empty_registry(account)


def enter(site: Site, world: cloud.World) -> None:
    """Let the controller's kubectl lead into a pod."""
    pod = site.programs / "pod"
    (pod / "work").mkdir(parents=True)
    (pod / "secrets").mkdir()
    shutil.copyfile(world.folder / "ca.pem", site.programs / "ca.pem")
    script(site.programs / "sudo", SUDO.format(python=sys.executable))
    address = registry()
    script(
        pod / "buildctl",
        BUILDCTL.format(python=sys.executable, path=[p for p in sys.path if p], address=address),
    )


def registry() -> tuple[str, int]:
    """Return where the account's registry listens."""
    host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    found = socket.getaddrinfo(host, 443)[0][4]
    return str(found[0]), int(found[1])


def script(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_a_folder_becomes_an_image_without_a_builder_here(stage: Stage) -> None:
    code, out, err = stage.type("build-image", "image", "tool:v1", "--build-arg", "A=1")

    assert (code, "builds on the cluster" in err) == (0, True), err
    tag = taken.tag(Source(folder=stage.folder / "image", arguments={"A": "1"}))
    (there,) = stage.images()
    assert sorted(there["imageTags"]) == [tag, "v1"]
    assert out.strip().endswith(f"/clusterous/reef/tool@{there['imageDigest']}")
    (asked,) = stage.asked()
    assert "build-arg:A=1" in asked
    assert f"name=123456789012.dkr.ecr.eu-west-1.amazonaws.com/clusterous/reef/tool:{tag}," in asked
    assert [path.rpartition("/")[2] for path in stage.kubernetes.objects] == [
        *("clusterous-builder", "builder", "builder")
    ]


def test_no_password_stays_and_the_image_trusts_whom_the_controller_does(stage: Stage) -> None:
    stage.type("build-image", "image", "tool")

    assert list((stage.pod / "secrets/builder").iterdir()) == []
    trusted = (stage.world.folder / "ca.pem").read_text()
    assert (stage.pod / "work/tools/ca.pem").read_text() == trusted
    token = (stage.folder / "bin/token").read_text()
    log = (stage.site.programs / "k3s.log").read_text() + "".join(stage.asked())
    assert token not in log


def test_the_same_folder_is_sent_once(stage: Stage) -> None:
    first = stage.type("build-image", "image", "tool")
    again = stage.type("build-image", "image", "tool:v2")

    assert (first[0], again[0]) == (0, 0)
    assert first[1] == again[1]
    assert len(stage.asked()) == 1


def test_what_changed_is_told_by_its_content_and_the_rest_is_not_sent_again(stage: Stage) -> None:
    for number in range(3):
        (stage.folder / f"image/{number}").write_bytes(os.urandom(50_000))
    (stage.folder / "image/app.py").write_text("A=1")
    os.utime(stage.folder / "image/app.py", (0, 0))
    stage.type("build-image", "image", "tool")
    (before,) = (stage.pod / "work/contexts/tool").glob("[0-9a-f]*")
    kept = (before / "context/0").stat().st_ino
    (stage.folder / "image/app.py").write_text("A=2")
    os.utime(stage.folder / "image/app.py", (0, 0))

    code, _, err = stage.type("build-image", "image", "tool")

    assert code == 0, err
    (after,) = (stage.pod / "work/contexts/tool").glob("[0-9a-f]*")
    assert after != before
    assert (after / "context/app.py").read_text() == "A=2"
    assert (after / "context/0").stat().st_ino == kept
    assert len(stage.images()) == 2


def test_a_file_that_changes_on_its_way_is_sent_again(stage: Stage) -> None:
    """What the builder reads is another content, once: nothing is built of that."""
    script(stage.pod / "sha256sum", SPOILING)

    code, _, err = stage.type("build-image", "image", "tool")

    assert code == 0, err
    (asked,) = stage.asked()
    (left,) = (stage.pod / "work/contexts/tool").glob("[0-9a-f]*")
    assert left.name in asked
    (there,) = stage.images()
    assert taken.tag(Source(folder=stage.folder / "image")) in there["imageTags"]


def test_a_password_that_came_in_part_is_sent_again(stage: Stage) -> None:
    script(stage.pod / "cat", LOSING)

    code, _, err = stage.type("build-image", "image", "tool")

    assert code == 0, err
    assert (stage.pod / "lost").exists()
    assert len(stage.asked()) == 1


# The first time, nothing comes.
LOSING = """\
#!/bin/sh
PATH=${PATH#*:}
[ -e "${0%/*}/lost" ] || exec touch "${0%/*}/lost"
exec cat "$@"
"""
# The first time, something is written to what is read.
SPOILING = """\
#!/bin/sh
if [ ! -e "${0%/*}/spoiled" ]; then
    touch "${0%/*}/spoiled"
    for one; do echo more >>"$one"; done
fi
PATH=${PATH#*:} exec sha256sum "$@"
"""


def test_a_controller_without_rsync_gets_all_by_tar(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    lend = scripts.lend
    monkeypatch.setattr(scripts, "lend", lambda pod: lend(pod).replace("-v rsync", "-v no-rsync"))
    (stage.folder / "image/way").symlink_to("run")

    code, _, err = stage.type("build-image", "image", "tool")

    assert code == 0, err
    assert not list((stage.pod / "work/tools").glob("rsync"))
    (left,) = (stage.pod / "work/contexts/tool").glob("[0-9a-f]*")
    assert (left / "context/way").readlink() == Path("run")
    assert os.access(left / "context/run", os.X_OK)


def test_a_build_that_fails_says_the_builders_words(stage: Stage) -> None:
    (stage.pod / "broken").touch()

    code, _, err = stage.type("build-image", "image", "tool")

    assert code == 1
    assert "could not be built on the cluster (status 1)" in err
    assert "ERROR: failed to solve" in err
    assert list((stage.pod / "secrets/builder").iterdir()) == []


def test_what_somebody_else_pushed_meanwhile_is_taken(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.type("build-image", "image", "tool")
    (stage.pod / "broken").touch()  # as the registry is for a tag that may not change
    monkeypatch.setattr(workshop.Workshop, "there", lambda self, builds: {})

    code, out, err = stage.type("build-image", "image", "tool")

    assert code == 0, err
    assert out.strip().endswith(stage.images()[0]["imageDigest"])


def test_a_builder_that_ended_is_begun_anew_and_one_that_runs_is_used(stage: Stage) -> None:
    stage.type("build-image", "image", "tool")
    (stage.folder / "image/more").write_text("1")
    stage.type("build-image", "image", "tool")
    once = [call for call in stage.kubernetes.calls if "jobs" in call]
    job = stage.kubernetes.objects[desk.JOBS]
    job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    (stage.folder / "image/more").write_text("2")

    code, _, err = stage.type("build-image", "image", "tool")

    assert code == 0, err
    assert [call.partition(" ")[0] for call in once] == ["PATCH"]
    after = [call for call in stage.kubernetes.calls if "jobs" in call][1:]
    assert [call.partition(" ")[0] for call in after] == ["DELETE", "PATCH"]
    assert after[0].endswith("propagationPolicy=Background")


def test_a_wish_goes_before_the_environment(stage: Stage) -> None:
    code, _, err = stage.type("build-image", "image", "tool", "--builder", "podman")

    assert code == 2
    assert "podman: not installed" in err
    assert stage.kubernetes.objects == {}


def test_archives_of_tar_have_no_owners(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_text("x")
    with (tmp_path / "out.tar").open("wb") as stream:
        building._pack(stream, tmp_path / "in")

    with tarfile.open(tmp_path / "out.tar") as archive:
        assert {(one.uid, one.gid, one.uname) for one in archive} == {(0, 0, "")}

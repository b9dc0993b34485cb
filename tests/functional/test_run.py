"""`run` and `connect` as a whole: a strict AWS, real SSH and rsync, a stand-in API server."""

import contextlib
import hashlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterous_api import names
from clusterous_api.errors import TransientError
from clusterous_cli import main
from clusterous_cli.aws import errors
from clusterous_cli.cluster import config, record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import tags_of
from clusterous_cli.data import volumes
from clusterous_cli.images import builder, registry, workshop
from clusterous_cli.images.context import taken
from clusterous_cli.images.context.taken import Source
from clusterous_cli.program import exposure, foresight, launch
from clusterous_cli.reach import kube, session, ssh, tunnel
from clusterous_cli.system import shell, verbosity, wait
from tests import programs
from tests.functional import cloud, sshd
from tests.functional.echo import Echo, said_by
from tests.functional.sshd import Site

pytestmark = [sshd.NEEDED, programs.needs("docker-registry")]

APPS = "/apis/clusterous.io/v1/namespaces/default/clusterousapps"
ENVIRONMENT = """
name: reef
environment:
  copy: [inputs/]
  image: [{dockerfile: image/, image_name: "tool:v1"}]
  components:
    master: {machine: master, cpu: auto, image: "registry:5000/tool:v1", ports: "PORT:80"}
  expose_tunnel: {service: "LOCAL:master:PORT", message: "The page: {url}"}
"""
MANIFEST = """
apiVersion: clusterous.io/v1
kind: ClusterousApp
metadata:
  name: reef
  annotations: {clusterous.io/build.tool: image/}
spec: {image: tool, master: {}}
"""
# A docker that notes how it is called, and makes images of one layer: what is in the context.
DOCKER = """\
#!{python} -S
import hashlib, io, json, os, shutil, sys, tarfile
home, words = os.path.dirname(sys.argv[0]), sys.argv[1:]
with open(home + "/docker.log", "a") as log:
    print(*words, file=log)
forgot = "inspect" in words and os.path.exists(home + "/forgot")
if forgot or ("buildx" in words and "version" in words):
    sys.exit(1)
if "build" in words:
    with tarfile.open(home + "/layer.tar", "w") as tar:
        tar.add(words[-1], ".")
    shutil.copy(words[words.index("--file") + 1], home + "/recipe")
    if os.path.exists(home + "/hook"):
        exec(open(home + "/hook").read())
        os.unlink(home + "/hook")
if "save" in words:
    layer = open(home + "/layer.tar", "rb").read()
    ids = ["sha256:" + hashlib.sha256(layer).hexdigest()]
    known = {{"os": "linux", "architecture": "amd64", "rootfs": {{"diff_ids": ids}}}}
    listed = [{{"Config": "c", "RepoTags": [words[-1]], "Layers": ["l"]}}]
    files = {{"manifest.json": json.dumps(listed), "c": json.dumps(known)}}
    with tarfile.open(words[words.index("--output") + 1], "w") as tar:
        for name, text in [*((n, t.encode()) for n, t in files.items()), ("l", layer)]:
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
"""
AWS = '#!/bin/sh\necho "$@" >>"${0%/*}/aws.log"\ncat "${0%/*}/token"\n'


CONTROLLER = {names.LABEL_CONTROL_PLANE: "true"}


@dataclass
class Kubernetes:
    """An API server for a controller and a master; apps become what *conditions* say at once."""

    conditions: dict[str, str] = field(default_factory=lambda: {"Ready": "True"})
    failed: int = 0
    silent: int = 0
    silent_of: tuple[str, ...] = ("reef", "theirs")
    away: bool = False
    metrics: list[dict[str, Any]] = field(default_factory=list)
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        place = path.partition("?")[0]
        if self.away:
            raise TransientError("The cluster's API server does not answer (connection refused).")
        if self.silent and any(place.endswith(f"/{name}") for name in self.silent_of):
            self.silent -= 1
            raise TransientError("The cluster's API server does not answer (connection reset).")
        if kind == "application/merge-patch+json":
            self.merge(self.objects[place], json.loads(body or ""))
        elif method == "DELETE":
            return (200, "{}") if self.objects.pop(place, None) else (404, "{}")
        elif method == "PATCH" and "dryRun" in path:
            return 200, body or ""
        elif method == "PATCH":
            self.patch(place, json.loads(body or ""))
        found = self.fixed(place) or self.objects.get(place)
        return (200, json.dumps(found)) if found else (404, "{}")

    def fixed(self, place: str) -> dict[str, Any] | None:
        resource = {"name": names.PLURAL, "kind": names.KIND, "namespaced": True}
        answers: dict[str, dict[str, Any]] = {
            "/apis/clusterous.io/v1": {"resources": [resource]},
            "/apis/clusterous.io/v1/clusterousapps": {"items": list(self.objects.values())},
            "/api/v1/nodes": {"items": nodes()},
            "/api/v1/pods": {"items": [pod()]},
            "/apis/metrics.k8s.io/v1beta1/nodes": {"items": self.metrics},
            "/api/v1/namespaces/default/pods": {"items": self.pods},
            "/api/v1/namespaces/default/services/reef-master": {"spec": {"clusterIP": "127.0.0.1"}},
        }
        return answers.get(place)

    def patch(self, place: str, wanted: dict[str, Any]) -> None:
        before = self.objects.get(place, {"metadata": {"generation": 0}})
        is_changed = before.get("spec") != wanted["spec"]
        generation = before["metadata"]["generation"] + is_changed
        metadata = {
            **wanted["metadata"],
            "generation": generation,
            "resourceVersion": str(generation),
        }
        status = self.status(generation, wanted["spec"])
        self.objects[place] = {**wanted, "metadata": metadata, "status": status}

    def merge(self, app: dict[str, Any], change: dict[str, Any]) -> None:
        """Be the operator, too: a value that it did not obey yet resumes an idle app."""
        if "spec" in change:
            app["spec"] |= change["spec"]
            return
        key, value = names.ANNOTATION_RESUME, change["metadata"]["annotations"]
        app["metadata"].setdefault("annotations", {}).update(value)
        if app["status"].pop("idle", {}).get("resumed") != value[key]:
            app["status"]["conditions"] = [{"type": "Ready", "status": "True"}]

    def status(self, generation: int, spec: dict[str, Any]) -> dict[str, Any]:
        return {
            "observedGeneration": generation,
            "conditions": [{"type": k, "status": v} for k, v in self.conditions.items()],
            "components": [
                {
                    "name": "master",
                    "desired": 1,
                    "ready": 1 - self.failed,
                    "failed": self.failed,
                    **({"reason": "exit code 1: no such file"} if self.failed else {}),
                }
            ],
            "endpoints": [
                {**one, "service": "reef-master", "port": spec["master"]["ports"][0]["port"]}
                for one in spec.get("expose", ())
            ],
        }


def node(name: str = "c", labels: Mapping[str, str] = CONTROLLER) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": dict(labels)},
        "status": {
            "capacity": {"cpu": "2"},
            "allocatable": {"cpu": "2", "memory": "4Gi"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def nodes() -> list[dict[str, Any]]:
    return [node(), node("m", {names.LABEL_POOL: names.POOL_MASTER})]


def pod() -> dict[str, Any]:
    asked = {"resources": {"requests": {"cpu": "250m", "memory": "512Mi"}}}
    return {
        "metadata": {"name": "x", "namespace": "default", "labels": {names.LABEL_APP: "x"}},
        "spec": {"nodeName": "c", "containers": [asked]},
        "status": {"phase": "Running"},
    }


@dataclass
class Stage:
    """Where `clusterous` is called, and what can be seen afterwards."""

    world: cloud.World
    site: Site
    folder: Path
    volume: Path
    kubernetes: Kubernetes
    page: int
    local: int
    capture: pytest.CaptureFixture[str]

    def type(self, *words: str) -> tuple[int, str, str]:
        code = main.run(list(words))
        out, err = self.capture.readouterr()
        return code, out, err

    def docker(self) -> list[str]:
        log = self.folder / "bin/docker.log"
        return log.read_text().splitlines() if log.exists() else []

    def nodes(self) -> tuple[record.Node, ...]:
        who = Identity(name="reef", account="123456789012", region="eu-west-1")
        return record.read_nodes(self.world.cloud, who)

    def images(self) -> list[dict[str, Any]]:
        """Return what the registry has."""
        listed = self.world.cloud.call("ecr", "describe_repositories")["repositories"]
        return [
            {"repository": repository["repositoryName"], **detail}
            for repository in listed
            for detail in self.world.cloud.call(
                "ecr", "describe_images", repositoryName=repository["repositoryName"]
            )["imageDetails"]
        ]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud.World]:
    with cloud.running(tmp_path_factory.mktemp("aws")) as world:
        world.create(config.parse("name: reef\nworkers: 1\n"))
        with cloud.registry(world):
            yield world


@pytest.fixture
def page() -> Iterator[int]:
    """The port of a server that says hello."""
    with contextlib.closing(Echo("hello")) as server:
        yield server.port


@pytest.fixture
def stage(
    account: cloud.World,
    tmp_path: Path,
    page: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Stage]:
    kubernetes = Kubernetes()
    _programs(tmp_path / "bin", account)
    _program(tmp_path, page, local := tunnel.free_port(25000))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CLUSTEROUS_CACHE_HOME", str(tmp_path / "layers"))
    monkeypatch.setenv(builder.ENV_BUILDER, "docker")
    monkeypatch.setenv("CLUSTEROUS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(names, "VOLUME_PATH", str(tmp_path / "volume"))
    monkeypatch.chdir(tmp_path)
    with sshd.site(tmp_path) as site:
        site.program("mountpoint", "exit 0")
        # The machines of the simulated AWS do not run; these two take their places.
        monkeypatch.setattr(session, "access_to", lambda cluster: site.access)
        monkeypatch.setattr(session, "api", lambda link: kube.Api(kubernetes))
        yield Stage(account, site, tmp_path, tmp_path / "volume", kubernetes, page, local, capsys)
    cloud.empty_registry(account)


def _programs(folder: Path, account: cloud.World) -> None:
    folder.mkdir()
    for name, text in (("docker", DOCKER.format(python=sys.executable)), ("aws", AWS)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "token").write_text(cloud.password(account))


def _program(folder: Path, page: int, local: int) -> None:
    (folder / "inputs").mkdir()
    (folder / "inputs/data.txt").write_text("data")
    (folder / "image").mkdir()
    (folder / "image/Containerfile").write_text("FROM scratch\n")
    text = ENVIRONMENT.replace("PORT", str(page)).replace("LOCAL", str(local))
    (folder / "reef.yml").write_text(text)
    (folder / "app.yaml").write_text(MANIFEST)


def test_runs_an_environment_file(stage: Stage) -> None:
    code, out, err = stage.type("run", "reef.yml")

    assert (code, out) == (0, "")
    assert f"→ The page: http://localhost:{stage.local}" in err
    assert "master 1/1   Ready" in err
    assert said_by(stage.local) == "hello"
    assert (stage.volume / "inputs/data.txt").read_text() == "data"
    image = stage.kubernetes.objects[f"{APPS}/reef"]["spec"]["master"]["image"]
    (there,) = stage.images()
    registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/clusterous/reef/tool"
    assert image == f"{registry}@{there['imageDigest']}"
    source = taken.tag(Source(folder=stage.folder / "image"))
    assert sorted(there["imageTags"]) == [source, "v1"]
    assert [line.split()[0] for line in stage.docker()] == ["version", "buildx", "build", "save"]


def without_volume(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the cluster have been made with `volume: none`: k3s' own storage is all there is."""
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    local = {
        "metadata": {"name": "local-path", "annotations": default},
        "provisioner": foresight.LOCAL,
    }
    stage.kubernetes.objects["/apis/storage.k8s.io/v1/storageclasses"] = {"items": [local]}
    monkeypatch.setattr(volumes, "is_shared", lambda record: False)


@pytest.mark.parametrize("file", ["app.yaml", "bare.yml"])
def test_a_volume_that_the_cluster_lacks_is_told_before_anything_is_built(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    text = (stage.folder / "reef.yml").read_text().replace("  copy: [inputs/]\n", "")
    (stage.folder / "bare.yml").write_text(text)
    without_volume(stage, monkeypatch)

    code, _, err = stage.type("run", file)
    _, out, warned = stage.type("run", file, "--dry-run", "-o", "yaml")

    assert code == 2
    assert "would wait for ever" in err
    assert "volume: none" in err
    assert f"{APPS}/reef" not in stage.kubernetes.objects
    assert not any("build" in line.split() for line in stage.docker())
    # What is only written can be given the volume that it needs.
    assert yaml.safe_load(out)["kind"] == names.KIND
    assert "would wait for ever" in warned


def test_folders_for_a_volume_that_is_not_there_are_told_before_anything_is_built(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_volume(stage, monkeypatch)

    code, _, err = stage.type("run", "reef.yml")

    assert code == 2
    assert "was made without a shared volume" in err
    assert stage.docker() == []


def test_a_pool_that_has_no_node_is_told(stage: Stage) -> None:
    (stage.folder / "app.yaml").write_text(
        MANIFEST.replace("master: {}", "master: {placement: {pool: big}}")
    )

    code, _, err = stage.type("run", "app.yaml", "--no-connect")

    assert code == 0
    assert "! master is placed on pool big" in err


def test_a_second_run_changes_nothing(stage: Stage) -> None:
    stage.type("run", "reef.yml", "--no-connect")
    before, calls = dict(stage.kubernetes.objects), len(stage.docker())

    code, _, err = stage.type("run", "reef.yml")

    assert code == 0
    assert "is in the registry" in err
    assert "reef runs already, unchanged" in err
    assert f"→ The page: http://localhost:{stage.local}" in err
    assert stage.kubernetes.objects == before
    assert len(stage.docker()) == calls


def test_a_second_run_resumes_what_was_suspended_for_being_idle(stage: Stage) -> None:
    stage.type("run", "reef.yml", "--no-connect")
    app = stage.kubernetes.objects[f"{APPS}/reef"]
    app["status"] |= {
        "idle": {"suspended": True, "resumed": "2026-11-22T08:00:00Z"},
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "Idle"},
            {
                "type": "Suspended",
                "status": "True",
                "reason": "Idle",
                "lastTransitionTime": "2026-11-22T09:00:00Z",
            },
        ],
    }

    code, _, err = stage.type("run", "reef.yml", "--no-connect")

    assert code == 0
    assert "reef was suspended for being idle; it is resumed" in err
    annotations = stage.kubernetes.objects[f"{APPS}/reef"]["metadata"]["annotations"]
    assert annotations[names.ANNOTATION_RESUME] == "2026-11-22T09:00:00Z"


def test_a_second_run_makes_the_tunnel_again_on_the_same_port(stage: Stage) -> None:
    stage.type("run", "reef.yml")

    _, _, err = stage.type("run", "reef.yml")

    assert f"→ The page: http://localhost:{stage.local}\n" in err
    assert said_by(stage.local) == "hello"


def test_runs_a_manifest(stage: Stage) -> None:
    code, out, _ = stage.type("run", "app.yaml", "-o", "json")

    assert code == 0
    assert json.loads(out)["state"] == "Ready"
    image = stage.kubernetes.objects[f"{APPS}/reef"]["spec"]["image"]
    assert "/clusterous/reef/tool@sha256:" in image


def test_destroy_finds_the_images(stage: Stage) -> None:
    stage.type("run", "app.yaml")

    listed = stage.world.cloud.call("ecr", "describe_repositories")["repositories"]
    (repository,) = listed
    tags = stage.world.cloud.call(
        "ecr", "list_tags_for_resource", resourceArn=repository["repositoryArn"]
    )["tags"]
    assert repository["repositoryName"] == "clusterous/reef/tool"
    assert tags_of({"Tags": tags})[names.TAG_CLUSTER] == "reef"
    who = Identity(name="reef", account="123456789012", region="eu-west-1")
    assert tags_of({"Tags": tags})[names.TAG_UID] == who.uid


def test_a_failing_app_is_told_in_words(stage: Stage) -> None:
    stage.kubernetes.conditions = {"Stalled": "True"}
    stage.kubernetes.failed = 1

    code, _, err = stage.type("run", "app.yaml")

    assert code == 1
    assert "✗ reef failed:\n    master: exit code 1: no such file" in err


def test_without_a_builder_nothing_is_created(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stage.folder / "bin/docker").write_text("#!/bin/sh\necho no daemon >&2\nexit 1\n")
    (stage.folder / "image/Containerfile").write_text("FROM elsewhere\n")
    before = stage.world.mutating()

    code, _, err = stage.type("run", "reef.yml")

    assert code == 2
    assert "docker: no daemon" in err
    assert stage.world.mutating() == before
    assert not stage.volume.exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(("run", "nothing.yml"), "There is no file nothing.yml", id="no-file"),
        pytest.param(("run", "image"), "is a folder", id="folder"),
        pytest.param(("put", "nothing"), "There is no nothing here", id="put"),
        pytest.param(("put", "inputs", "../x"), "outside the shared volume", id="put-outside"),
        pytest.param(("get", "/etc/passwd"), "outside the shared volume", id="get-outside"),
        pytest.param(("run", "reef.yml", "--cluster", "red"), "There is no cluster", id="cluster"),
        pytest.param(("get", "nothing"), "There is no nothing on the shared volume", id="get"),
        pytest.param(("connect", "nobody"), "There is no app nobody", id="connect"),
    ],
)
def test_tells_what_a_person_can_mend(stage: Stage, words: tuple[str, ...], expected: str) -> None:
    code, out, err = stage.type(*words)

    assert (code, out) == (2, "")
    assert expected in err


def test_lists_and_deletes_what_is_on_the_volume(stage: Stage) -> None:
    stage.type("put", "inputs", "in/")
    (stage.volume / "in/way-out").symlink_to(stage.folder / "image")

    listed = stage.type("ls", "in")
    removed = stage.type("rm", "in/inputs", "--confirm")
    link = stage.type("rm", "in/way-out")
    missing = stage.type("rm", "in/inputs", "-y")
    whole = stage.type("rm", ".", "-y")

    assert "inputs" in listed[1]
    assert (removed[0], link[0]) == (0, 0)
    assert list((stage.volume / "in").iterdir()) == []
    assert (stage.folder / "image/Containerfile").exists()
    assert "There is no in/inputs on the shared volume" in missing[2]
    assert "That is the whole volume" in whole[2]


def test_verbose_says_what_is_called_and_started(stage: Stage) -> None:
    try:
        code, _, err = stage.type("-v", "put", "inputs")
    finally:
        verbosity.off()

    assert code == 0
    assert "→ s3 get_object" in err
    assert "$ rsync --recursive" in err


def test_puts_and_gets(stage: Stage) -> None:
    assert stage.type("put", "inputs", "in/")[0] == 0
    assert stage.type("get", "in/inputs/data.txt", "back/")[0] == 0

    assert (stage.folder / "back/data.txt").read_text() == "data"


def test_lists_and_opens_and_closes(stage: Stage) -> None:
    stage.type("run", "reef.yml", "--no-connect")

    _, out, _ = stage.type("connect", "--list", "-o", "json")
    opened = stage.type("connect", "--background")
    said = said_by(stage.local)
    closed = stage.type("connect", "--close")

    assert json.loads(out)[0]["component"] == "master"
    assert (opened[0], said) == (0, "hello")
    assert "1 tunnel closed" in closed[2]
    assert tunnel.is_free(stage.local)


def test_goes_to_the_next_port_when_one_is_taken(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", stage.local)):
        _, _, err = stage.type("run", "reef.yml")

    assert f"port {stage.local} is taken on this machine; it is {stage.local + 1} instead" in err
    assert said_by(stage.local + 1) == "hello"


def test_holds_a_tunnel_until_ctrl_c(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.type("run", "reef.yml", "--no-connect")
    seen: list[str] = []

    def sleep(seconds: float) -> None:
        """The machines die once; at the third look, somebody presses Ctrl-C."""
        seen.append(said_by(stage.local))
        if len(seen) == 1:
            for name in (ssh.CONTROLLER, ssh.GATEWAY):
                stage.site.stop(name)
                stage.site.start(name)
            end = time.monotonic() + 60
            while not tunnel.is_free(stage.local):  # until ssh has noticed
                assert time.monotonic() < end
                time.sleep(0.02)
        if len(seen) == 3:
            raise KeyboardInterrupt

    held = exposure.hold
    monkeypatch.setattr(exposure, "hold", partial(held, sleep=sleep))

    code, _, err = stage.type("connect")

    assert code == 0, err
    assert "closed" in err
    assert seen == ["hello"] * 3
    assert tunnel.is_free(stage.local)


@pytest.mark.parametrize(
    "words", [("put", "inputs"), ("get", "x"), ("run", "reef.yml")], ids=" ".join
)
def test_an_rsync_that_does_not_serve_is_told_before_anything_is_started(
    stage: Stage, words: tuple[str, ...]
) -> None:
    program = stage.folder / "bin/rsync"
    program.write_text("#!/bin/sh\necho openrsync: protocol version 29\n")
    program.chmod(0o755)

    code, _, err = stage.type(*words)

    assert code == 2
    assert "brew install rsync" in err
    assert stage.docker() == []
    assert not stage.volume.exists()


def test_put_tells_of_links_that_lead_nowhere_there(stage: Stage) -> None:
    (stage.folder / "inputs/set").symlink_to("/somewhere/else")

    code, _, err = stage.type("put", "inputs")

    assert code == 0
    assert "! 1 link (inputs/set → /somewhere/else) lead nowhere" in err


def test_what_lies_beside_the_file_is_asked_about(stage: Stage) -> None:
    (stage.folder / "down").mkdir()
    text = (stage.folder / "reef.yml").read_text()
    (stage.folder / "down/reef.yml").write_text(text.replace("[inputs/]", "[../inputs]"))
    (stage.folder / "down/image").mkdir()
    (stage.folder / "down/image/Containerfile").write_text("FROM scratch\n")

    refused = stage.type("run", "down/reef.yml", "--yes")
    allowed = stage.type("run", "down/reef.yml", "--outside", "--no-connect")

    assert refused[0] == 2
    assert f"{stage.folder}/inputs" in refused[2]
    assert "say --outside" in refused[2]
    assert allowed[0] == 0
    assert (stage.volume / "inputs/data.txt").read_text() == "data"


def test_no_repository_of_somebody_else_is_pushed_to(stage: Stage) -> None:
    stage.world.cloud.call("ecr", "create_repository", repositoryName="clusterous/reef/theirs")
    text = (stage.folder / "app.yaml").read_text()
    (stage.folder / "app.yaml").write_text(text.replace("tool", "theirs"))

    code, _, err = stage.type("run", "app.yaml")

    assert code == 2
    assert "clusterous/reef/theirs that was not made for reef" in err
    assert not stage.images()


def test_what_is_saved_while_it_is_built_is_in_the_next_image(stage: Stage) -> None:
    recipe = stage.folder / "image/Containerfile"
    before = taken.tag(Source(folder=recipe.parent))
    (stage.folder / "bin/hook").write_text(f"open({str(recipe)!r}, 'w').write('FROM other')")

    first = stage.type("run", "app.yaml", "--no-connect")
    made = [one["imageTags"] for one in stage.images()]
    read = (stage.folder / "bin/recipe").read_text()
    recipe.write_text("FROM scratch\n")
    calls = len(stage.docker())
    second = stage.type("run", "app.yaml", "--no-connect")

    assert (first[0], second[0]) == (0, 0)
    assert [sorted(tags) for tags in made] == [["latest", before]]
    assert read == "FROM scratch\n"
    assert len(stage.docker()) == calls
    assert f"✓ image tool:{before} is in the registry" in second[2]


def test_a_name_stands_for_what_was_built_last(stage: Stage) -> None:
    argv = ("build-image", "image", "tool:v1", "--build-arg", "VERSION=1")
    first = stage.type(*argv)
    again = stage.type(*argv)
    calls = stage.docker()
    (stage.folder / "image/more").write_text("more")
    second = stage.type(*argv, "-o", "json")

    tags = {one["imageDigest"]: sorted(one["imageTags"]) for one in stage.images()}
    assert (first[0], again[0], second[0]) == (0, 0, 0)
    assert first[1] == again[1]
    assert "--build-arg=VERSION=1" in calls[2]
    assert len(calls) == 4
    old, new = first[1].strip().rpartition("@")[2], json.loads(second[1])["digest"]
    assert [len(tags[old]), len(tags[new])] == [1, 2]
    assert tags[new][1] == "v1"


def test_what_a_program_uses_is_not_removed(stage: Stage) -> None:
    stage.type("run", "app.yaml", "--no-connect")
    (stage.folder / "image/more").write_text("more")
    stage.type("build-image", "image", "tool:v1")

    rm = stage.type("image", "rm", "tool", "--yes")
    pruned = stage.type("image", "prune", "--all", "--older-than", "0", "--yes", "-o", "json")

    assert (rm[0], pruned[0]) == (1, 1)
    assert "tool:latest stays: used by default/reef on reef" in rm[2]
    (gone,) = json.loads(pruned[1])["removed"]
    (left,) = stage.images()
    assert left["imageDigest"] != gone["digest"]
    app = stage.kubernetes.objects[f"{APPS}/reef"]
    assert app["spec"]["image"].endswith(left["imageDigest"])


def test_no_image_of_somebody_else_is_listed_or_removed(stage: Stage) -> None:
    pushed_as(stage, "clusterous/reef/theirs", "src-0011223344556677")

    listed = stage.type("image", "ls", "-o", "json")
    pruned = stage.type("image", "prune", "--all", "--older-than", "0", "--yes")
    removed = stage.type("image", "rm", "theirs:src-0011223344556677", "--yes")

    assert json.loads(listed[1]) == []
    assert (pruned[0], removed[0]) == (0, 2)
    assert "There is nothing to remove" in pruned[2]
    assert len(stage.images()) == 1


def test_nothing_is_removed_where_a_cluster_cannot_be_asked(stage: Stage) -> None:
    stage.type("build-image", "image", "tool")
    stage.kubernetes.away = True

    code, _, err = stage.type("image", "rm", "tool", "--yes")

    assert code == 1
    assert "reef could not be asked whether it uses it" in err
    assert len(stage.images()) == 1


def test_images_are_listed_described_and_removed(stage: Stage) -> None:
    stage.type("build-image", "image", "tool:v1")

    listed = json.loads(stage.type("image", "ls", "-o", "json")[1])
    described = json.loads(stage.type("image-info", "tool:v1", "-o", "json")[1])
    table = stage.type("image", "info", "tool:v1")[1]
    missing = stage.type("image-info", "tool:v2")
    kept = stage.type("image", "rm", "tool:v1", "--dry-run")
    there = len(stage.images())
    removed = stage.type("image", "rm", "tool:v1", "--yes")
    again = stage.type("build-image", "image", "tool:v1")

    assert [one["name"] for one in listed] == ["tool"]
    assert listed[0]["tags"][1] == "v1"
    assert described["digest"] == listed[0]["digest"]
    assert described["platform"] == "linux/amd64"
    assert described["digest"] in table
    assert (missing[0], "There is no image tool:v2" in missing[2]) == (2, True)
    assert (kept[0], there) == (0, 1)
    assert "This would remove 1 image" in kept[2]
    assert (removed[0], again[0]) == (0, 0)
    assert "built in" in again[2]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("image", "Tool"), "is no name of an image"),
        (("image", "tool:src-1"), "choose another"),
        (("image", "tool", "--build-arg", "x"), "has to be NAME=VALUE"),
        (("inputs", "tool"), "neither Containerfile nor Dockerfile"),
        (("image",), "Say what it is to be called"),
        (("image", "--write-containerfile"), "is there already"),
    ],
)
def test_what_cannot_be_built_is_told(stage: Stage, words: tuple[str, ...], expected: str) -> None:
    code, _, err = stage.type("build-image", *words)

    assert code == 2
    assert expected in err
    assert not stage.images()


def test_a_repository_of_ours_lets_names_move_and_tags_of_content_stay(stage: Stage) -> None:
    stage.type("run", "app.yaml", "--no-connect")
    ecr = stage.world.cloud.client("ecr")
    name = "clusterous/reef/tool"
    ecr.put_image_tag_mutability(repositoryName=name, imageTagMutability="IMMUTABLE")
    (stage.folder / "image/more").write_text("more")
    stage.type("run", "app.yaml", "--no-connect")

    (found,) = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    policy = json.loads(ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"])

    assert found["imageTagMutability"] == "MUTABLE_WITH_EXCLUSION"
    assert found["imageTagMutabilityExclusionFilters"] == [
        {"filterType": "WILDCARD", "filter": "src-*"}
    ]
    assert policy["rules"] == registry.rules()
    assert len(stage.images()) == 2


def test_a_python_program_needs_its_requirements_only(stage: Stage) -> None:
    (stage.folder / "image/Containerfile").rename(stage.folder / "image/requirements.txt")

    code, _, err = stage.type("run", "app.yaml", "--no-connect")

    assert code == 0
    assert "image has no Containerfile, so it is built by this one:\n    FROM docker.io" in err
    assert "pip install" in (stage.folder / "bin/recipe").read_text()


# -- one hiccup ends no wait ----------------------------------------------------------------


def patient(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let waiting go on for *seconds* without an answer, with short pauses."""
    usual = wait.Patience
    monkeypatch.setattr(
        launch, "Patience", lambda **given: usual(**given, seconds=seconds, pause=0.01)
    )


def test_a_lost_answer_ends_no_wait(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    follow = launch.Launch.follow

    def broken(self: launch.Launch, *args: Any) -> Any:
        stage.kubernetes.silent = 3
        return follow(self, *args)

    patient(monkeypatch, 300)
    monkeypatch.setattr(launch.Launch, "follow", broken)

    code, _, err = stage.type("run", "app.yaml", "--no-connect")

    assert code == 0
    assert "trying again" in err
    assert "master 1/1   Ready" in err


def test_a_busy_api_server_ends_no_run_that_only_begins(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient(monkeypatch, 300)
    stage.kubernetes.silent = 3

    code, _, err = stage.type("run", "app.yaml", "--no-wait")

    assert code == 0
    assert "trying again" in err


def test_a_busy_api_server_ends_no_connect_that_only_begins(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.type("run", "reef.yml", "--no-connect")
    usual = wait.Patience
    monkeypatch.setattr(wait, "Patience", lambda **given: usual(**given, pause=0.01))
    stage.kubernetes.silent_of, stage.kubernetes.silent = ("clusterousapps",), 3

    code, out, err = stage.type("connect", "reef", "--list")

    assert code == 0
    assert "trying again" in err
    assert "25000" in out


def test_a_cluster_that_stays_away_is_told_with_what_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = launch.Launch.follow

    def broken(self: launch.Launch, *args: Any) -> Any:
        stage.kubernetes.silent = 10_000
        return follow(self, *args)

    patient(monkeypatch, 0)
    monkeypatch.setattr(launch.Launch, "follow", broken)

    code, _, err = stage.type("run", "app.yaml", "--no-connect")

    assert code == 75
    assert "reef goes on without us; `clusterous status`" in err


def test_an_app_that_is_removed_while_images_are_built_starts_anew(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.type("run", "reef.yml", "--no-connect")
    make = workshop.Workshop.make

    def removed(self: workshop.Workshop, *given: Any) -> dict[str, str]:
        stage.kubernetes.objects.clear()
        return make(self, *given)

    monkeypatch.setattr(workshop.Workshop, "make", removed)

    code, _, err = stage.type("run", "reef.yml", "--no-connect")

    assert code == 0
    assert "reef starts" in err


# -- status ---------------------------------------------------------------------------------


def test_status_tells_what_machines_have_promised_and_use(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = next(n for n in stage.nodes() if n.role == "controller").node_name
    seen = node()
    seen["metadata"]["name"] = name
    placed = pod()
    placed["spec"]["nodeName"] = name
    monkeypatch.setattr(sys.modules[__name__], "nodes", lambda: [seen])
    monkeypatch.setattr(sys.modules[__name__], "pod", lambda: placed)
    stage.kubernetes.metrics = [
        {"metadata": {"name": name}, "usage": {"cpu": "1900000000n", "memory": "1Gi"}}
    ]

    _, out, _ = stage.type("status")
    _, data, _ = stage.type("status", "-o", "json")

    load = json.loads(data)["load"]
    assert "1.9 / 0.2 / 2" in out
    assert "1 / 0.5 / 4 GiB" in out
    assert "! controller is overloaded: it uses 95% of its CPUs" in out
    assert load["has"] == {"cpu": 2.0, "memory": 4 << 30}
    assert load["promised"] == {"cpu": 0.25, "memory": 512 << 20}
    assert load["used"] == {"cpu": 1.9, "memory": 1 << 30}
    assert load["nodes"][name]["trouble"].startswith("is overloaded")


def test_status_says_why_programs_are_not_known(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(link: object) -> None:
        raise ssh.ConnectionRefused("The gateway cannot be reached.")

    monkeypatch.setattr(session, "api", away)

    code, out, _ = stage.type("status")
    _, data, _ = stage.type("status", "-o", "json")

    assert code == 0
    assert "programs: not known" in out
    assert "The gateway cannot be reached." in out
    assert json.loads(data)["apps"] is None
    assert json.loads(data)["unreachable"] == "The gateway cannot be reached."


def test_status_says_that_the_controller_is_gone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = record.machines

    def left(*args: Any) -> list[Any]:
        every = found(*args)
        return [m for m in every if tags_of(m)[names.TAG_ROLE] != "controller"]

    monkeypatch.setattr(record, "machines", left)

    code, out, err = stage.type("status")

    assert code == 0
    assert "! the controller is gone: Kubernetes" in out
    assert "clusterous create makes what is missing" in err


# -- environment files as they were -------------------------------------------------------------


def app_of(stage: Stage, name: str = "reef") -> dict[str, Any]:
    return stage.kubernetes.objects[f"{APPS}/{name}"]


def test_the_same_file_runs_twice_side_by_side_under_another_name(stage: Stage) -> None:
    stage.type("run", "reef.yml", "--no-connect")
    code, _, err = stage.type("run", "reef.yml", "--name", "Second_1", "--no-connect")

    assert code == 0
    assert "second-1 starts" in err
    assert app_of(stage)["metadata"]["name"] == "reef"
    assert app_of(stage, "second-1")["spec"].keys() == app_of(stage)["spec"].keys()


def test_values_are_given_on_the_command_line_and_by_a_file(stage: Stage) -> None:
    text = (stage.folder / "reef.yml").read_text()
    (stage.folder / "reef.yml").write_text(text.replace("cpu: auto", "cpu: $cpus, count: $n-1"))
    (stage.folder / "old.yml").write_text("cluster_name: x\nparameters: {cpus: 0.5, n: 9}\n")

    missing = stage.type("run", "reef.yml")
    run = stage.type("run", "reef.yml", "--parameters", "old.yml", "--set", "n=2", "--no-connect")

    assert missing[0] == 2
    assert "is $cpus, which has no value; say --set cpus=…" in missing[2]
    assert run[0] == 0
    assert app_of(stage)["spec"]["master"]["resources"]["requests"]["cpu"] == "500m"


def test_what_is_written_does_what_run_does(stage: Stage) -> None:
    (stage.folder / "image/Containerfile").write_text("FROM scratch\n# to be written\n")
    _, early, err = stage.type("convert", "reef.yml")
    before = dict(stage.kubernetes.objects)
    stage.type("run", "reef.yml", "--no-connect")
    _, out, _ = stage.type("convert", "reef.yml")
    _, dry, _ = stage.type("run", "reef.yml", "--dry-run", "-o", "yaml")

    written = yaml.safe_load(out)
    assert out == dry
    assert not before
    assert "is not built yet; `clusterous run` does it" in err
    # Of what is not built there is no digest, but a tag that will stand for nothing else.
    assert "/tool:src-" in early
    assert "copy inputs/ goes to" in err
    assert written["spec"] == app_of(stage)["spec"]
    assert (
        written["metadata"]["annotations"].items()
        <= app_of(stage)["metadata"]["annotations"].items()
    )
    # Applied by anybody else, it is what `run` finds unchanged.
    assert "runs already, unchanged" in stage.type("run", "reef.yml", "--no-connect")[2]


def test_quit_asks_and_ends_all_programs_or_one(stage: Stage) -> None:
    stage.type("run", "reef.yml")
    stage.type("run", "reef.yml", "--name", "other", "--no-connect")

    refused = stage.type("quit")
    one = stage.type("quit", "Other", "--confirm", "-o", "json")
    still = list(stage.kubernetes.objects)
    rest = stage.type("quit", "--yes")
    nothing = stage.type("quit", "--yes")

    assert refused[0] == 2
    assert "end other, reef on reef?" in refused[2]
    assert json.loads(one[1])["ended"] == ["other"]
    assert still == [f"{APPS}/reef"]
    assert "✓ reef ended" in rest[2]
    assert tunnel.is_free(stage.local)
    assert "No program is running." in nothing[2]
    assert (stage.volume / "inputs/data.txt").exists()


def test_quit_tunnel_only_closes_tunnels_and_nothing_else(stage: Stage) -> None:
    stage.type("run", "reef.yml")

    code, _, err = stage.type("quit", "--tunnel-only", "--confirm")

    assert (code, "1 tunnel closed" in err) == (0, True)
    assert tunnel.is_free(stage.local)
    assert app_of(stage)["spec"].get("suspend") is None


def test_what_is_kept_is_brought_back_by_run(stage: Stage) -> None:
    stage.type("run", "reef.yml", "--no-connect")

    kept = stage.type("quit", "--keep", "--confirm")
    suspended = app_of(stage)["spec"]["suspend"]
    _, _, err = stage.type("run", "reef.yml", "--no-connect")

    assert "✓ reef suspended" in kept[2]
    assert suspended is True
    assert "reef was suspended; it is resumed" in err
    assert app_of(stage)["spec"]["suspend"] is False


def pushed_as(stage: Stage, repository: str, tag: str) -> None:
    """Let the registry have an image of an earlier run."""
    kind = "application/vnd.oci.image.manifest.v1+json"
    text = json.dumps({"schemaVersion": 2, "mediaType": kind, "layers": [], "config": {"x": tag}})
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    with contextlib.suppress(errors.AlreadyExists):
        stage.world.cloud.call("ecr", "create_repository", repositoryName=repository)
    stage.world.server.ecr_put_image(repository, tag, digest, text.encode(), kind)


def test_an_image_of_an_earlier_run_is_found(stage: Stage) -> None:
    text = "name: reef\nenvironment: {components: {master: {machine: master, cpu: auto, image: X}}}"
    (stage.folder / "later.yml").write_text(text.replace("X", "'registry:5000/early:v1'"))

    missing = stage.type("run", "later.yml")
    pushed_as(stage, "clusterous/reef/early", "src-0011223344556677")
    code, _, err = stage.type("run", "later.yml", "--no-connect")

    assert missing[0] == 2
    assert "registry:5000/early:v1: nothing under environment.image builds it" in missing[2]
    assert code == 0
    assert "it is src-0011223344556677, built last of early" in err
    image = app_of(stage)["spec"]["master"]["image"]
    assert "/clusterous/reef/early@sha256:" in image


def test_images_of_the_list_build_on_one_another(stage: Stage) -> None:
    (stage.folder / "image/Containerfile").write_text("FROM scratch\n# below\n")
    (stage.folder / "top").mkdir()
    (stage.folder / "top/Dockerfile").write_text("FROM registry:5000/tool:v1\nRUN true\n")
    text = (stage.folder / "reef.yml").read_text()
    second = '{dockerfile: image/, image_name: "tool:v1"}, {dockerfile: top, image_name: top}'
    first, _, rest = text.partition('{dockerfile: image/, image_name: "tool:v1"}')
    # No component names the second; it is built all the same.
    (stage.folder / "reef.yml").write_text(f"{first}{second}{rest}")

    code, _, err = stage.type("run", "reef.yml", "--no-connect")

    assert code == 0, err
    built = [line for line in stage.docker() if line.startswith("build ")]
    base = built[0].split("--tag ")[1].split()[0]
    assert "/tool:src-" in base
    assert "/top:src-" in built[1]
    assert (stage.folder / "bin/recipe").read_text() == f"FROM {base}\nRUN true\n"

    # Another laptop's builder has not got what is below, and may not pull it.
    (stage.folder / "bin/forgot").touch()
    (stage.folder / "top/more").write_text("more")
    code, _, err = stage.type("run", "reef.yml", "--no-connect")

    assert code == 0, err
    words = [line.split()[0] for line in stage.docker()[-4:]]
    assert words == ["image", "load", "build", "save"]


def test_a_program_that_needs_mesos_is_told_so(stage: Stage) -> None:
    text = (stage.folder / "reef.yml").read_text()
    groups = "cluster: {master: {type: t, count: 1}, spark: {type: $t, count: $n}}"
    (stage.folder / "reef.yml").write_text(f"{groups}\n{text}")
    (stage.folder / "inputs/go.py").write_text("master = 'mesos://controller:5050'")

    code, _, err = stage.type("run", "reef.yml", "--no-connect")

    assert code == 0
    assert "! cluster.spark: no component runs on these machines. With Mesos" in err
    assert "! inputs/go.py asks Mesos for machines, which there is not" in err
    assert "! containers are not privileged, as they were" in err


@pytest.fixture
def entered(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The programs that a command became."""
    became: list[list[str]] = []
    monkeypatch.setattr(shell, "replace", lambda argv, environment: became.append(argv))
    (stage.folder / "bin/kubectl").write_text("#!/bin/sh\n")
    (stage.folder / "bin/kubectl").chmod(0o755)
    stage.type("run", "reef.yml", "--no-connect")
    running = {"metadata": {"name": "reef-master-1"}, "status": {"phase": "Running"}}
    stage.kubernetes.pods = [running]
    return became


def test_connect_enters_a_component_where_no_program_is_called_so(
    stage: Stage, entered: list[list[str]]
) -> None:
    code, _, _ = stage.type("connect", "master")
    again = stage.type("shell", "reef", "master")
    nobody = stage.type("connect", "nobody")

    assert (code, again[0], nobody[0]) == (0, 0, 2)
    assert entered[0] == entered[1]
    assert entered[0][:6] == [
        *("kubectl", "exec", "--stdin", "--namespace", "default", "reef-master-1")
    ]
    assert "There is no app nobody" in nobody[2]


def test_where_both_are_called_so_the_program_goes_first(
    stage: Stage, entered: list[list[str]]
) -> None:
    stage.type("run", "reef.yml", "--name", "master", "--no-connect")

    code, _, err = stage.type("connect", "master", "--background")

    assert (code, entered) == (0, [])
    assert "A component is called master, too: clusterous shell master" in err
    stage.type("connect", "master", "--close")

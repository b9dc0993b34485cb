"""Images built with a real buildah, and pushed by us to a real registry."""

import base64
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.images import builder
from clusterous_cli.images.assembly import archives, pull, references
from clusterous_cli.images.builder import Builder
from clusterous_cli.images.sending import push, saved
from clusterous_cli.system import download, shell
from tests import ports, programs

needs_buildah = programs.needs("buildah")


@pytest.fixture
def found(tmp_path: Path) -> Builder:
    return builder.find(
        {"XDG_CACHE_HOME": str(tmp_path / "cache"), "CLUSTEROUS_BUILDER": "buildah"}
    )


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "Containerfile").write_text('FROM scratch\nCOPY hello /hello\nCMD ["/hello"]\n')
    (folder / "hello").write_text("hello")
    return folder


@needs_buildah
def test_builds_an_image(found: Builder, context: Path) -> None:
    told: list[str] = []

    builder.build(found, "example/hello:1", context, context / "Containerfile", told.append)

    listed = shell.run([*builder.program(found), "images"])
    assert "example/hello" in listed
    assert any("COPY hello" in line for line in told)


@needs_buildah
def test_what_was_built_before_of_the_same_image_does_not_stay(
    found: Builder, context: Path
) -> None:
    for number, name in enumerate(("r.example/hello:1", "r.example/other:1", "r.example/hello:2")):
        (context / "hello").write_text(f"hello {number}")
        builder.build(found, name, context, context / "Containerfile", lambda line: None)

    builder.forget_older(found, "r.example/hello:2")

    listed = shell.run([*builder.program(found), "images", "--format", "{{.Name}}:{{.Tag}}"])
    named = [line for line in listed.split() if "example" in line]
    assert sorted(named) == ["r.example/hello:2", "r.example/other:1"]


@needs_buildah
def test_tells_the_builders_words_when_a_build_fails(found: Builder, context: Path) -> None:
    (context / "Containerfile").write_text("FROM scratch\nCOPY nothing /\n")

    with pytest.raises(FailedError, match="could not be built") as caught:
        builder.build(found, "x:1", context, context / "Containerfile", lambda line: None)

    assert "nothing" in str(caught.value)


@needs_buildah
@pytest.mark.skipif(not Path("/proc/self/mounts").exists(), reason="no /proc")
def test_leaves_nothing_mounted(found: Builder, context: Path, tmp_path: Path) -> None:
    (context / "Containerfile").write_text("FROM scratch\nCOPY nothing /\n")
    with pytest.raises(FailedError):
        builder.build(found, "x:1", context, context / "Containerfile", lambda line: None)

    builder.tidy(found)

    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


@needs_buildah
def test_finds_the_store_again(found: Builder, tmp_path: Path) -> None:
    assert builder.find({"XDG_CACHE_HOME": str(tmp_path / "cache")}).state == found.state


def test_says_how_to_get_a_builder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UserError) as caught:
        builder.find({"XDG_CACHE_HOME": str(tmp_path)})

    assert str(caught.value).splitlines()[1:4] == [
        "  buildah: not installed",
        "  podman: not installed",
        "  docker: not installed",
    ]
    assert "apt install buildah" in str(caught.value)


def test_says_why_a_builder_does_not_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho Cannot connect to the Docker daemon >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    with pytest.raises(UserError, match="docker: Cannot connect to the Docker daemon"):
        builder.find({"XDG_CACHE_HOME": str(tmp_path), "CLUSTEROUS_BUILDER": "docker"})


def test_refuses_a_builder_that_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it can be buildah, podman, docker or cluster"):
        builder.find({"CLUSTEROUS_BUILDER": "kaniko"})


# -- pushing --------------------------------------------------------------------------------

REGISTRY_CONFIG = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {home}/store}}}}
auth: {{htpasswd: {{realm: test, path: {home}/htpasswd}}}}
http:
  addr: "127.0.0.1:{port}"
  tls: {{certificate: {home}/registry.pem, key: {home}/registry.key}}
log: {{level: error, accesslog: {{disabled: true}}}}
"""


# User AWS, password "secret".
HTPASSWD = "AWS:$2y$04$V6cxCusNnR2rx7Eps2lFSuHj9KdxP9aXx53zMYISDaizcYowBfAe2\n"


@dataclass(frozen=True, slots=True)
class Registry:
    address: str
    home: Path


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A real registry with an authority of its own, that wants a password."""
    port = ports.free()
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    authority = trustme.CA()
    serving = authority.issue_cert("127.0.0.1")
    serving.cert_chain_pems[0].write_to_path(tmp_path / "registry.pem")
    serving.private_key_pem.write_to_path(tmp_path / "registry.key")
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    config = tmp_path / "registry.yml"
    config.write_text(REGISTRY_CONFIG.format(home=tmp_path, port=port))
    server = subprocess.Popen([str(programs.path("docker-registry")), "serve", config])
    try:
        _until_listening(port)
        yield Registry(f"127.0.0.1:{port}", tmp_path)
    finally:
        server.kill()
        server.wait()


def _until_listening(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the registry does not listen")


@dataclass
class Passwords:
    """Passwords in the order in which they are fetched; the last one is good."""

    kept: list[str]
    fetched: int = 0

    def __call__(self) -> str:
        self.fetched += 1
        return self.kept[min(self.fetched, len(self.kept)) - 1]


def to(registry: Registry, *passwords: str) -> push.Repository:
    return push.Repository(
        registry=registry.address,
        name="reef/hello",
        user="AWS",
        password=Passwords(list(passwords or ("secret",))),
    )


def built(found: Builder, context: Path, text: str = "hello") -> Path:
    (context / "hello").write_text(text)
    archive = context.parent / f"{text}.tar"
    builder.build(found, "r.example/hello:1", context, context / "Containerfile", print)
    builder.save(found, "r.example/hello:1", archive, print)
    builder.tidy(found)
    return archive


def pushed(archive: Path, repository: push.Repository, tag: str) -> tuple[str, list[int]]:
    sizes: list[int] = []
    with tempfile.TemporaryDirectory() as scratch:
        image = saved.read(archive)
        told = lambda done, total: sizes.append(total)  # noqa: E731
        pause = lambda seconds: None  # noqa: E731
        return push.push(image, repository, tag, Path(scratch), told, pause), sizes


@programs.needs("buildah", "docker-registry")
def test_pushes_what_was_built_and_touches_no_login(
    found: Builder,
    context: Path,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("CLUSTEROUS_CACHE_HOME", str(tmp_path / "ours"))
    for name in ("HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "DOCKER_CONFIG/config.json").write_text('{"auths": {"r.example": {}}}')
    repository = to(registry)

    digest, _ = pushed(built(found, context), repository, "src-1")

    tags = registry.home / "store/docker/registry/v2/repositories/reef/hello/_manifests/tags"
    link = (tags / "src-1/current/link").read_text()
    assert (digest, repository.digest("src-1")) == (link, link)
    assert pulled(registry, "src-1", tmp_path) == {"hello": "hello"}
    theirs = [
        one for name in ("HOME", "DOCKER_CONFIG") for one in (tmp_path / name).rglob("*.json")
    ]
    assert [one.read_text() for one in theirs] == ['{"auths": {"r.example": {}}}']


def pulled(registry: Registry, tag: str, folder: Path) -> dict[str, str]:
    """Return the files of the image's last layer, as a client of its own reads it."""
    wanted = references.parse(f"{registry.address}/reef/hello:{tag}")
    private = {"Authorization": f"Basic {base64.b64encode(b'AWS:secret').decode()}"}
    image = pull.Registry(wanted, {}, private).image(folder / "pulled", lambda *told: None)
    with tarfile.open(image.layers[-1].path) as tar:
        files = {one.name: tar.extractfile(one) for one in tar if one.isfile()}
        return {name: file.read().decode() for name, file in files.items() if file}


@programs.needs("buildah", "docker-registry")
def test_a_builder_builds_on_what_only_we_may_read(
    found: Builder, context: Path, registry: Registry, tmp_path: Path
) -> None:
    base = f"{registry.address}/reef/hello:src-1"
    pushed(built(found, context), to(registry), "src-1")
    wanted = references.parse(base)
    private = {"Authorization": to(registry).authorization()}
    image = pull.Registry(wanted, {}, private).image(tmp_path / "blobs", lambda *told: None)
    archives.write(image, base, tmp_path / "base.tar")
    other = builder.find(
        {"XDG_CACHE_HOME": str(tmp_path / "other"), "CLUSTEROUS_BUILDER": "buildah"}
    )
    (context / "Containerfile").write_text(f"FROM {base}\nCOPY hello /again\n")

    before = builder.has(other, base)
    builder.load(other, base, tmp_path / "base.tar", print)
    builder.build(other, "x:1", context, context / "Containerfile", print)
    builder.save(other, "x:1", tmp_path / "upper.tar", print)
    builder.tidy(other)

    assert (before, builder.has(other, base)) == (False, True)
    assert len(saved.read(tmp_path / "upper.tar").layers) == 2


@programs.needs("buildah", "docker-registry")
def test_a_tag_of_content_is_never_given_to_another_image(
    found: Builder, context: Path, registry: Registry
) -> None:
    first, _ = pushed(built(found, context), to(registry), "src-1")
    again, sent = pushed(built(found, context, "other"), to(registry), "src-1")

    assert again == first == to(registry).digest("src-1")
    assert not sent


@programs.needs("buildah", "docker-registry")
def test_a_layer_that_is_there_is_not_sent_again(
    found: Builder, context: Path, registry: Registry
) -> None:
    archive = built(found, context)
    first, sent = pushed(archive, to(registry), "src-1")
    second, again = pushed(archive, to(registry), "src-2")

    assert first == second
    assert sum(sent) > 0 == sum(again)


@programs.needs("buildah", "docker-registry")
def test_a_password_that_has_ended_is_fetched_anew(
    found: Builder, context: Path, registry: Registry
) -> None:
    repository = to(registry, "ended", "secret")

    digest, _ = pushed(built(found, context), repository, "src-1")

    assert repository.digest("src-1") == digest
    assert repository.password.fetched == 2  # type: ignore[attr-defined]


@programs.needs("buildah", "docker-registry")
def test_a_registry_that_refuses_is_told(found: Builder, context: Path, registry: Registry) -> None:
    with pytest.raises(FailedError, match=r"The registry refused https://.*\(401\)"):
        pushed(built(found, context), to(registry, "wrong"), "src-1")


@programs.needs("buildah", "docker-registry")
def test_a_push_that_breaks_off_begins_again(
    found: Builder, context: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, broken = download.opened, ["PATCH", "PUT"]

    def breaking(
        url: str, headers: Mapping[str, str], private: Any, method: str, *more: Any, **named: Any
    ) -> Any:
        if method in broken:
            broken.remove(method)
            raise ConnectionResetError
        return opened(url, headers, private, method, *more, **named)

    monkeypatch.setattr(download, "opened", breaking)

    digest, _ = pushed(built(found, context), to(registry), "src-1")

    assert not broken
    assert to(registry).digest("src-1") == digest


FAKE = """\
#!/bin/sh
echo "$*" >>{said}
case "$*" in
*' from scratch') echo working-container ;;
*' run '*) {answer} ;;
esac
"""
ROUTES = r"printf 'Iface Destination\neth0\t00000000\t0100580A\n'"


@pytest.mark.parametrize(
    ("runtime", "answer", "proxy", "apart"),
    [
        pytest.param("runc", ROUTES, "", True, id="a network of its own that leads out"),
        pytest.param("crun", ROUTES, "http://proxy.example:3128", True, id="a proxy elsewhere"),
        pytest.param("runc", "printf 'Iface Destination\n'", "", False, id="leads nowhere"),
        pytest.param("runc", "exit 1", "", False, id="does not work here"),
        pytest.param("other", ROUTES, "", False, id="no runtime"),
        pytest.param("runc", ROUTES, "http://127.0.0.1:3128", False, id="a proxy on this machine"),
    ],
)
def test_a_build_is_kept_from_this_machines_loopback_where_that_works(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    context: Path,
    runtime: str,
    answer: str,
    proxy: str,
    apart: bool,
) -> None:
    said = tmp_path / "said"
    for name in ("buildah", runtime):
        (tmp_path / name).write_text(FAKE.format(said=said, answer=answer))
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    made = Builder(kind=builder.Kind.BUILDAH, state=tmp_path / "state")

    builder.build(made, "x:1", context, context / "Containerfile", lambda line: None)

    built = next(line for line in said.read_text().splitlines() if " build " in line)
    own = " ".join(builder.apart(root=os.geteuid() == 0))
    assert (own in built) == apart
    assert (" --isolation chroot" in built) != apart
    if answer == ROUTES and apart:
        assert " rm working-container" in said.read_text()


@needs_buildah
@pytest.mark.skipif(not (shutil.which("runc") or shutil.which("crun")), reason="no runc, no crun")
def test_a_run_reaches_no_server_of_this_machine(found: Builder, context: Path) -> None:
    if builder.isolation(found, os.environ) == builder.SHARED:
        pytest.skip("a build has no network of its own here")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    shared = [f"--volume={path}:{path}:ro" for path in builder.SYSTEM if Path(path).is_dir()]
    name = shell.run([*builder.program(found), "from", "scratch"]).strip()
    knock = [shutil.which("bash") or "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"]

    def reaches(isolation: tuple[str, ...]) -> bool:
        argv = [*builder.program(found), "run", *isolation, *shared, name, "--", *knock]
        return shell.outcome(argv, timeout=60)[0] == 0

    with listener:
        assert reaches(builder.SHARED)
        assert not reaches(builder.isolation(found, os.environ))

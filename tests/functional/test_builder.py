"""Images built and pushed with a real buildah, where it is installed."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.images import builder, contexts
from clusterous_cli.images.builder import Builder
from clusterous_cli.system import shell
from tests import programs

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

    builder.build(found, "example/hello:1", context, contexts.containerfile(context), told.append)

    listed = shell.run([*builder.program(found), "images"])
    assert "example/hello" in listed
    assert any("COPY hello" in line for line in told)


@needs_buildah
def test_what_was_built_before_of_the_same_image_does_not_stay(
    found: Builder, context: Path
) -> None:
    for number, name in enumerate(("r.example/hello:1", "r.example/other:1", "r.example/hello:2")):
        (context / "hello").write_text(f"hello {number}")
        builder.build(found, name, context, contexts.containerfile(context), lambda line: None)

    builder.forget_older(found, "r.example/hello:2")

    listed = shell.run([*builder.program(found), "images", "--format", "{{.Name}}:{{.Tag}}"])
    named = [line for line in listed.split() if "example" in line]
    assert sorted(named) == ["r.example/hello:2", "r.example/other:1"]


@needs_buildah
def test_tells_the_builders_words_when_a_build_fails(found: Builder, context: Path) -> None:
    (context / "Containerfile").write_text("FROM scratch\nCOPY nothing /\n")

    with pytest.raises(FailedError, match="could not be built") as caught:
        builder.build(found, "x:1", context, contexts.containerfile(context), lambda line: None)

    assert "nothing" in str(caught.value)


@needs_buildah
@pytest.mark.skipif(not Path("/proc/self/mounts").exists(), reason="no /proc")
def test_leaves_nothing_mounted(found: Builder, context: Path, tmp_path: Path) -> None:
    (context / "Containerfile").write_text("FROM scratch\nCOPY nothing /\n")
    with pytest.raises(FailedError):
        builder.build(found, "x:1", context, contexts.containerfile(context), lambda line: None)

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
    with pytest.raises(UserError, match="it can be buildah, podman or docker"):
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
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
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


@programs.needs("buildah", "docker-registry")
def test_pushes_an_image(
    found: Builder,
    context: Path,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    own = tmp_path / "bin"
    own.mkdir()
    (own / "aws").write_text('#!/bin/sh\necho "$@" >"${0%/*}/called"\necho secret\n')
    (own / "aws").chmod(0o755)
    monkeypatch.setenv("PATH", f"{own}:{os.environ['PATH']}")
    reference = f"{registry.address}/reef/hello:{contexts.content_tag(context)}"

    builder.build(found, reference, context, contexts.containerfile(context), lambda line: None)
    builder.login(found, registry.address, "eu-west-1", "mine")
    builder.push(found, reference, lambda line: None)
    kept = found.auth_file.read_text()
    builder.logout(found, registry.address)

    tags = registry.home / "store/docker/registry/v2/repositories/reef/hello/_manifests/tags"
    assert [path.name for path in tags.iterdir()] == [contexts.content_tag(context)]
    assert (own / "called").read_text() == (
        "ecr get-login-password --region eu-west-1 --profile mine\n"
    )
    assert registry.address in kept
    assert not found.auth_folder.exists()


@programs.needs("docker", "docker-registry")
def test_docker_keeps_the_persons_own_logins(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "bin"
    own.mkdir()
    # A helper that knows this registry already, and refuses to keep anything: ECR's does so.
    for name, text in (
        ("aws", "#!/bin/sh\necho secret\n"),
        ("docker-credential-ecr", "#!/bin/sh\necho not implemented\nexit 1\n"),
    ):
        (own / name).write_text(text)
        (own / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{own}:{os.environ['PATH']}")
    theirs = tmp_path / "docker"
    (theirs / "contexts").mkdir(parents=True)
    settings = json.dumps({"credHelpers": {registry.address: "ecr"}, "auths": {"r.example": {}}})
    (theirs / "config.json").write_text(settings)
    monkeypatch.setenv("DOCKER_CONFIG", str(theirs))
    docker = Builder(kind=builder.Kind.DOCKER, state=tmp_path / "state")

    builder.login(docker, registry.address, "eu-west-1", None)

    kept = json.loads((docker.auth_folder / "config.json").read_text())
    assert registry.address in kept["auths"]
    assert (docker.auth_folder / "contexts").resolve() == theirs / "contexts"
    assert (docker.auth_folder / "config.json").stat().st_mode & 0o077 == 0
    builder.logout(docker, registry.address)
    assert not docker.auth_folder.exists()
    assert (theirs / "config.json").read_text() == settings
    assert (theirs / "contexts").is_dir()


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

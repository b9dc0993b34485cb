"""Builds and pushes images with the builder that is there: buildah, podman or docker."""

import json
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.images import contexts
from clusterous_cli.system import private, shell

ENV_BUILDER: Final = "CLUSTEROUS_BUILDER"
ECR_USER: Final = "AWS"


class Kind(StrEnum):
    BUILDAH = "buildah"
    PODMAN = "podman"
    DOCKER = "docker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """The program, and where what is ours is kept; *driver* is buildah's storage driver.

    Each process logs in for itself (*login*): the end of one must not log another out.
    """

    kind: Kind
    state: Path
    driver: str = "vfs"
    login: str = field(default_factory=lambda: f"login-{os.getpid()}")

    @property
    def auth_folder(self) -> Path:
        return self.state / self.login

    @property
    def auth_file(self) -> Path:
        return self.auth_folder / "auth.json"

    @property
    def environment(self) -> dict[str, str]:
        """Docker takes its logins from a folder; the person's own is left as it is."""
        return {"DOCKER_CONFIG": str(self.auth_folder)} if self.kind is Kind.DOCKER else {}


# -- pure: what each builder wants to hear ------------------------------------------------


def program(builder: Builder) -> list[str]:
    """The program and its options before the subcommand.

    Buildah keeps its images in a folder of ours. Podman and docker have a store (perhaps in a
    virtual machine) that is theirs to choose.
    """
    if builder.kind is not Kind.BUILDAH:
        return [str(builder.kind)]
    store = builder.state / "buildah"
    places = ["--root", str(store / "root"), "--runroot", str(store / "run")]
    return ["buildah", *places, "--storage-driver", builder.driver]


# What a RUN may reach; docker and podman keep it from this machine's loopback by themselves.
# chroot works without runc or crun and inside containers, and uses the network as it is.
SHARED: Final = ("--isolation", "chroot")


def apart(root: bool) -> tuple[str, ...]:
    """The options by which buildah gives a RUN a network of its own."""
    return ("--isolation", "oci" if root else "rootless", "--network", "private")


def build_argv(
    builder: Builder,
    reference: str,
    folder: Path,
    recipe: Path,
    isolation: Sequence[str] = SHARED,
    *,
    pulls: bool = False,
) -> list[str]:
    """Build; what *pulls* builds on an image of our registry, and shows our login there."""
    what = [*contexts.ASKED, "--tag", reference, "--file", str(recipe), str(folder)]
    what = [*(_auth(builder) if pulls else ()), *what]
    if builder.kind is Kind.BUILDAH:
        # force-rm: a failed build leaves no half container, whose files would stay mounted.
        buildah = [*isolation, "--layers", "--force-rm"]
        return [*program(builder), "build", *buildah, *what]
    return [*program(builder), "build", *what]


def login_argv(builder: Builder, registry: str) -> list[str]:
    """Log in; the password comes on stdin, where no other user of the machine sees it."""
    who = ["--username", ECR_USER, "--password-stdin"]
    return [*program(builder), "login", *_auth(builder), *who, registry]


def push_argv(builder: Builder, reference: str) -> list[str]:
    if builder.kind is Kind.DOCKER:
        return [*program(builder), "push", reference]
    return [*program(builder), "push", *_auth(builder), reference, f"docker://{reference}"]


def save_argv(builder: Builder, reference: str, target: Path) -> list[str]:
    """Write an image to a file, as `docker save` does."""
    if builder.kind is Kind.BUILDAH:
        return [*program(builder), "push", reference, f"docker-archive:{target}:{reference}"]
    return [*program(builder), "save", "--output", str(target), reference]


def logout_argv(builder: Builder, registry: str) -> list[str]:
    return [*program(builder), "logout", *_auth(builder), registry]


def password_argv(region: str, profile: str | None) -> list[str]:
    who = ["--profile", profile] if profile else []
    return ["aws", "ecr", "get-login-password", "--region", region, *who]


def _auth(builder: Builder) -> list[str]:
    return [] if builder.kind is Kind.DOCKER else ["--authfile", str(builder.auth_file)]


# -- acting -------------------------------------------------------------------------------


def cache_folder(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CACHE_HOME") or private.user_folder() / ".cache"
    return Path(base) / "clusterous" / "builder"


def find(environment: Mapping[str, str] = os.environ) -> Builder:
    """The builder named in CLUSTEROUS_BUILDER, or the first that works."""
    wanted = environment.get(ENV_BUILDER)
    if wanted and wanted not in list(Kind):
        raise UserError(f"{ENV_BUILDER} is {wanted!r}; it can be buildah, podman or docker.")
    state = cache_folder(environment)
    reasons = []
    for kind in [Kind(wanted)] if wanted else list(Kind):
        try:
            return _working(Builder(kind=kind, state=state))
        except (UserError, shell.CommandFailed) as error:
            reasons.append(f"  {kind}: {_reason(error)}")
    raise UserError(
        "An image must be built, and there is no builder that works:\n"
        + "\n".join(reasons)
        + "\nInstall one of them (Debian, Ubuntu: apt install buildah) and try again."
    )


def _reason(error: Exception) -> str:
    if isinstance(error, shell.CommandFailed):
        return (error.said.splitlines() or ["does not work"])[-1]
    return "not installed"


def _working(builder: Builder) -> Builder:
    """*builder*, having answered; buildah with the best storage driver that works here."""
    shell.program(builder.kind)
    private.folder(builder.state)
    if builder.kind is not Kind.BUILDAH:
        shell.run([*program(builder), "version"], timeout=30)
        return builder
    drivers = _drivers(builder.state / "buildah" / "root")
    failed: shell.CommandFailed | None = None
    for driver in drivers:
        candidate = Builder(kind=builder.kind, state=builder.state, driver=driver)
        try:
            shell.run([*program(candidate), "images", "--quiet"], timeout=60)
        except shell.CommandFailed as error:
            failed = error
        else:
            return candidate
    assert failed is not None
    raise failed


def _drivers(root: Path) -> list[str]:
    """The driver that the store was begun with, else the quick one before the sure one."""
    used = [name for name in ("overlay", "vfs") if (root / f"{name}-images").is_dir()]
    return used[:1] or ["overlay", "vfs"]


def isolation(builder: Builder, environment: Mapping[str, str]) -> tuple[str, ...]:
    """What keeps a RUN from this machine's loopback, where that works and still leads out."""
    if builder.kind is not Kind.BUILDAH or not (shutil.which("crun") or shutil.which("runc")):
        return SHARED
    proxies = [value for name, value in environment.items() if name.lower().endswith("_proxy")]
    if any(re.search(r"//(localhost|127\.|\[::1\])", value) for value in proxies):
        return SHARED  # which a network of its own would not reach
    kept = apart(root=os.geteuid() == 0)
    return kept if _has_way_out(builder, kept) else SHARED


def _has_way_out(builder: Builder, kept: Sequence[str]) -> bool:
    """Run a program of this machine like a RUN, and look whether its network leads anywhere."""
    shared = [f"--volume={path}:{path}:ro" for path in SYSTEM if Path(path).is_dir()]
    _, started, _ = shell.outcome([*program(builder), "from", "scratch"], timeout=60)
    if not (name := started.strip()):
        return False
    try:
        argv = [*program(builder), "run", *kept, *shared, name, "--", "cat", "/proc/net/route"]
        status, routes, _ = shell.outcome(argv, timeout=60)
    finally:
        shell.outcome([*program(builder), "rm", name], timeout=60)
    return status == 0 and bool(re.search(r"^\S+\s+0{8}\s", routes, re.M))


SYSTEM: Final = ("/bin", "/lib", "/lib64", "/usr")


def build(
    builder: Builder,
    reference: str,
    folder: Path,
    recipe: Path,
    tell: Callable[[str], None],
    *,
    pulls: bool = False,
) -> None:
    """Build *folder*; every line that the builder writes goes to *tell*.

    The person's own logins are for what it builds on, unless it *pulls* from our registry.
    """
    how = isolation(builder, os.environ)
    argv = build_argv(builder, reference, folder, recipe, how, pulls=pulls)
    environment = builder.environment if pulls else None
    _stream(argv, tell, f"The image in {folder} could not be built", environment)


def login(builder: Builder, registry: str, region: str, profile: str | None) -> None:
    """Let the builder push to the account's registry for the next hours."""
    private.folder(builder.auth_folder)
    if builder.kind is Kind.DOCKER:
        _docker_folder(builder.auth_folder, docker_folder(os.environ), registry)
    password = shell.run(password_argv(region, profile), timeout=60).strip()
    argv = login_argv(builder, registry)
    shell.run(argv, stdin=password, env=builder.environment, timeout=60)


def docker_folder(environment: Mapping[str, str]) -> Path:
    """The person's own folder of docker's settings."""
    named = environment.get("DOCKER_CONFIG")
    return Path(named) if named else private.user_folder() / ".docker"


def docker_config(theirs: object, registry: str) -> dict[str, object]:
    """Docker's settings as the person has them, but for the logins.

    The empty helper sends docker to this very file: a helper of the person's may not know how to
    keep a password, and what it keeps would stay after us.
    """
    kept = theirs if isinstance(theirs, dict) else {}
    logins = ("auths", "credsStore", "credHelpers")
    rest = {str(key): value for key, value in kept.items() if key not in logins}
    return {**rest, "credHelpers": {registry: ""}}


def _docker_folder(ours: Path, theirs: Path, registry: str) -> None:
    """Make our folder of settings, with contexts and plug-ins linked from *theirs*."""
    try:
        settings = json.loads((theirs / "config.json").read_text())
    except (OSError, ValueError):
        settings = {}
    private.write(ours / "config.json", json.dumps(docker_config(settings, registry)))
    for entry in theirs.iterdir() if theirs.is_dir() else ():
        if entry.name != "config.json" and not (ours / entry.name).is_symlink():
            (ours / entry.name).symlink_to(entry.absolute())


def push(builder: Builder, reference: str, tell: Callable[[str], None]) -> None:
    argv, failure = push_argv(builder, reference), f"{reference} could not be pushed"
    _stream(argv, tell, failure, builder.environment)


def save(builder: Builder, reference: str, target: Path, tell: Callable[[str], None]) -> None:
    argv, failure = save_argv(builder, reference, target), f"{reference} could not be saved"
    _stream(argv, tell, failure, builder.environment)


def forget_older(builder: Builder, reference: str) -> None:
    """Let go of what was built of the same image before: only buildah's store is ours to tidy."""
    if builder.kind is not Kind.BUILDAH:
        return
    listed = [*program(builder), "images", "--format", "{{.Name}}:{{.Tag}}"]
    _, said, _ = shell.outcome(listed, timeout=60)
    name = reference.rpartition(":")[0]
    older = [one for one in said.split() if one.rpartition(":")[0] == name and one != reference]
    if older:
        shell.outcome([*program(builder), "rmi", *older], timeout=60)


def logout(builder: Builder, registry: str) -> None:
    """Forget the password; it would end by itself after 12 hours."""
    shell.outcome(logout_argv(builder, registry), env=builder.environment, timeout=30)
    shutil.rmtree(builder.auth_folder, ignore_errors=True)


def tidy(builder: Builder) -> None:
    """Unmount what buildah, run by root, leaves mounted when it has ended."""
    if builder.kind is Kind.BUILDAH and builder.driver == "overlay" and os.geteuid() == 0:
        shell.outcome(["umount", str(builder.state / "buildah" / "root" / "overlay")], timeout=30)


def _stream(
    argv: list[str],
    tell: Callable[[str], None],
    failure: str,
    environment: Mapping[str, str] | None = None,
) -> None:
    last: deque[str] = deque(maxlen=15)

    def hear(line: str) -> None:
        last.append(line)
        tell(line)

    status = shell.stream(argv, hear, env=environment)
    if status != 0:
        said = "\n".join(f"    {line}" for line in last)
        raise FailedError(f"{failure} ({argv[0]}, status {status}):\n{said}")

"""Builds images with the builder that is there: buildah, podman or docker. It does no more: what
it made is written to a file, and pushed by us (`sending`), so nobody's logins are touched."""

import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.images.context import taken
from clusterous_cli.system import private, shell

ENV_BUILDER: Final = "CLUSTEROUS_BUILDER"
# Where it names no builder of this machine's.
CLUSTER: Final = "cluster"
# What machines call themselves on which everybody's builder makes what the nodes run.
LIKE_NODES: Final = ("x86_64", "amd64", "AMD64")


class Kind(StrEnum):
    BUILDAH = "buildah"
    PODMAN = "podman"
    DOCKER = "docker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """The program, and where what is ours is kept; *driver* is buildah's storage driver.

    *build* is how docker is told to build: by BuildKit, where it has that.
    """

    kind: Kind
    state: Path
    driver: str = "vfs"
    build: tuple[str, ...] = ("build",)

    @property
    def contexts(self) -> Path:
        """Return where folders are copied to before they are built."""
        return self.state / "contexts"


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
    asked: Sequence[str] = taken.ASKED,
    isolation: Sequence[str] = SHARED,
) -> list[str]:
    what = [*asked, "--tag", reference, "--file", str(recipe), str(folder)]
    if builder.kind is Kind.BUILDAH:
        # force-rm: a failed build leaves no half container, whose files would stay mounted.
        buildah = [*isolation, "--layers", "--force-rm"]
        return [*program(builder), "build", *buildah, *what]
    return [*program(builder), *builder.build, *what]


def save_argv(builder: Builder, reference: str, target: Path) -> list[str]:
    """Write an image to a file, as `docker save` does."""
    if builder.kind is Kind.BUILDAH:
        return [*program(builder), "push", reference, f"docker-archive:{target}:{reference}"]
    return [*program(builder), "save", "--output", str(target), reference]


def load_argv(builder: Builder, archive: Path) -> list[str]:
    """Let the builder have an image that is in a file."""
    if builder.kind is Kind.BUILDAH:
        return [*program(builder), "pull", f"docker-archive:{archive}"]
    return [*program(builder), "load", "--input", str(archive)]


def inspect_argv(builder: Builder, reference: str) -> list[str]:
    """Ask for an image of the builder's own."""
    buildah = builder.kind is Kind.BUILDAH
    how = ["inspect", "--type", "image"] if buildah else ["image", "inspect"]
    return [*program(builder), *how, reference]


# -- acting -------------------------------------------------------------------------------


def cache_folder(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CACHE_HOME") or private.user_folder() / ".cache"
    return Path(base) / "clusterous" / "builder"


def chosen(
    environment: Mapping[str, str], machine: str, tell: Callable[[str], None]
) -> Builder | None:
    """Return the builder of this *machine* that is to build, or None if the cluster's is.

    That is so where it was said, where there is none, and where none makes what the nodes run by
    itself. What was said and does not work is an error.
    """
    wanted = environment.get(ENV_BUILDER)
    if wanted == CLUSTER:
        return None
    if not wanted and machine not in LIKE_NODES:
        tell(f"· this machine is {machine}, and the nodes are not: building on the cluster")
        return None
    try:
        return find(environment)
    except UserError:
        if wanted:
            raise
        tell("· no builder works on this machine: building on the cluster")
        return None


def find(environment: Mapping[str, str] = os.environ) -> Builder:
    """The builder named in CLUSTEROUS_BUILDER, or the first that works."""
    wanted = environment.get(ENV_BUILDER)
    if wanted and wanted not in list(Kind):
        raise UserError(
            f"{ENV_BUILDER} is {wanted!r}; it can be buildah, podman, docker or {CLUSTER}."
        )
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
        + "\nInstall one of them (Debian, Ubuntu: apt install buildah), or say --builder cluster."
    )


def _reason(error: Exception) -> str:
    if isinstance(error, shell.CommandFailed):
        return (error.said.splitlines() or ["does not work"])[-1]
    return "not installed"


def _working(builder: Builder) -> Builder:
    """*builder*, having answered; buildah with the best storage driver that works here."""
    shell.program(builder.kind)
    private.folder(builder.state)
    private.folder(builder.contexts)
    if builder.kind is not Kind.BUILDAH:
        shell.run([*program(builder), "version"], timeout=30)
        return replace(builder, build=_docker_build()) if builder.kind is Kind.DOCKER else builder
    drivers = _drivers(builder.state / "buildah" / "root")
    failed: shell.CommandFailed | None = None
    for driver in drivers:
        candidate = replace(builder, driver=driver)
        try:
            shell.run([*program(candidate), "images", "--quiet"], timeout=60)
        except shell.CommandFailed as error:
            failed = error
        else:
            return candidate
    assert failed is not None
    raise failed


def _docker_build() -> tuple[str, ...]:
    """Builders of docker's may be elsewhere; what they made is then loaded from there."""
    status, _, _ = shell.outcome(["docker", "buildx", "version"], timeout=30)
    return ("buildx", "build", "--load") if status == 0 else ("build",)


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


# An image of one platform is one manifest, without others beside it that nothing here reads.
PLAIN: Final = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


def build(
    builder: Builder,
    reference: str,
    folder: Path,
    recipe: Path,
    tell: Callable[[str], None],
    asked: Sequence[str] = taken.ASKED,
) -> None:
    """Build *folder*; every line that the builder writes goes to *tell*."""
    kept = isolation(builder, os.environ)
    argv = build_argv(builder, reference, folder, recipe, asked, kept)
    _stream(argv, tell, "The image could not be built", PLAIN)


def save(builder: Builder, reference: str, target: Path, tell: Callable[[str], None]) -> None:
    argv, failure = save_argv(builder, reference, target), f"{reference} could not be saved"
    _stream(argv, tell, failure)


def has(builder: Builder, reference: str) -> bool:
    """Whether the builder has an image, so that another may be built on it."""
    return shell.outcome(inspect_argv(builder, reference), timeout=60)[0] == 0


def load(builder: Builder, reference: str, archive: Path, tell: Callable[[str], None]) -> None:
    _stream(load_argv(builder, archive), tell, f"The builder did not take {reference}")


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

"""Programs and base images out of Debian packages, none of which is installed on this machine."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.region.parts import images
from tests.region.parts.cache import Found, Tell

SUITE: Final = "bookworm"
# What nodes and the registries run; only unpacked.
PROGRAMS: Final = ("containerd", "runc", "containernetworking-plugins", "docker-registry")
BUSYBOX: Final = ("busybox-static",)
# Docker Hub's slim images lack the same.
UNWANTED: Final = ("doc", "man", "info", "locale", "lintian", "linda", "bug", "groff")
PYTHON: Final = ("python3", "python3-pip", "ca-certificates", "netbase")
LEFTOVERS: Final = (
    "var/lib/apt/lists",
    "var/cache/apt",
    "var/log",
    "var/cache/ldconfig",
    "var/cache/debconf",
)
ENVIRONMENT: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
PYTHON_ENVIRONMENT: Final = {**ENVIRONMENT, "LANG": "C.UTF-8", "PYTHON_VERSION": "3.11"}


def unpack(packages: Sequence[str], target: Path) -> None:
    """Download packages and unpack their files into *target*, without installing anything."""
    with tempfile.TemporaryDirectory() as folder:
        # apt drops its rights to download; the folder must be writable to that user.
        Path(folder).chmod(0o777)
        _run(["apt-get", "download", "--quiet=2", *packages], Path(folder))
        for package in sorted(Path(folder).glob("*.deb")):
            _run(["dpkg", "-x", str(package), str(target)])


def build_programs(target: Path, found: Found, tell: Tell) -> None:
    unpack(PROGRAMS, target)


def build_busybox(target: Path, found: Found, tell: Tell) -> None:
    unpack(BUSYBOX, target)


def build_trees(target: Path, found: Found, tell: Tell) -> None:
    """Make the root file systems TARGET/debian and, from it, TARGET/python."""
    tell("bootstrapping Debian, then Python on it")
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in UNWANTED]
    install = (
        'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --yes --no-install-recommends '
        f'-oDPkg::Chroot-Directory="$1" install {" ".join(PYTHON)}'
    )
    # One bootstrap for both: the tree is copied before Python comes. By then /proc and /dev are
    # mounted in it; to copy these would copy the machine's memory.
    copy = f'cp -a --one-file-system "$1" "{target}/debian"'
    _run(
        [
            *("mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", *excluded),
            *("--dpkgopt=force-unsafe-io", '--aptopt=Acquire::Languages "none"'),
            # Else /usr is merged by a package that brings all of Perl, 45 MB, with it.
            *("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--include=usr-is-merged"),
            *(f"--customize-hook={copy}", f"--customize-hook={install}"),
            *(SUITE, f"{target}/python"),
        ]
    )
    for tree in (target / "debian", target / "python"):
        _tidy(tree)
    _finish_python(target / "python")


def build_hub(target: Path, found: Found, tell: Tell) -> None:
    """Write the registry storage with the base images that people name in their Containerfiles."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        for repository, tag, image in base_images(found["trees"], Path(scratch)):
            tell(f"{repository}:{tag}")
            images.store(image, repository, tag, target)


def base_images(trees: Path, scratch: Path) -> Iterator[tuple[str, str, images.Image]]:
    """Yield repository, tag and image of each base image; Python's lies on Debian's."""
    debian = images.layer_from_tree(trees / "debian", scratch / "debian.tar")
    python = images.layer_from_tree(
        trees / "python", scratch / "python.tar", below=trees / "debian"
    )
    on_debian = images.Image(
        name=f"docker.io/library/debian:{SUITE}-slim",
        layers=(debian,),
        command=("bash",),
        environment=ENVIRONMENT,
    )
    on_python = images.Image(
        name="docker.io/library/python:3.11-slim",
        layers=(debian, python),
        command=("python3",),
        environment=PYTHON_ENVIRONMENT,
    )
    yield "library/debian", f"{SUITE}-slim", on_debian
    yield "library/python", "3.11-slim", on_python
    yield "library/python", f"3.11-slim-{SUITE}", on_python


def _tidy(tree: Path) -> None:
    for leftover in LEFTOVERS:
        for path in (tree / leftover).glob("*"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name in ("etc/hostname", "etc/resolv.conf"):
        (tree / name).unlink(missing_ok=True)
    for cache in list(tree.glob("usr/lib/python3*/**/__pycache__")):
        shutil.rmtree(cache)


def _finish_python(tree: Path) -> None:
    """Give Debian's Python the manners of Docker's image: `python`, `pip`, pip may install."""
    for name in ("python", "python3", "python3.11"):
        (tree / "usr/local/bin" / name).symlink_to("/usr/bin/python3.11")
    for name in ("pip", "pip3"):
        (tree / "usr/local/bin" / name).symlink_to("/usr/bin/pip3")
    (tree / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink(missing_ok=True)


def _run(argv: Sequence[str], folder: Path | None = None) -> None:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{argv[0]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")

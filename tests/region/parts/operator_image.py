"""The operator's image, from images/operator/Containerfile, by buildah and without the internet.

The base image comes from the region's Docker Hub storage, which the distribution registry serves
on loopback while the image is built. `python -m tests.region.parts.operator_image FOLDER` writes
only the build context, for an engine of one's own.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.region.parts import wheels
from tests.region.parts.cache import Found, Tell

ROOT: Final = wheels.ROOT
CONTAINERFILE: Final = ROOT / "images" / "operator" / "Containerfile"
REPOSITORY: Final = "ghcr.io/clusterous/clusterous-operator"
ARCHIVE: Final = "operator-image.tar"
SOURCES: Final = (
    ROOT / "crds",
    ROOT / "operator",
    ROOT / "charts" / "clusterous",
    ROOT / "images" / "operator",
    ROOT / "pyproject.toml",
    Path(__file__),
)
TRUST: Final = '{"default": [{"type": "insecureAcceptAnything"}]}'


def version() -> str:
    """Return the project's version, which is the image's tag."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def image_name() -> str:
    return f"{REPOSITORY}:{version()}"


def build(target: Path, found: Found, tell: Tell) -> None:
    """Write TARGET/operator-image.tar, as `docker save` would."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        context = scratch / "context"
        tell("our own wheel")
        write_context(context, found["wheels"])
        program = found["debian"] / "usr" / "bin" / "docker-registry"
        with _serve(program, found["hub"], scratch) as address:
            tell("buildah")
            _build(context, scratch, address, target / ARCHIVE)


def write_context(context: Path, downloaded: Path) -> None:
    """Make the build context: the Containerfile and all wheels."""
    # Of an earlier time; another version of a wheel beside the right one would be installed too.
    shutil.rmtree(context / "wheels", ignore_errors=True)
    (context / "wheels").mkdir(parents=True)
    for wheel in downloaded.glob("*.whl"):
        shutil.copy2(wheel, context / "wheels")
    _own_wheel(context / "wheels")
    shutil.copy2(CONTAINERFILE, context)


def _own_wheel(target: Path) -> None:
    # A copy is built: builds of one checkout side by side would meet in its build folder.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "source"
        copy.mkdir()
        for name in ("crds", "operator", "cli", "charts", "pyproject.toml", "README.md"):
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(source, copy / name, ignore=ignored, symlinks=True)
            else:
                shutil.copy2(source, copy)
        _run(
            [
                *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
                *("--no-build-isolation", f"--wheel-dir={target}", str(copy)),
            ]
        )


def _build(context: Path, scratch: Path, hub: str, archive: Path) -> None:
    (scratch / "policy.json").write_text(TRUST)
    (scratch / "registries.conf").write_text(
        f'[[registry]]\nprefix = "docker.io"\nlocation = "{hub}"\ninsecure = true\n'
    )
    (scratch / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{scratch}/storage"\n'
        f'runroot = "{scratch}/run"\n'
    )
    environment = {
        **os.environ,
        "CONTAINERS_REGISTRIES_CONF": str(scratch / "registries.conf"),
        "CONTAINERS_STORAGE_CONF": str(scratch / "storage.conf"),
        "TMPDIR": str(scratch),
    }
    trust = f"--signature-policy={scratch}/policy.json"
    own = ("bud", "--isolation=chroot", "--format=docker", "--timestamp=1767225600", "--quiet")
    tag = f"--tag={image_name()}"
    _run(["buildah", *own, trust, tag, str(context)], environment)
    destination = f"docker-archive:{archive}:{image_name()}"
    _run(["buildah", "push", "--quiet", trust, image_name(), destination], environment)


@contextlib.contextmanager
def _serve(program: Path, storage: Path, scratch: Path) -> Iterator[str]:
    """Serve a registry's storage on loopback, read-only, and give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = scratch / "registry.yml"
    settings.write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {storage}}}, maintenance: "
        "{readonly: {enabled: true}, uploadpurging: {enabled: false}}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    process = subprocess.Popen(
        [program, "serve", settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(address)
        yield address
    finally:
        process.kill()
        process.wait()


def _wait_for(address: str) -> None:
    host, port = address.split(":")
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def _run(argv: Sequence[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(argv[:2])} ended with {done.returncode}: {done.stderr[-3000:]}")


def main(target: Path) -> None:
    """Write the build context to *target*; no root, cache or other part is needed for that."""
    with tempfile.TemporaryDirectory() as folder:
        wheels.build(Path(folder), {}, lambda line: None)
        write_context(target, Path(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

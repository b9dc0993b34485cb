"""The operator's image, made by the product itself, without a builder and without the internet.

The base image comes from the region's Docker Hub storage, which the distribution registry serves
on loopback while the image is made.
"""

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from clusterous_cli.images import maker
from clusterous_cli.images.assembly import references
from clusterous_cli.system import assets
from release import locks
from tests.region.parts.cache import Found, Tell

ROOT: Final = locks.ROOT
FOLDER: Final = ROOT / "images" / "operator"
ARCHIVE: Final = "operator-image.tar"
# Who makes images of ours, and by which version they are called.
MAKER: Final = (
    ROOT / "cli" / "clusterous_cli" / "images",
    ROOT / "pyproject.toml",
    Path(__file__),
)
SOURCES: Final = (ROOT / "crds", ROOT / "operator", FOLDER, *MAKER)


def version() -> str:
    """Return the project's version, which is the tag of a released image."""
    return assets.version()


def image_name() -> str:
    return f"{maker.plan(FOLDER).recipe.name}:{version()}"


def build(target: Path, found: Found, tell: Tell) -> None:
    """Write TARGET/operator-image.tar, as a release has it."""
    program = found["debian"] / "usr" / "bin" / "docker-registry"
    with serving(program, found["hub"]) as address:
        hosts = {references.HUB: f"http://{address}"}
        maker.assemble(
            maker.plan(FOLDER), image_name(), target / ARCHIVE, tell, quietly, hosts=hosts
        )


def quietly(name: str, have: int, total: int) -> None:
    """Show no progress: it is loopback."""


@contextlib.contextmanager
def serving(program: Path, storage: Path) -> Iterator[str]:
    """Serve a registry's storage on loopback, read-only, and give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as scratch:
        settings = Path(scratch) / "registry.yml"
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
    end = time.monotonic() + 120
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return

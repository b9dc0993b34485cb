"""A Java for those who take one from Docker Hub: `COPY --from=eclipse-temurin:17-jre`.

It is Debian's, at the place where Temurin's image has its own.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.region.parts import debian, images
from tests.region.parts.cache import Found, Tell
from tests.region.parts.images import Entry

PACKAGE: Final = "openjdk-17-jre-headless"
TAG: Final = "17-jre"
HOME: Final = "opt/java/openjdk"
_UNWANTED: Final = frozenset({"docs", "legal", "man"})


def build(target: Path, found: Found, tell: Tell) -> None:
    """Write the registry storage with the image."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        root = Path(scratch) / "root"
        tell(f"unpacking {PACKAGE}")
        debian.unpack([PACKAGE], root)
        layer = images.layer_from_entries(dict(_entries(root)), Path(scratch) / "layer.tar")
        image = images.Image(
            name=f"docker.io/library/eclipse-temurin:{TAG}",
            layers=(layer,),
            environment={**debian.ENVIRONMENT, "JAVA_HOME": f"/{HOME}"},
        )
        images.store(image, "library/eclipse-temurin", TAG, target)


def _entries(root: Path) -> Iterator[tuple[str, Entry]]:
    """Yield all files, with those that Debian keeps in /etc at their places."""
    (home,) = (root / "usr/lib/jvm").glob("java-17-openjdk-*")
    for path in sorted(home.rglob("*")):
        inside = path.relative_to(home)
        source = root / path.readlink().relative_to("/") if _leads_out(path) else path
        if source.is_file() and inside.parts[0] not in _UNWANTED:
            mode = source.stat().st_mode & 0o777
            yield f"{HOME}/{inside}", Entry(source=source.resolve(), mode=mode)


def _leads_out(path: Path) -> bool:
    return path.is_symlink() and path.readlink().is_absolute()

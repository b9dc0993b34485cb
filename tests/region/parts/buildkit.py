"""BuildKit, as its publisher's rootless image has it, beside the other images of the region's hub.

The programs are the publisher's own source, unchanged. What is below them is Debian's instead of
Alpine's; busybox comes first on the path, as there. `newuidmap` has the capability that it needs as
an attribute of its file, since Debian's, which is root's, asks for one more that no container has.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from clusterous_cli.addons import builder
from tests.region.parts import addons, debian, images
from tests.region.parts.cache import Found, Tell
from tests.region.parts.images import Entry, Image

MODULE: Final = Path(__file__).with_name("go-buildkit")
REPOSITORY: Final = "moby/buildkit"
TAG: Final = builder.IMAGE.rpartition(":")[2]
VERSION: Final = TAG.removesuffix("-rootless")
PROGRAMS: Final = {
    "buildkitd": "github.com/moby/buildkit/cmd/buildkitd",
    "buildctl": "github.com/moby/buildkit/cmd/buildctl",
    "rootlesskit": "github.com/rootless-containers/rootlesskit/v3/cmd/rootlesskit",
}
# As the publisher compiles them.
TAGS: Final = "osusergo,netgo,static_build,seccomp"
MAPPERS: Final = {"newuidmap": 7, "newgidmap": 6}  # with CAP_SETUID, CAP_SETGID
USER: Final = 1000
HOME: Final = "home/user"
RUNTIME: Final = "run/user/1000"
STATE: Final = f"{HOME}/.local/share/buildkit"
APPLETS: Final = "usr/lib/applets"
# Of busybox, what Alpine's path leads to: only what is not programs of the image's own.
BUSYBOX: Final = (
    *("ash", "cat", "chmod", "cp", "cut", "date", "echo", "env", "find", "grep", "head", "id"),
    *("kill", "ln", "ls", "mkdir", "mktemp", "mv", "printf", "ps", "pwd", "readlink", "rm", "sed"),
    *("sh", "sha256sum", "sleep", "sort", "stat", "tail", "tar", "test", "touch", "tr", "wc"),
)
ENVIRONMENT: Final = {
    "PATH": f"/{APPLETS}:{debian.ENVIRONMENT['PATH']}",
    "HOME": f"/{HOME}",
    "USER": "user",
    "XDG_RUNTIME_DIR": f"/{RUNTIME}",
    "TMPDIR": f"/{HOME}/.local/tmp",
    "BUILDKIT_HOST": f"unix:///{RUNTIME}/buildkit/buildkitd.sock",
}


def build_programs(target: Path, found: Found, tell: Tell) -> None:
    """Write TARGET/buildkitd, buildctl and rootlesskit."""
    stamp = f"-X github.com/moby/buildkit/version.Version={VERSION}"
    for name, package in PROGRAMS.items():
        tell(f"compiling {name}")
        addons.compile_go(MODULE, package, stamp, target / name, "-tags", TAGS)


def build_hub(target: Path, found: Found, tell: Tell) -> None:
    """Write the hub's storage with one image more."""
    shutil.copytree(found["hub"], target, copy_function=os.link, dirs_exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        images.store(image(found, Path(scratch)), REPOSITORY, TAG, target)


def image(found: Found, scratch: Path) -> Image:
    """Return the image; its layers lie in *scratch*."""
    unpacked = scratch / "uidmap"
    debian.unpack(("uidmap",), unpacked)
    below = images.layer_from_tree(found["trees"] / "debian", scratch / "debian.tar")
    entries = {**_programs(found, unpacked), **_places()}
    layer = images.layer_from_entries(entries, scratch / "layer.tar")
    return Image(
        name=builder.IMAGE,
        layers=(below, layer),
        entrypoint=("rootlesskit", "buildkitd"),
        environment=ENVIRONMENT,
        user=f"{USER}:{USER}",
    )


def _programs(found: Found, unpacked: Path) -> Mapping[str, Entry]:
    busybox = found["busybox"] / "bin" / "busybox"
    return {
        **{f"usr/bin/{name}": Entry(source=found["buildkit"] / name) for name in PROGRAMS},
        "usr/bin/buildkit-runc": Entry(source=found["debian"] / "usr/sbin/runc"),
        **{
            f"usr/bin/{name}": Entry(
                source=unpacked / "usr/bin" / name, capabilities=capability(number)
            )
            for name, number in MAPPERS.items()
        },
        f"{APPLETS}/busybox": Entry(source=busybox),
        **{f"{APPLETS}/{name}": Entry(link="busybox") for name in BUSYBOX},
    }


def _places() -> Mapping[str, Entry]:
    ids = Entry(content=b"user:100000:65536\n", mode=0o644)
    person = f"root:x:0:0:root:/root:/bin/sh\nuser:x:{USER}:{USER}::/{HOME}:/bin/sh\n"
    group = f"root:x:0:\nuser:x:{USER}:\n"
    own = [HOME, f"{HOME}/.local", f"{HOME}/.local/share", f"{HOME}/.local/tmp", STATE, RUNTIME]
    return {
        "etc/subuid": ids,
        "etc/subgid": ids,
        "etc/passwd": Entry(content=person.encode(), mode=0o644),
        "etc/group": Entry(content=group.encode(), mode=0o644),
        **{path: Entry(owner=USER) for path in own},
    }


def capability(number: int) -> bytes:
    """Spell the attribute of a file whose process has one capability from the start on.

    Version 2 of capabilities(7): effective, then permitted and inheritable, twice 32 bits each.
    """
    words = (0x02000001, 1 << number, 0, 0, 0)
    return b"".join(word.to_bytes(4, "little") for word in words)

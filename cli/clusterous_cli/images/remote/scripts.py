"""What is said to the builder on the cluster, by way of its controller's kubectl. Pure.

The image has busybox and BuildKit, and no rsync. So the controller's is lent to it, with the
libraries that it loads: a program can be started by its loader wherever that lies.
"""

import base64
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from clusterous_cli.addons import builder
from clusterous_cli.boot.bootstrap import FACTS
from clusterous_cli.images.context import taken
from clusterous_cli.reach import ssh

# By its path: sudo has one of its own, which differs between systems.
KUBECTL: Final = ("sudo", "/usr/local/bin/k3s", "kubectl", "--namespace", builder.SPACE)
CONTEXTS: Final = f"{builder.WORK}/contexts"
RECIPE: Final = "Containerfile"
CONTEXT: Final = "context"
# What the controller says that has no rsync.
WITHOUT: Final = "no-rsync"
# Before the one line that tells of an image; nothing else that is told begins so.
MADE: Final = "clusterous-made "
# By which a registry on the cluster is known, where the controller has it.
HOME: Final = "/etc/rancher/k3s"
AUTHORITY: Final = "registry-ca.crt"
# Between the parts of a list of files.
NEXT: Final = "="

# Says that the builder is at work for as long as what comes after it runs.
_BUSY: Final = (
    f"(while kill -0 $$; do touch {builder.USED}; sleep 10; done) </dev/null >/dev/null 2>&1 &\n"
)
_RSYNC: Final = (
    f"{_BUSY}cd {CONTEXTS} &&"
    f' exec {builder.TOOLS}/ld-* --library-path {builder.TOOLS} {builder.TOOLS}/rsync "$@"'
)
_READY: Final = (
    f"touch {builder.USED}; buildctl debug workers >/dev/null && test -s {builder.TRUSTED}"
)
_TAKE: Final = (
    f"set -e; rm -rf {builder.TOOLS}.new; mkdir {builder.TOOLS}.new; cd {builder.TOOLS}.new;"
    f" tar -x; [ ! -e {AUTHORITY} ] || cat {AUTHORITY} >>ca.pem; cd /;"
    f" rm -rf {builder.TOOLS}; mv {builder.TOOLS}.new {builder.TOOLS}"
)
_PREPARE: Final = (
    f"set -e; umask 077; touch {builder.USED}; mkdir -p {builder.SECRETS}/$2 {CONTEXTS}/$1;"
    f" cat >{builder.SECRETS}/$2/config.json; wc -c <{builder.SECRETS}/$2/config.json"
)
_UNPACK: Final = f"{_BUSY}mkdir $1 && tar -x -p -C $1"
_LIST: Final = f"""\
set -e
cd "$1"
find . -type d -exec stat -c '%f %n' {{}} +
echo {NEXT}
find . -type f -exec stat -c '%f %n' {{}} +
echo {NEXT}
find . -type f -exec sha256sum {{}} +
echo {NEXT}
find . -type l | while IFS= read -r link; do echo "$link"; readlink -n "$link"; echo; done
"""
# The copy stays for the next one to be compared with, and what was there before it goes.
_SOLVE: Final = f"""\
export DOCKER_CONFIG={builder.SECRETS}/$2
place={CONTEXTS}/$1
trap 'rm -rf "$DOCKER_CONFIG"' EXIT
{_BUSY}before=$(readlink "$place/last") || before=
ln -sfn "$2" "$place/last"
[ -z "$before" ] || rm -rf "$place/$before"
shift 2
buildctl build "$@" --metadata-file "$DOCKER_CONFIG/made" </dev/null || exit
printf '%s\\n' "{MADE}$(tr -d '\\n' <"$DOCKER_CONFIG/made")"
"""
_FORGET: Final = f"rm -rf {builder.SECRETS}/$2 {CONTEXTS}/$1/$2"


def inside(pod: str, script: str, *arguments: str, stdin: bool = False) -> str:
    """Spell a line for the controller's shell that runs *script* in the builder's container."""
    words = (*KUBECTL, "exec", *(["--stdin"] if stdin else []), pod, "--container", builder.NAME)
    return shlex.join((*words, "--", "sh", "-c", script, builder.NAME, *arguments))


def ready(pod: str) -> str:
    """Ask whether it builds, and has what is lent to it."""
    return inside(pod, _READY)


def lend(pod: str) -> str:
    """Give the builder the controller's rsync, if it has one, and whom the controller trusts."""
    return f"""\
set -e
rsync=$(command -v rsync) || rsync=
libraries=$([ -z "$rsync" ] || ldd "$rsync" | grep -o '/[^ ]*')
own=$(sudo ls {HOME}/{AUTHORITY} 2>/dev/null) || own=
sudo tar -chP --transform 's,.*/,,' -f - {FACTS}/ca.pem $own $rsync $libraries |
    {inside(pod, _TAKE, stdin=True)}
[ -n "$rsync" ] || echo {WITHOUT}
"""


def prepare(pod: str, name: str, key: str) -> str:
    """Make a place for a build of image *name*, and keep what comes by stdin to log in with.

    It says how many bytes came, which may be too few where a connection is just being made.
    """
    return inside(pod, _PREPARE, name, key, stdin=True)


def place(name: str, key: str) -> str:
    """Return the folder of a copy."""
    return f"{CONTEXTS}/{name}/{key}"


def rsync_argv(shell: str, to: str, pod: str, folder: str, name: str, key: str) -> list[str]:
    """Spell how *folder* gets to the builder: what the copy before it has, by content, is linked.

    *shell* is what rsync starts in the place of ssh, and *to* the host that this knows.
    """
    return ssh.rsync(
        shell, inside(pod, _RSYNC, stdin=True), [f"{folder.rstrip('/')}/"], f"{to}:{name}/{key}/",
        "--checksum", "--compress", "--link-dest=../last/",
    )  # fmt: skip


def unpack(pod: str, name: str, key: str) -> str:
    """Take a whole copy as an archive of tar."""
    return inside(pod, _UNPACK, place(name, key), stdin=True)


def listing(pod: str, name: str, key: str) -> str:
    """Read what the builder has of a copy; see `copies.read`."""
    return inside(pod, _LIST, place(name, key))


def solve(pod: str, name: str, key: str, asked: Sequence[str]) -> str:
    """Build a copy."""
    return inside(pod, _SOLVE, name, key, *asked)


def forget(pod: str, name: str, key: str) -> str:
    """Let go of a copy that is not built."""
    return inside(pod, _FORGET, name, key)


def asked(
    name: str, key: str, reference: str, cache: str, arguments: Mapping[str, str]
) -> list[str]:
    """Spell what BuildKit is asked: to build a copy, and to push it as *reference*.

    What it can use again lies in the registry as *cache*; where that cannot be written, the build
    has not failed.
    """
    there = place(name, key)
    given = [f"--opt=build-arg:{argument}={value}" for argument, value in sorted(arguments.items())]
    kept = "mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true"
    return [
        "--progress=plain",
        "--frontend=dockerfile.v0",
        f"--local=context={there}/{CONTEXT}",
        f"--local=dockerfile={there}",
        f"--opt=filename={RECIPE}",
        f"--opt=platform={taken.PLATFORM}",
        *given,
        f"--output=type=image,name={reference},push=true,oci-mediatypes=true",
        f"--import-cache=type=registry,ref={cache}",
        f"--export-cache=type=registry,ref={cache},{kept}",
    ]


def login(registry: str, user: str, password: str) -> str:
    """Spell what docker's tools read to log in."""
    told = base64.b64encode(f"{user}:{password}".encode()).decode()
    return json.dumps({"auths": {registry: {"auth": told}}})


def digest(line: str) -> str | None:
    """Return the digest of what was made, if that is what the builder tells by this *line*."""
    if not line.startswith(MADE):
        return None
    return str(json.loads(line.removeprefix(MADE))["containerimage.digest"])

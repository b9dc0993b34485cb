"""Builds a copy of a folder on the cluster: it is sent, read there, and built as what was read."""

import hashlib
import secrets
import tarfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from clusterous_api.errors import ClusterousError, FailedError, TransientError
from clusterous_cli.images.context.taken import Taken
from clusterous_cli.images.remote import copies, desk, scripts
from clusterous_cli.images.remote.desk import Desk
from clusterous_cli.reach import ssh
from clusterous_cli.system import shell, verbosity

Tell = Callable[[str], None]
TRIES: Final = 3
# Of what a builder says, so much is shown when it failed.
LINES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is built of a copy: image *name*, pushed as *reference*, with its *cache* beside it.

    *login* is what is written for docker's tools, good for hours.
    """

    name: str
    reference: str
    cache: str
    login: str


def build(at: Desk, copy: Taken, order: Order, tell: Tell) -> str:
    """Build and push *copy*; return the image's digest. The builder says each line to *tell*."""
    copies.check(copy.entries)
    with _sent(at, copy, order, tell) as key:
        asked = scripts.asked(order.name, key, order.reference, order.cache, copy.source.arguments)
        return _solved(at, scripts.solve(at.pod, order.name, key, asked), tell)


@contextmanager
def _sent(at: Desk, copy: Taken, order: Order, tell: Tell) -> Iterator[str]:
    """Have a copy at the builder that is what its tag says, by what the builder reads of it.

    What breaks off on its way, or arrives as something else, is sent again.
    """
    reason: ClusterousError = FailedError(
        f"What arrived of {copy.source.folder} at the cluster's builder was not what had been sent"
        f" ({TRIES} times); nothing was built of it."
    )
    for _ in range(TRIES):
        key = secrets.token_hex(8)
        try:
            is_whole = _tried(at, copy, order, key, tell)
        except (TransientError, shell.CommandFailed) as error:
            reason = error
            continue
        if is_whole:
            yield key
            return
        at.run(scripts.forget(at.pod, order.name, key))
    raise reason


def _tried(at: Desk, copy: Taken, order: Order, key: str, tell: Tell) -> bool:
    came = at.run(scripts.prepare(at.pod, order.name, key), stdin=order.login)
    if came.strip() != str(len(order.login.encode())):
        return False
    tell("sending the folder")
    _send(at, copy.context.parent, order.name, key)
    return is_there(copy, _listed(at, order.name, key))


def is_there(copy: Taken, said: bytes) -> bool:
    """Whether what the builder *said* that it reads has the tag of the copy, and its recipe."""
    recipe, inside = copies.within(copies.read(said))
    written = hashlib.sha256(copy.recipe.read_bytes()).digest()
    return recipe == written and copy.tag_of(inside) == copy.tag


def _send(at: Desk, folder: Path, name: str, key: str) -> None:
    access = at.session.access
    if not at.has_rsync:
        argv = ssh.argv(access, ssh.CONTROLLER, scripts.unpack(at.pod, name, key))
        shell.feed(argv, lambda stream: _pack(stream, folder))
        return
    shell.fitting("rsync")
    rsh, pod = ssh.remote_shell(access), at.pod
    argv = scripts.rsync_argv(rsh, ssh.CONTROLLER, pod, str(folder), name, key)
    status, out, err = shell.outcome(argv)
    if status != 0:
        said = (err or out).strip()
        raise TransientError(
            f"The folder did not reach the cluster's builder (rsync, status {status}): {said}"
        )


def _pack(stream: IO[bytes], folder: Path) -> None:
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        archive.add(folder, arcname=".", filter=ssh.nobodys)


def _listed(at: Desk, name: str, key: str) -> bytes:
    line = scripts.listing(at.pod, name, key)
    argv = ssh.argv(at.session.access, ssh.CONTROLLER, line)
    return shell.drain(argv, lambda stream: stream.read())


def _solved(at: Desk, line: str, tell: Tell) -> str:
    said: deque[str] = deque(maxlen=LINES)
    made: list[str] = []

    def hear(text: str) -> None:
        if digest := scripts.digest(text):
            made.append(digest)
            return
        verbosity.heard(text)
        said.append(text)
        tell(text)

    status = shell.stream(ssh.argv(at.session.access, ssh.CONTROLLER, line), hear)
    if status == 0 and made:
        return made[-1]
    ended = desk.ended(at.session)
    why = f"the builder ended: {ended}" if ended else f"status {status}"
    shown = "\n".join(f"    {text}" for text in said)
    raise FailedError(f"The image could not be built on the cluster ({why}):\n{shown}")

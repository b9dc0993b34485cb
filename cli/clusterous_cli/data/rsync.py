"""rsync: what it is asked, what it says while and after it works; it goes on after a cut."""

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from clusterous_api.errors import FailedError
from clusterous_cli.data import confined, links
from clusterous_cli.reach import ssh
from clusterous_cli.system import shell
from clusterous_cli.terminal import spell

Tell = Callable[[str], None]
Sleep = Callable[[float], None]

# rsync's statuses that mean: the connection broke, what arrived is kept.
BROKEN: Final = frozenset({10, 12, 20, 30, 35, 255})
# After each break that brought nothing more it is tried again so many seconds later, and then no
# more.
PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
# And those that mean: it did not understand what we asked. Then the first lines say it.
NOT_UNDERSTOOD: Final = frozenset({1, 2, 4})
# Files went while they were read, as those of a program that runs do; all others are there.
VANISHED: Final = 24
# Of what rsync says, the names of files, which are no words of trouble.
NAMED: Final = "name: "
LINES: Final = 5
# What is cut short waits in a folder of its own, so that no program takes half a file for a whole.
PARTIAL: Final = ".rsync-partial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What rsync says about the whole transfer."""

    bytes: int
    percent: int
    rate: str
    left: str

    def __str__(self) -> str:
        whole = f" of {spell.size(self.bytes * 100 / self.percent)}" if self.percent else ""
        done = f"{self.percent} %  {spell.size(self.bytes)}{whole}"
        return f"{done}  {self.rate}  {self.left} left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How a transfer differs from the usual: all that is new or changed, and nothing else."""

    exclude: tuple[str, ...] = ()
    delete: bool = False
    checksum: bool = False  # compare contents, and no more sizes and times

    @property
    def options(self) -> tuple[str, ...]:
        # In the order that counts: the first pattern that fits decides.
        return (
            *(f"--exclude={pattern}" for pattern in self.exclude),
            *(("--delete",) if self.delete else ()),
            *(("--checksum",) if self.checksum else ()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a transfer did: how much there was, how much of it travelled, and what did not."""

    files: int = 0
    bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    deleted: int = 0
    left: tuple[links.Link, ...] = ()
    vanished: bool = False
    is_counted: bool = True  # a tar counts nothing
    new: tuple[str, ...] = ()  # these three only where it was asked what it would do
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    def __add__(self, other: "Done") -> "Done":
        return Done(
            files=self.files + other.files,
            bytes=self.bytes + other.bytes,
            sent=self.sent + other.sent,
            sent_bytes=self.sent_bytes + other.sent_bytes,
            deleted=self.deleted + other.deleted,
            left=self.left + other.left,
            vanished=self.vanished or other.vanished,
            is_counted=self.is_counted and other.is_counted,
            new=self.new + other.new,
            changed=self.changed + other.changed,
            gone=self.gone + other.gone,
        )

    def __str__(self) -> str:
        if not self.is_counted:
            return "all of it"
        whole = f"{spell.plural(self.files, 'file')}, {spell.size(self.bytes)}"
        sent = f"{self.sent} new or changed ({spell.size(self.sent_bytes)})"
        deleted = f", {self.deleted} deleted" if self.deleted else ""
        return f"{whole}; {sent if self.sent else 'nothing new'}{deleted}"


# -- pure -----------------------------------------------------------------------------------


def progress(line: str) -> Progress | None:
    """Read a line of `rsync --info=progress2`."""
    found = re.match(r"\s*([\d,.]+)\s+(\d+)%\s+(\S+/s)\s+(\d+:\d\d:\d\d)", line)
    if found is None:
        return None
    count, percent, rate, left = found.groups()
    return Progress(bytes=int(re.sub(r"\D", "", count)), percent=int(percent), rate=rate, left=left)


def argv(access: ssh.Access, sources: Sequence[str], destination: str, *more: str) -> list[str]:
    """The command line with *more* options; remote paths begin with `controller:`."""
    told = ("--info=progress2", "--stats", "--no-inc-recursive")
    return ssh.rsync(
        ssh.remote_shell(access), confined.program("rsync"), sources, destination,
        f"--partial-dir={PARTIAL}", *told, *more,
    )  # fmt: skip


def remote(path: str) -> str:
    return f"{ssh.CONTROLLER}:{path}"


# What it would do, and does not.
DRY: Final = ("--dry-run", f"--out-format={NAMED}%i %n")

_STATS: Final = {
    "files": re.compile(r"Number of files: [\d,]+ \(reg: ([\d,]+)"),
    "bytes": re.compile(r"Total file size: ([\d,]+)"),
    "sent": re.compile(r"Number of regular files transferred: ([\d,]+)"),
    "sent_bytes": re.compile(r"Total transferred file size: ([\d,]+)"),
    "deleted": re.compile(r"Number of deleted files: ([\d,]+)"),
}
_STATS_OF_ALL: Final = re.compile(
    r"(Number of|Total|Literal data|Matched data|File list|sent [\d,]+ bytes|total size is) ?"
)


@dataclass(slots=True)
class Heard:
    """What one rsync says, line by line, sorted out."""

    percent: int = 0
    first: list[str] = field(default_factory=list)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LINES))
    _numbers: dict[str, int] = field(default_factory=dict)
    _left: list[links.Link] = field(default_factory=list)
    _items: list[tuple[str, str]] = field(default_factory=list)

    def hear(self, line: str) -> Progress | None:
        """Take in a line; return how far it is, where the line says that."""
        now, link = progress(line), links.left_out(line)
        if now is not None:
            self.percent = max(self.percent, now.percent)
        elif link is not None:
            self._left.append(link)
        elif line.startswith(NAMED):
            self._items.append(_item(line.removeprefix(NAMED)))
        elif _STATS_OF_ALL.match(line):
            found = ((key, pattern.match(line)) for key, pattern in _STATS.items())
            self._numbers |= {key: int(one[1].replace(",", "")) for key, one in found if one}
        else:
            (self.first if len(self.first) < LINES else self.last).append(line.strip())
        return now

    @property
    def words(self) -> list[str]:
        return [*self.first, *self.last]

    def ended(self, status: int) -> Done:
        """What it did, by all that it said."""
        new, changed, gone = _sorted(self._items)
        return Done(
            files=self._numbers.get("files", 0),
            bytes=self._numbers.get("bytes", 0),
            sent=self._numbers.get("sent", 0),
            sent_bytes=self._numbers.get("sent_bytes", 0),
            deleted=self._numbers.get("deleted", 0),
            left=tuple(self._left),
            vanished=status == VANISHED,
            new=new,
            changed=changed,
            gone=gone,
        )


def _item(text: str) -> tuple[str, str]:
    """Read `%i %n`: what is done to a file, and its name."""
    kind, _, name = text.partition(" ")
    return kind, name.strip() if kind == "*deleting" else name


def _sorted(items: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Divide *items* into what is new, changed and gone; folders and modes are no news."""
    new: list[str] = []
    changed: list[str] = []
    gone: list[str] = []
    for kind, name in items:
        if kind == "*deleting":
            gone.append(name)
        elif kind[:1] in "<>" or kind[:2] == "cL":
            (new if kind.endswith("+") else changed).append(name)
    return [tuple(new), tuple(changed), tuple(gone)]


def failure(status: int, said: Sequence[str], full: str) -> str:
    """What a failed rsync means, and what to do; *full* is where it wrote to."""
    shown = said[:LINES] if status in NOT_UNDERSTOOD else said[-LINES:]
    words = "\n".join(f"    {line}" for line in shown)
    if _is_full(said):
        return f"There is no space left {full}.\n{words}"
    if status in BROKEN:
        return f"The connection broke; the same command goes on where it stopped.\n{words}"
    return f"Not everything was copied (rsync, status {status}).\n{words}"


def _is_full(said: Sequence[str]) -> bool:
    return any("No space left" in line for line in said)


# -- acting ---------------------------------------------------------------------------------


def run(
    argv: list[str],
    tell: Tell,
    full: str,
    *,
    warn: Tell | None = None,
    sleep: Sleep = time.sleep,
) -> Done:
    """Run rsync to its end, again where the connection broke and more came each time.

    *full* is where there is no space where none is left; *warn* hears of breaks, whatever *tell*
    passes over.
    """
    furthest, pauses = 0, iter(PAUSES)
    while True:
        status, heard = _once(argv, tell)
        if status in (0, VANISHED):
            return heard.ended(status)
        if heard.percent > furthest:
            furthest, pauses = heard.percent, iter(PAUSES)
        goes_on = status in BROKEN and not _is_full(heard.words)
        pause = next(pauses, None) if goes_on else None
        if pause is None:
            raise FailedError(failure(status, heard.words, full))
        (warn or tell)(f"the connection broke; going on in {pause:.0f} s")
        sleep(pause)


def _once(argv: list[str], tell: Tell) -> tuple[int, Heard]:
    heard = Heard()

    def hear(line: str) -> None:
        if (now := heard.hear(line)) is not None:
            tell(str(now))

    # In another language numbers have other signs.
    return shell.stream(argv, hear, env={"LC_ALL": "C"}), heard

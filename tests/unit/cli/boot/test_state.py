"""The controller's boot and the volume of its state: a file as the device, the real mkfs on it."""

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from clusterous_cli.boot import bootstrap
from clusterous_cli.boot.templates import datastore
from clusterous_cli.cluster.payload import BEGUN, STATE
from tests import programs

pytestmark = programs.needs("mkfs.ext4", "blkid")

TEMPLATES = Path(datastore.__file__).parent
MIB = 1 << 20
SIZE = 160 * MIB
VOLUME = "vol-0123456789abcdef0"
LINK = "dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0"
WITNESS = 127 * MIB

# The bucket is a folder, a mount only shows itself, and a laptop marks what it is told of.
FAKES = """
ROOT={root} STATE={root}/run LIB={lib} NOTHING=e3 BUCKET=reef INSTANCE=i-1
FETCH_TRIES=3 FETCH_PAUSE=0
digest() {{ echo hash; }}
rest() {{ {rests}; }}
phase() {{
    echo "phase: $1"
    if [ -e "$STATE/state.json" ] && {marks}; then sed -i s/=no/=yes/ "$ROOT/bucket/{state}"; fi
}}
s3() {{
    [ "$1" = GET ] || {{ cp "${{5#@}}" "$ROOT/bucket/$2"; return; }}
    case $* in *http_code*)
        {answers} || {{ printf 000; return 6; }}
        [ -e "$ROOT/bucket/$2" ] && printf 200 || {{ printf 403; return 22; }}
        return ;;
    esac
    cp "$ROOT/bucket/$2" "$5"
}}
fetch() {{ echo "fetch $1" && cp "$ROOT/bucket/$1" "$3" 2>/dev/null; }}
blockdev() {{ stat -c %s "$2"; }}
mountpoint() {{ false; }}
mount() {{ echo "mount $*"; }}
umount() {{ echo "umount $*"; }}
df() {{ cat "$ROOT/df" 2>/dev/null; }}
fallocate() {{ echo "$2" >"$3"; }}
"""


class Machine:
    """A controller that boots, with its bucket."""

    def __init__(self, root: Path, *, marked: bool = False) -> None:
        self.root = root
        (root / "run").mkdir()
        (root / "bucket/server").mkdir(parents=True)
        (root / "dev/disk/by-id").mkdir(parents=True)
        self.device = root / "dev/nvme1n1"
        with self.device.open("wb") as file:
            file.truncate(SIZE)
        self.note(marked)

    def note(self, marked: bool, more: str = "") -> None:
        words = f"id={VOLUME}\nmarked={'yes' if marked else 'no'}\n{more}"
        (self.root / "bucket" / STATE).write_text(words)

    def attach(self) -> None:
        (self.root / LINK).symlink_to(self.device)

    def boot(
        self, *, marks: bool = True, answers: bool = True, then: str = "", attached: bool = True,
        rests: str = ":",
    ) -> list[str]:  # fmt: skip
        if attached and not (self.root / LINK).exists():
            self.attach()
        steps = f"(set -e; keep_state; {then}:); echo code $?"
        return self.said(steps, marks=marks, answers=answers, rests=rests).splitlines()

    def said(
        self, steps: str, *, marks: bool = True, answers: bool = True, rests: str = ":"
    ) -> str:
        text = bootstrap.state_script()
        fakes = FAKES.format(
            root=self.root,
            lib=TEMPLATES,
            state=STATE,
            marks=str(marks).lower(),
            answers=str(answers).lower(),
            rests=rests,
        )
        # Where things are is known before the script is read, as on a machine.
        places, _, rest = fakes.strip().partition("\n")
        argv = ["sh", "-uc", f"{places}\n{text}\n{rest}\n{steps}"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.replace(str(self.root), "")

    def write(self, at: int, what: bytes) -> None:
        with self.device.open("r+b") as file:
            file.seek(at)
            file.write(what)

    def datastore(self, content: str = "SQLite") -> None:
        """Lie on the volume, when it is mounted."""
        folder = self.root / bootstrap.KEPT[1:] / "db"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "state.db").write_text(content)

    @property
    def kind(self) -> str:
        argv = ["blkid", "-p", "-o", "value", "-s", "TYPE", str(self.device)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.stdout.strip()


MOUNTED = f"mount -t ext4 -o nosuid,nodev,noatime /dev/nvme1n1 {bootstrap.KEPT}"
WAITS = "phase: waiting for its state volume"


def test_a_blank_volume_is_formatted_marked_and_then_mounted(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    assert machine.boot() == [WAITS, WAITS, MOUNTED, "code 0"]

    assert machine.kind == "ext4"
    said = (tmp_path / "run/state.json").read_text()
    assert said == f'{{"volume":"{VOLUME}","phase":"mounted"}}'
    folder = tmp_path / bootstrap.KEPT[1:]
    assert oct((folder / "db").stat().st_mode & 0o777) == oct(folder.stat().st_mode & 0o777)
    with machine.device.open("rb") as file:
        file.seek(WITNESS)
        assert not any(file.read(MIB))


def test_nothing_is_mounted_before_it_is_marked(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    said = machine.boot(marks=False)

    assert said == [WAITS, WAITS, f"nobody marked {VOLUME} as formatted", "code 1"]
    assert (tmp_path / "run/state.json").read_text() == f'{{"volume":"{VOLUME}","phase":"made"}}'
    before = machine.device.read_bytes()
    assert machine.boot()[-2:] == [MOUNTED, "code 0"]
    assert machine.device.read_bytes() == before  # it was not made once more


def test_a_marked_volume_is_mounted_as_it_is(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.boot()
    machine.datastore()
    before = machine.device.read_bytes()

    assert machine.boot() == [WAITS, MOUNTED, "code 0"]
    assert machine.device.read_bytes() == before


@pytest.mark.parametrize("larger", [0, SIZE], ids=["", "grown since"])
def test_a_file_system_that_was_cut_short_is_made_anew(tmp_path: Path, larger: int) -> None:
    machine = Machine(tmp_path)
    machine.write(WITNESS, f"clusterous begins {VOLUME}\n".encode().ljust(MIB, b"\0"))
    machine.write(8192, b"half of a table")
    os.truncate(machine.device, SIZE + larger)

    assert machine.boot() == [WAITS, WAITS, MOUNTED, "code 0"]
    assert machine.kind == "ext4"


@pytest.mark.parametrize("gib", [8, 64])
def test_mkfs_leaves_what_says_that_it_was_begun(tmp_path: Path, gib: int) -> None:
    machine = Machine(tmp_path)
    machine.write(WITNESS, f"clusterous begins {VOLUME}\n".encode().ljust(MIB, b"\0"))
    os.truncate(machine.device, gib << 30)
    mkfs = str(programs.path("mkfs.ext4"))
    options = ("-q", "-F", "-E", "nodiscard", "-m", "0", "-L", "clusterous")  # as the boot's
    subprocess.run([mkfs, *options, str(machine.device)], check=True)

    # All of it may be there, and the cut came just before what was begun was said to have ended.
    assert machine.kind == "ext4"
    said = machine.said(f"device=$ROOT/dev/nvme1n1 volume={VOLUME}; is_begun && echo so")
    assert said == "so\n"


@pytest.mark.parametrize("at", [0, 8192, SIZE - 1])
def test_what_is_not_blank_is_not_formatted(tmp_path: Path, at: int) -> None:
    machine = Machine(tmp_path)
    machine.write(at, b"\n")
    before = machine.device.read_bytes()

    said = machine.boot()

    assert said[1:] == [
        f"{VOLUME} is neither blank nor does it hold a file system of ours. It is not formatted.",
        "code 1",
    ]
    assert machine.device.read_bytes() == before


def test_a_marked_volume_that_is_blank_or_damaged_is_never_formatted(tmp_path: Path) -> None:
    machine = Machine(tmp_path, marked=True)
    before = machine.device.read_bytes()

    said = machine.boot()

    assert said[1] == (
        f"{VOLUME} was formatted, and nothing is found on it. It is not touched: mend it, or"
    )
    assert said[-1] == "code 1"
    assert machine.device.read_bytes() == before


def test_a_volume_that_does_not_come_is_told(tmp_path: Path) -> None:
    said = Machine(tmp_path).boot(attached=False)

    assert said == [
        WAITS,
        f"{VOLUME}, which has the state, is not attached to this machine",
        "code 1",
    ]


def test_a_volume_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    comes = f"ln -s {machine.device} {tmp_path / LINK}"

    said = machine.boot(attached=False, rests=comes)

    assert said == [WAITS, WAITS, MOUNTED, "code 0"]


@pytest.mark.parametrize("marked", [False, True], ids=["new", "marked"])
def test_a_volume_that_cannot_be_read_is_not_formatted(tmp_path: Path, marked: bool) -> None:
    machine = Machine(tmp_path, marked=marked)
    machine.device.unlink()
    machine.device.mkdir()  # to read it is an error, as of a sick device

    said = machine.boot()

    assert said[-1] == "code 1"
    assert ("It is not touched" if marked else "It is not formatted") in " ".join(said)
    assert not any("mount" in line for line in said)


@pytest.mark.parametrize("marked", [False, True], ids=["its mark is lost", "marked"])
def test_a_volume_whose_beginning_was_overwritten_is_not_formatted(
    tmp_path: Path, marked: bool
) -> None:
    machine = Machine(tmp_path)
    machine.boot()
    machine.write(0, bytes(64 << 10))
    machine.note(marked)
    before = machine.device.read_bytes()

    said = machine.boot(marks=False)

    assert said[-1] == "code 1"
    assert ("It is not touched" if marked else "It is not formatted") in " ".join(said)
    assert machine.device.read_bytes() == before


def test_the_device_is_the_one_whose_card_has_the_number(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    card = tmp_path / "sys/class/block/nvme1n1/device"
    card.mkdir(parents=True)
    (card / "serial").write_text("vol0000000000000000  \n")

    assert "is not attached to this machine" in machine.boot()[1]
    (card / "serial").write_text("vol0123456789abcdef0 \n")
    assert machine.boot()[-1] == "code 0"


def test_where_a_datastore_has_begun_none_begins_anew(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.boot(then="tell_begun; ")[-1] == "code 0"
    begun = (tmp_path / "bucket" / BEGUN).read_text()
    assert begun.startswith(f"{VOLUME} i-1 ")

    said = machine.boot()
    assert said[2].startswith(f"There is no datastore on {VOLUME}, and this cluster has one")
    assert said[-2:] == [f"umount {bootstrap.KEPT}", "code 1"]

    machine.root.joinpath(bootstrap.KEPT[1:], "db").rmdir()
    machine.datastore("")
    assert machine.boot()[-1] == "code 1"
    machine.root.joinpath(bootstrap.KEPT[1:], "db/state.db").write_text("SQLite")
    assert machine.boot(then="tell_begun; ")[-1] == "code 0"
    assert (tmp_path / "bucket" / BEGUN).read_text() == begun


def test_a_bucket_that_does_not_answer_is_nobodys_leave_to_begin(tmp_path: Path) -> None:
    said = Machine(tmp_path).boot(answers=False)

    assert said[-3:] == [
        "the bucket reef does not answer whether a datastore has begun",
        f"umount {bootstrap.KEPT}",
        "code 1",
    ]


# -- room that a full volume gets ----------------------------------------------------------------


def left(machine: Machine, mib: int) -> None:
    """Let so many MiB be free on the volume, of 8,000."""
    (machine.root / "df").write_text(
        "Filesystem 1024-blocks Used Available Capacity Mounted on\n"
        f"/dev/nvme1n1 8192000 {(8000 - mib) * 1024} {mib * 1024} 1% /var/lib/rancher\n"
    )


def test_a_controller_whose_volume_is_full_gets_the_room_that_was_reserved_there(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path, marked=False)
    reserve = tmp_path / bootstrap.KEPT[1:] / "reserve"
    left(machine, 7900)
    assert machine.boot()[-1] == "code 0"
    assert reserve.read_text() == "512MiB\n"

    left(machine, 64)
    machine.boot(then="keep_room; ")
    assert reserve.exists()

    left(machine, 63)
    assert machine.boot()[-1] == "code 0"
    assert not reserve.exists()

    for still in (575, 1023):  # what was given up is not taken for room
        left(machine, still)
        machine.boot(then="keep_room; ")
        assert not reserve.exists()
    left(machine, 1024)
    machine.boot()
    assert reserve.exists()


def test_where_nobody_knows_what_is_left_nothing_is_reserved(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    assert machine.boot()[-1] == "code 0"
    assert not (tmp_path / bootstrap.KEPT[1:] / "reserve").exists()


@pytest.mark.parametrize(
    ("free", "is_reserved", "full"),
    [(7400, True, 8), (64, True, 100), (575, False, 100), (1023, False, 94), (7900, False, 8)],
)
def test_what_is_reserved_counts_as_used_also_while_it_is_given_up(
    tmp_path: Path, free: int, is_reserved: bool, full: int
) -> None:
    machine = Machine(tmp_path)
    left(machine, free)
    reserve = tmp_path / bootstrap.KEPT[1:] / "reserve"
    reserve.parent.mkdir(parents=True)
    if is_reserved:
        reserve.touch()
    text = (TEMPLATES / "report.sh").read_text()
    kept = text[text.index("kept() {") : text.index("view() {")]

    assert machine.said(f"{kept}\nkept") == f',"kept":{full}'


# -- snapshots ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "told"),
    [("1", ""), ("1 1", "no room 2\n"), ("1 1 1", "no room 3\n"), ("1 1 0", ""), ("1 0 1", "")],
)
def test_that_nothing_is_saved_any_more_is_told(tmp_path: Path, ends: str, told: str) -> None:
    machine = Machine(tmp_path)
    library = tmp_path / "lib"
    library.mkdir()
    (library / "snapshot.sh").write_text(
        f"cd {tmp_path}; echo >>tries; n=$(wc -l <tries); set -- {ends}; shift $((n - 1))\n"
        'echo "no room $n"; exit "$1"\n'
    )
    tries = len(ends.split())
    stop = f'sleep() {{ [ "$(wc -l <{tmp_path}/tries)" -lt {tries} ] || exit 0; }}'

    machine.said(f"LIB={library}; {stop}; (follow_snapshots)")

    trouble = tmp_path / "run/snapshot.trouble"
    assert (trouble.read_text() if trouble.exists() else "") == told


# -- a snapshot to begin with -------------------------------------------------------------------


def ordered(machine: Machine) -> str:
    """Put a snapshot into the bucket, and the order to begin with it; return its key."""
    folder = machine.root / "elsewhere"
    folder.mkdir()
    token = machine.root / "etc/rancher/k3s/token"
    token.parent.mkdir(parents=True)
    token.write_text("a-token")
    with closing(sqlite3.connect(folder / "state.db")) as base:
        base.execute(f"CREATE TABLE kine ({COLUMNS})")
        base.execute(
            "INSERT INTO kine VALUES (1, '/registry/minions/old', 1, 0, 0, 0, 0, x'', x'')"
        )
        base.execute("INSERT INTO kine VALUES (2, '/registry/a', 1, 0, 0, 0, 0, x'00', x'')")
        base.commit()
    datastore.save(folder / "state.db", token, folder / "snapshot", {})
    key = bootstrap.restored((folder / "snapshot").read_bytes()).key
    (machine.root / "bucket" / key).parent.mkdir()
    (folder / "snapshot").rename(machine.root / "bucket" / key)
    machine.note(False, f"restore={key.split('/')[1]}\n")
    return key


COLUMNS = (
    "id INTEGER PRIMARY KEY AUTOINCREMENT, name, created, deleted, create_revision,"
    " prev_revision, lease, value, old_value"
)


def known(machine: Machine) -> list[str]:
    with closing(sqlite3.connect(machine.root / bootstrap.KEPT[1:] / "db/state.db")) as base:
        return [row[0] for row in base.execute("SELECT name FROM kine WHERE deleted = 0")]


def test_a_new_life_begins_with_a_snapshot_and_then_goes_on(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    key = ordered(machine)

    said = machine.boot(then="tell_begun; ")

    restored = "1 objects of before removed, 0 apps suspended"
    assert said[-5:] == [
        MOUNTED,
        "phase: restoring from a snapshot",
        f"fetch {key}",
        restored,
        "code 0",
    ]
    assert known(machine) == ["/registry/a"]
    folder = tmp_path / bootstrap.KEPT[1:] / "db"
    assert [path.name for path in folder.iterdir()] == ["state.db"]
    # What came since is not undone by the order, which is still there.
    assert machine.boot()[-2:] == [MOUNTED, "code 0"]


def test_where_a_datastore_has_begun_no_snapshot_takes_its_place(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    ordered(machine)
    (tmp_path / "bucket" / BEGUN).write_text("begun")

    said = machine.boot()

    assert said[3].startswith(f"There is no datastore on {VOLUME}, and this cluster has one")
    assert said[-1] == "code 1"


def test_without_the_snapshot_nothing_begins(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "bucket" / ordered(machine)).unlink()

    said = machine.boot()

    assert said[-2:] == [f"umount {bootstrap.KEPT}", "code 1"]
    assert list((tmp_path / bootstrap.KEPT[1:] / "db").iterdir()) == []


def test_an_order_that_is_not_whole_is_none(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.note(False, "restore=$(reboot)\n")

    assert machine.boot()[-2] == "nobody said which volume has the state of this controller"

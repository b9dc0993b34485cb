#!/usr/bin/python3
"""k3s' datastore (kine on SQLite) into a snapshot, and out of one into a new life.

Runs on the controller, by what its image has for cloud-init: Python 3.9 or later, nothing else.

    datastore.py save DATABASE TOKEN SNAPSHOT FACT=VALUE...
    datastore.py restore SNAPSHOT DATABASE TOKEN

A snapshot is a tar.gz of `about.json` (first, so that its first bytes tell what it is), `token` and
`state.db`. It is as secret as the whole cluster. What Kubernetes keeps under a key is the newest
row of that name; custom resources are JSON, all others protobuf, which is only looked into here.
"""

import io
import json
import os
import sqlite3
import stat
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path
from typing import IO

FORMAT = 1
OURS = stat.S_IRUSR | stat.S_IWUSR
APPS = "/registry/clusterous.io/clusterousapps/"
# What belongs to machines that are no more, with their leases and addresses; pods are on machines.
MACHINES = (
    "/registry/csinodes/",
    "/registry/leases/",
    "/registry/masterleases/",
    "/registry/minions/",
    "/registry/pods/",
    "/registry/volumeattachments/",
)
# The addresses behind services, where Kubernetes makes them of pods itself: by the mark they bear.
ADDRESSES = {
    "/registry/endpointslices/": (
        b"endpointslice-controller.k8s.io",
        b"endpointslicemirroring-controller.k8s.io",
    ),
    "/registry/services/endpoints/": (
        b"endpoints.kubernetes.io/managed-by\x12\x13endpoint-controller",
    ),
}
OF_THE_API = ("endpointslices/default/kubernetes", "services/endpoints/default/kubernetes")
SECRETS = "/registry/secrets/kube-system/"
PASSWORD = ".node-password.k3s"  # each machine has one of its own
CERTIFICATE = f"{SECRETS}k3s-serving"  # for addresses of before, by authorities of before
# What the operator made of an app, and makes anew: it would run before the operator sees the app.
WORKLOADS = tuple(f"/registry/{kind}/" for kind in ("deployments", "jobs", "replicasets"))
MADE_BY_US = b"\x1capp.kubernetes.io/managed-by\x12\x13clusterous-operator"
# k3s keeps its authorities there, locked with the token.
BOOTSTRAP = "/bootstrap/"


class Unusable(Exception):
    """The snapshot or the database is none that can be used."""


# -- what becomes of what is kept: pure --------------------------------------------------------


def is_of_before(key: str, value: bytes) -> bool:
    """Whether what is kept under *key* is of the machines of before, or would run by itself."""
    if key.startswith(MACHINES) or key == CERTIFICATE:
        return True
    if key.startswith(SECRETS) and key.endswith(PASSWORD):
        return True
    if key in tuple(f"/registry/{one}" for one in OF_THE_API):
        return True
    if key.startswith(WORKLOADS):
        return MADE_BY_US in value
    return any(
        key.startswith(where) and any(mark in value for mark in marks)
        for where, marks in ADDRESSES.items()
    )


def suspended(value: bytes) -> bytes:
    """Return an app as one that nothing runs of until its user says so."""
    try:
        app = json.loads(value)
        spec, metadata = app["spec"], app["metadata"]
        if spec.get("suspend") is True:
            return value
        changed = {
            **app,
            "metadata": {**metadata, "generation": int(metadata.get("generation", 0)) + 1},
            "spec": {**spec, "suspend": True},
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unusable(f"an app is not kept in the form that is known: {error!r}") from error
    return json.dumps(changed, separators=(",", ":")).encode() + b"\n"


# -- the database --------------------------------------------------------------------------------


def copied(database: Path, target: Path) -> None:
    """Copy a database that may be in use, as of one moment, and look whether the copy is whole."""
    if not database.is_file():
        raise Unusable(f"there is no datastore {database}")
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it
        check(copy)


def check(base: sqlite3.Connection) -> None:
    """Refuse a database that is damaged, or is none of kine's."""
    try:
        said = [str(row[0]) for row in base.execute("PRAGMA quick_check(1)")]
        base.execute("SELECT MAX(id) FROM kine").fetchone()
    except sqlite3.DatabaseError as error:
        raise Unusable(f"the datastore cannot be read: {error}") from error
    if said != ["ok"]:
        raise Unusable(f"the datastore is damaged: {said[0]}")


def renew(base: sqlite3.Connection, *, locked_alike: bool) -> dict[str, int]:
    """Begin a new life with what is in *base*: nothing of the machines of before, apps suspended.

    *locked_alike*: this cluster has the token that k3s' own authorities were locked with.
    """
    (newest,) = base.execute("SELECT MAX(id) FROM kine").fetchone()
    rows = base.execute(
        "SELECT id, name, value FROM kine WHERE deleted = 0 AND id IN"
        " (SELECT MAX(id) FROM kine GROUP BY name)"
    ).fetchall()
    gone, halted = [], 0
    for id, key, value in rows:
        value = bytes(value or b"")
        if is_of_before(key, value) or (key.startswith(BOOTSTRAP) and not locked_alike):
            gone.append(key)
        elif key.startswith(APPS) and (changed := suspended(value)) != value:
            base.execute("UPDATE kine SET value = ? WHERE id = ?", (changed, id))
            halted += 1
    base.executemany("DELETE FROM kine WHERE name = ?", [(key,) for key in gone])
    # Revisions go on from where they were, and without a gap: this is how kine itself fills one.
    base.execute(
        "INSERT OR IGNORE INTO kine (id, name, created, deleted, create_revision, prev_revision,"
        " lease) VALUES (?, ?, 0, 1, 0, 0, 0)",
        (newest, f"gap-{newest}"),
    )
    return {"removed": len(gone), "suspended": halted}


# -- snapshots -----------------------------------------------------------------------------------


def save(database: Path, token: Path, snapshot: Path, facts: dict[str, str]) -> None:
    """Write a snapshot of a datastore that may be in use."""
    with tempfile.TemporaryDirectory(dir=snapshot.parent) as folder:
        copy = Path(folder) / "state.db"
        copied(database, copy)
        about = {"format": FORMAT, **facts, "bytes": copy.stat().st_size}
        part = Path(folder) / "part"
        with tarfile.open(part, "w:gz", compresslevel=6, format=tarfile.USTAR_FORMAT) as archive:
            _add(archive, "about.json", json.dumps(about).encode())
            _add(archive, "token", token.read_bytes())
            archive.add(copy, "state.db", filter=_nobodys)
        part.replace(snapshot)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), OURS
    archive.addfile(entry, io.BytesIO(content))


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = OURS
    return entry


def restore(snapshot: Path, database: Path, token: Path) -> dict[str, int]:
    """Make the *database*, which must not be there, of a snapshot; the whole of it or nothing."""
    if database.exists():
        raise Unusable(f"there is a datastore already: {database}")
    part = database.with_name(f"{database.name}.part")
    # What lies beside, of another life, SQLite would play into this one.
    for path in (part, *beside(part), *beside(database)):
        path.unlink(missing_ok=True)
    before = _unpacked(snapshot, part)
    locked_alike = before.strip() == token.read_bytes().strip()
    with closing(sqlite3.connect(part)) as base:
        check(base)
        with base:
            done = renew(base, locked_alike=locked_alike)
        check(base)
    _flush(part)
    part.rename(database)
    _flush(database.parent)
    return done


def beside(database: Path) -> list[Path]:
    """Name the files that SQLite has beside a database."""
    return [database.with_name(database.name + end) for end in ("-wal", "-shm", "-journal")]


def _unpacked(snapshot: Path, target: Path) -> bytes:
    """Write the database of a snapshot to *target*, and return its token."""
    try:
        with tarfile.open(snapshot, "r:gz") as archive:
            about = json.loads(_content(archive, "about.json").read())
            if about.get("format") != FORMAT:
                raise Unusable(f"it is of format {about.get('format')}, not {FORMAT}")
            token = _content(archive, "token").read()
            source = _content(archive, "state.db")
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OURS), "wb") as file:
                while block := source.read(1 << 20):
                    file.write(block)
            return token
    except (tarfile.TarError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise Unusable(f"the snapshot cannot be read: {error}") from error


def _content(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    found = archive.extractfile(name)
    if found is None:
        raise Unusable(f"the snapshot has no {name}")
    return found


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def main(argv: list[str]) -> int:
    """Do what the words say; what is wrong is one line."""
    os.umask(0o077)
    try:
        if argv[:1] == ["save"] and len(argv) >= 4:
            database, token, snapshot = (Path(one) for one in argv[1:4])
            save(database, token, snapshot, dict(one.split("=", 1) for one in argv[4:]))
        elif argv[:1] == ["restore"] and len(argv) == 4:
            done = restore(*(Path(one) for one in argv[1:]))
            print(
                f"{done['removed']} objects of before removed, {done['suspended']} apps suspended"
            )
        else:
            print(__doc__, file=sys.stderr)
            return 2
    except (Unusable, OSError, sqlite3.Error) as error:
        print(f"{snapshot_or(argv)}: {error}")
        return 1
    return 0


def snapshot_or(argv: list[str]) -> str:
    """Name what was worked on."""
    return argv[3] if argv[0] == "save" else argv[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

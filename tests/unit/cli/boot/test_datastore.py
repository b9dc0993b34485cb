"""A snapshot of the datastore, and a new life of it: on a file as kine makes it."""

import ast
import json
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from clusterous_cli.boot.templates import datastore
from clusterous_cli.system import assets

# As kine 0.16 makes it.
SCHEMA = """
CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, created INTEGER,
    deleted INTEGER, create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB,
    old_value BLOB);
CREATE INDEX kine_name_index ON kine (name);
CREATE INDEX kine_name_id_index ON kine (name,id);
CREATE UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision);
"""
APP = f"{datastore.APPS}default/sweep"
PROTOBUF = b"k8s\x00\n"


class Kine:
    """A database that somebody writes, as kine does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.base = sqlite3.connect(path, isolation_level=None)
        self.base.execute("PRAGMA journal_mode=WAL")
        self.base.executescript(SCHEMA)
        self.put("compact_rev_key", b"")

    def put(self, name: str, value: bytes, *, deleted: bool = False) -> None:
        newest = self.base.execute("SELECT MAX(id) FROM kine WHERE name = ?", (name,))
        (before,) = newest.fetchone()
        self.base.execute(
            "INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease,"
            " value) VALUES (?, ?, ?, 0, ?, 0, ?)",
            (name, before is None, deleted, before or 0, value),
        )


def now(path: Path) -> dict[str, bytes]:
    """What kine would answer: the newest row of each name, unless it says that it was deleted."""
    with closing(sqlite3.connect(path)) as base:
        rows = base.execute(
            "SELECT name, value FROM kine WHERE deleted = 0 AND id IN"
            " (SELECT MAX(id) FROM kine GROUP BY name)"
        )
        return {name: bytes(value) for name, value in rows}


def newest(path: Path) -> int:
    with closing(sqlite3.connect(path)) as base:
        return int(base.execute("SELECT MAX(id) FROM kine").fetchone()[0])


def app(**spec: Any) -> bytes:
    body = {
        "apiVersion": names.API_VERSION, "kind": names.KIND,
        "metadata": {"name": "sweep", "namespace": "default", "generation": 3, "uid": "u"},
        "spec": {"image": "x", **spec}, "status": {"observedGeneration": 3},
    }  # fmt: skip
    return json.dumps(body).encode() + b"\n"


def labelled(key: str, value: str) -> bytes:
    """A Kubernetes object in protobuf that bears a label, as far as matters here."""
    pair = b"\n" + bytes([len(key)]) + key.encode() + b"\x12" + bytes([len(value)]) + value.encode()
    return PROTOBUF + b"Z" + bytes([len(pair)]) + pair


@pytest.fixture
def kine(tmp_path: Path) -> Iterator[Kine]:
    made = Kine(tmp_path / "state.db")
    with closing(made.base):
        yield made


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("a-token\n")
    return path


def saved(kine: Kine, token: Path, **facts: str) -> Path:
    target = kine.path.with_name("snapshot.tar.gz")
    datastore.save(kine.path, token, target, facts)
    return target


def restored(snapshot: Path, token: Path) -> Path:
    target = snapshot.with_name("new.db")
    datastore.restore(snapshot, target, token)
    return target


OURS = labelled(names.LABEL_MANAGED_BY, names.MANAGED_BY)
OTHERS = labelled(names.LABEL_MANAGED_BY, "Helm")
SLICE = labelled("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io")
ADDRESS = labelled("endpoints.kubernetes.io/managed-by", "endpoint-controller")


@pytest.mark.parametrize(
    ("key", "value", "stays"),
    [
        ("/registry/minions/reef-1", PROTOBUF, False),
        ("/registry/leases/kube-node-lease/reef-1", PROTOBUF, False),
        ("/registry/leases/clusterous-system/clusterous-operator", PROTOBUF, False),
        ("/registry/masterleases/10.0.2.10", PROTOBUF, False),
        ("/registry/csinodes/reef-1", PROTOBUF, False),
        ("/registry/pods/default/sweep-workers-1", PROTOBUF, False),
        ("/registry/podtemplates/default/one", PROTOBUF, True),
        ("/registry/endpointslices/default/sweep-master-x1", SLICE, False),
        ("/registry/endpointslices/default/by-hand", PROTOBUF, True),
        ("/registry/endpointslices/default/kubernetes", PROTOBUF, False),
        ("/registry/services/endpoints/default/kubernetes", PROTOBUF, False),
        ("/registry/services/endpoints/default/sweep-master", ADDRESS, False),
        ("/registry/services/endpoints/default/by-hand", PROTOBUF, True),
        ("/registry/services/specs/default/kubernetes", PROTOBUF, True),
        ("/registry/ipaddresses/10.43.0.1", PROTOBUF, True),
        ("/registry/secrets/kube-system/reef-1.node-password.k3s", PROTOBUF, False),
        ("/registry/secrets/kube-system/k3s-serving", PROTOBUF, False),
        ("/registry/secrets/default/reef-1.node-password.k3s", PROTOBUF, True),
        ("/registry/deployments/default/sweep-workers", OURS, False),
        ("/registry/replicasets/default/sweep-workers-5", OURS, False),
        ("/registry/jobs/default/sweep-master", OURS, False),
        ("/registry/deployments/clusterous-system/clusterous-operator", OTHERS, True),
        ("/registry/configmaps/default/sweep", OURS, True),
    ],
)
def test_what_is_of_the_machines_of_before_goes_and_all_else_stays(
    kine: Kine, token: Path, key: str, value: bytes, stays: bool
) -> None:
    kine.put(key, b"older")
    kine.put(key, value)

    after = restored(saved(kine, token), token)

    assert now(after).get(key) == (value if stays else None)
    with closing(sqlite3.connect(after)) as base:
        rows = base.execute("SELECT COUNT(*) FROM kine WHERE name = ?", (key,)).fetchone()[0]
    assert rows == (2 if stays else 0)


def test_apps_come_back_suspended_and_otherwise_as_they_were(kine: Kine, token: Path) -> None:
    kine.put(APP, app(run="Batch", workers={"replicas": 2}))
    before = json.loads(app(run="Batch", workers={"replicas": 2}))

    after = json.loads(now(restored(saved(kine, token), token))[APP])

    assert after["spec"] == {**before["spec"], "suspend": True}
    # A change of the spec: whoever waits for the status of this generation waits for the new one.
    assert after["metadata"] == {**before["metadata"], "generation": 4}
    assert after["status"] == before["status"]


def test_an_app_that_was_suspended_or_deleted_is_left_as_it_is(kine: Kine, token: Path) -> None:
    gone = f"{APP}-gone"
    kine.put(APP, app(suspend=False))
    kine.put(APP, app(suspend=True))
    kine.put(gone, app())
    kine.put(gone, app(), deleted=True)

    after = now(restored(saved(kine, token), token))

    assert after[APP] == app(suspend=True)
    assert gone not in after


def test_an_app_in_an_unknown_form_is_no_silent_loss(kine: Kine, token: Path) -> None:
    kine.put(APP, b"\xd9\xd9\xf7cbor")
    snapshot = saved(kine, token)

    with pytest.raises(datastore.Unusable, match="not kept in the form that is known"):
        restored(snapshot, token)
    assert not snapshot.with_name("new.db").exists()


def test_revisions_go_on_from_where_they_were(kine: Kine, token: Path) -> None:
    kine.put("/registry/configmaps/default/kept", b"v")
    kine.put("/registry/leases/kube-system/last", PROTOBUF)
    last = newest(kine.path)

    after = restored(saved(kine, token), token)

    assert newest(after) == last
    with closing(sqlite3.connect(after)) as base:
        filler = base.execute("SELECT name, deleted FROM kine WHERE id = ?", (last,)).fetchone()
        base.execute("INSERT INTO kine (name) VALUES ('next')")
        assert base.execute("SELECT MAX(id) FROM kine").fetchone() == (last + 1,)
    assert filler == (f"gap-{last}", 1)


@pytest.mark.parametrize("here", ["a-token", "another"])
def test_authorities_locked_with_another_token_are_not_taken_along(
    kine: Kine, token: Path, here: str
) -> None:
    kine.put("/bootstrap/0123456789ab", b"locked")
    snapshot = saved(kine, token)
    token.write_text(here)

    assert ("/bootstrap/0123456789ab" in now(restored(snapshot, token))) == (here == "a-token")


def test_it_is_of_one_moment_while_the_datastore_is_written(kine: Kine, token: Path) -> None:
    kine.put("/registry/configmaps/default/a", b"1")
    kine.base.execute("BEGIN IMMEDIATE")
    kine.put("/registry/configmaps/default/b", b"2")

    snapshot = saved(kine, token)
    kine.base.execute("COMMIT")

    after = now(restored(snapshot, token))
    assert after["/registry/configmaps/default/a"] == b"1"
    assert "/registry/configmaps/default/b" not in after
    assert "/registry/configmaps/default/b" in now(kine.path)


def test_it_tells_what_it_is_at_its_very_beginning_and_has_the_token(
    kine: Kine, token: Path
) -> None:
    with tarfile.open(saved(kine, token, cluster="reef", k3s="v1.35.4+k3s1")) as archive:
        assert archive.getnames() == ["about.json", "token", "state.db"]
        about = json.loads(archive.extractfile("about.json").read())  # type: ignore[union-attr]
        assert archive.extractfile("token").read() == b"a-token\n"  # type: ignore[union-attr]
    assert (about["format"], about["cluster"], about["k3s"]) == (1, "reef", "v1.35.4+k3s1")
    assert about["bytes"] > 0
    assert not list(kine.path.parent.glob("tmp*"))


def test_a_damaged_datastore_makes_no_snapshot(kine: Kine, token: Path) -> None:
    for number in range(200):
        kine.put(f"/registry/configmaps/default/{number}", b"x" * 500)
    kine.base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with kine.path.open("r+b") as file:
        file.seek(4096 * 5)
        file.write(b"\xff" * 4096)

    with pytest.raises(datastore.Unusable, match=r"damaged|cannot be read"):
        saved(kine, token)
    assert not kine.path.with_name("snapshot.tar.gz").exists()


def test_a_snapshot_that_was_cut_short_makes_no_datastore(kine: Kine, token: Path) -> None:
    snapshot = saved(kine, token)
    snapshot.write_bytes(snapshot.read_bytes()[:-40])

    with pytest.raises(datastore.Unusable, match="cannot be read"):
        restored(snapshot, token)
    assert not snapshot.with_name("new.db").exists()


def test_a_datastore_is_never_overwritten(kine: Kine, token: Path) -> None:
    snapshot = saved(kine, token)

    with pytest.raises(datastore.Unusable, match="there is a datastore already"):
        datastore.restore(snapshot, kine.path, token)


def test_what_was_begun_is_begun_anew(kine: Kine, token: Path) -> None:
    snapshot = saved(kine, token)
    for end in ("", "-journal"):
        snapshot.with_name(f"new.db.part{end}").write_bytes(b"half")

    assert now(restored(snapshot, token))
    assert sorted(path.name for path in snapshot.parent.glob("new.db*")) == ["new.db"]


def test_what_lies_beside_it_of_another_life_is_not_played_into_it(kine: Kine, token: Path) -> None:
    kine.put("/registry/configmaps/default/ours", b"1")
    snapshot = saved(kine, token)
    kine.put("/registry/configmaps/default/later", b"2" * 9000)
    log = kine.path.with_name("state.db-wal").read_bytes()
    assert log
    snapshot.with_name("new.db-wal").write_bytes(log)

    after = now(restored(snapshot, token))

    assert "/registry/configmaps/default/ours" in after
    assert "/registry/configmaps/default/later" not in after
    with closing(sqlite3.connect(snapshot.with_name("new.db"))) as base:
        assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_who_writes_all_the_time_keeps_no_copy_from_its_end(kine: Kine, token: Path) -> None:
    """A copy in steps begins again at each write of another."""
    kine.base.execute("BEGIN")
    for number in range(2000):
        kine.put(f"/registry/configmaps/default/{number}", b"x" * 9000)
    kine.base.execute("COMMIT")
    begun, ended, most = threading.Event(), threading.Event(), 20_000

    def write() -> None:
        with closing(sqlite3.connect(kine.path, isolation_level=None, timeout=60)) as base:
            base.execute("PRAGMA synchronous=OFF")
            for number in range(most):
                if ended.wait(0.001):
                    return
                base.execute(
                    "INSERT INTO kine (name, deleted, value) VALUES (?, 0, x'')", (f"w{number}",)
                )
                begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait()
    try:
        snapshot = saved(kine, token)
    finally:
        ended.set()
        writer.join()

    assert f"w{most - 1}" not in now(restored(snapshot, token))


def test_as_a_program_it_says_in_a_line_what_it_did_and_what_is_wrong(
    kine: Kine, token: Path, tmp_path: Path
) -> None:
    kine.put(APP, app())
    kine.put("/registry/minions/reef-1", PROTOBUF)
    script = Path(datastore.__file__)

    def run(*words: object) -> tuple[int, str]:
        argv = [sys.executable, str(script), *(str(word) for word in words)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.replace(str(tmp_path), "")

    snapshot, new = tmp_path / "one", tmp_path / "new.db"
    assert run("save", kine.path, token, snapshot, "cluster=reef") == (0, "")
    said = "1 objects of before removed, 1 apps suspended\n"
    assert run("restore", snapshot, new, token) == (0, said)
    assert oct(new.stat().st_mode & 0o777) == oct(snapshot.stat().st_mode & 0o777) == "0o600"
    said = "/one: there is a datastore already: /new.db\n"
    assert run("restore", snapshot, new, token) == (1, said)
    said = "/two: there is no datastore /nowhere\n"
    assert run("save", tmp_path / "nowhere", token, tmp_path / "two") == (1, said)
    assert run("keep")[0] == 2


def test_the_oldest_python_of_an_image_can_read_it() -> None:
    # Amazon Linux 2023 has Python 3.9.
    ast.parse(assets.template("datastore.py"), feature_version=(3, 9))

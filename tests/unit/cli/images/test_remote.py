"""Builds on the cluster: what the builder is told, and what it is believed."""

import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.images import builder
from clusterous_cli.images.context import taken, tree
from clusterous_cli.images.context.taken import Source
from clusterous_cli.images.context.tree import Entry
from clusterous_cli.images.remote import building, copies, desk, scripts

NAMES = st.text(
    st.characters(blacklist_characters="/\0\n", blacklist_categories=("Cs",)), min_size=1
).filter(lambda name: name not in (".", "..") and len(os.fsencode(name)) < 200)
FILES = st.dictionaries(NAMES, st.tuples(st.binary(max_size=9), st.booleans()), max_size=6)


def said(folder: Path) -> bytes:
    """Run the builder's script here, as if the folder were there."""
    line = scripts.listing("pod", "image", "key")
    script = shlex.split(line)[shlex.split(line).index("-c") + 1]
    done = subprocess.run(
        ["sh", "-c", script, "builder", str(folder)], check=True, capture_output=True
    )
    return done.stdout


@pytest.fixture
def source(tmp_path: Path) -> Source:
    folder = tmp_path / "folder"
    (folder / "src/empty").mkdir(parents=True)
    (folder / "Containerfile").write_text("FROM scratch\nCOPY . /\n")
    (folder / "src/run me").write_text("#!/bin/sh\n")
    (folder / "src/run me").chmod(0o755)
    (folder / "src/b\\ck").write_text("b")
    (folder / "way").symlink_to("src/run me")
    (folder / "=").symlink_to("=")
    return Source(folder=folder)


# -- what is there ------------------------------------------------------------------------


def test_what_the_builder_reads_has_the_tag_of_what_was_sent(
    source: Source, tmp_path: Path
) -> None:
    with taken.copy(source, tmp_path) as copy:
        assert building.is_there(copy, said(copy.context.parent))


CHANGES: dict[str, Any] = {
    "a byte": lambda place: (place / "context/src/b\\ck").write_text("c"),
    "a mode": lambda place: (place / "context/src/b\\ck").chmod(0o755),
    "a link": lambda place: (
        (place / "context/way").unlink(),
        (place / "context/way").symlink_to("src/b\\ck"),
    ),
    "one more": lambda place: (place / "context/more").write_text(""),
    "one less": lambda place: (place / "context/src/b\\ck").unlink(),
    "no folder": lambda place: (place / "context/src/empty").rmdir(),
    "the recipe": lambda place: (place / "Containerfile").write_text("FROM other\n"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_not_as_it_was_sent_is_not_built(
    source: Source, tmp_path: Path, change: str
) -> None:
    there = tmp_path / "there"
    with taken.copy(source, tmp_path) as copy:
        shutil.copytree(copy.context.parent, there, symlinks=True)
        CHANGES[change](there)

        assert not building.is_there(copy, said(there))


@settings(max_examples=25, deadline=None)
@given(files=FILES)
def test_any_folder_is_read_there_as_it_is_here(
    files: dict[str, tuple[bytes, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name, (content, runs) in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o755 if runs else 0o644)

    found = copies.read(said(folder))

    assert found == tree.entries(folder, sorted(files))


@pytest.mark.parametrize(
    "words", [b"", b"41ed .\n", b"41ed .\n=\n81a4 ./a\n=\n=\n", b"41ed .\n=\n81a4 ./a\n=\nx\n=\n"]
)
def test_what_is_no_list_is_told(words: bytes) -> None:
    with pytest.raises(FailedError):
        copies.read(words)


@pytest.mark.parametrize(
    "entry",
    [
        Entry(path="a\nb", mode=stat.S_IFREG | 0o644),
        Entry(path="a", mode=stat.S_IFLNK | 0o777, content=b"b\nc"),
    ],
)
def test_what_lines_cannot_tell_is_refused(entry: Entry) -> None:
    with pytest.raises(UserError, match="line break"):
        copies.check([entry])


# -- what it is told ----------------------------------------------------------------------


def test_no_password_is_in_a_command_line() -> None:
    login = scripts.login("r.example", "AWS", "sesame")
    lines = [
        scripts.prepare("pod", "image", "key"),
        scripts.solve("pod", "image", "key", scripts.asked("image", "key", "r/i:t", "r/i:c", {})),
        *scripts.rsync_argv("ssh", "controller", "pod", "/copy", "image", "key"),
    ]

    assert not any("sesame" in line or login in line for line in lines)


def test_contents_decide_what_is_sent() -> None:
    argv = scripts.rsync_argv("ssh", "controller", "pod", "/copy", "image", "key")

    assert "--checksum" in argv
    assert "--inplace" not in argv  # what is linked to from another copy stays as it is
    assert argv[-1] == "controller:image/key/"


def test_a_lost_cache_is_no_failure_and_lies_where_tags_move() -> None:
    cache = f"r/i:{taken.CACHE}build"
    argv = scripts.asked("image", "key", "r/i:src-1", cache, {"B": "2", "A": "x y"})

    (written,) = (word for word in argv if word.startswith("--export-cache"))
    assert "ignore-error=true" in written
    assert f"ref={cache}," in written
    assert not cache.rpartition(":")[2].startswith(taken.PREFIX)
    assert [word for word in argv if "build-arg" in word] == [
        *("--opt=build-arg:A=x y", "--opt=build-arg:B=2")
    ]
    assert "--opt=platform=linux/amd64" in argv


def test_the_digest_is_in_the_builders_last_words() -> None:
    words = 'clusterous-made {"containerimage.digest": "sha256:0a"}'

    assert scripts.digest(words) == "sha256:0a"
    assert scripts.digest("#7 pushing") is None


# -- where it is --------------------------------------------------------------------------


def pod(phase: str = "Pending", state: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    statuses = [{"state": state}] if state else []
    return {
        "metadata": {"name": "builder-x"},
        "status": {"phase": phase, "containerStatuses": statuses, **more},
    }


def test_a_pod_that_waits_says_for_what() -> None:
    words = "429 Too Many Requests - toomanyrequests: You have reached your pull rate limit"
    pull = pod(state={"waiting": {"reason": "ErrImagePull", "message": words}})
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    told: list[str] = []

    assert desk.running([pull], told.append) is None
    assert desk.running([pod(conditions=[condition])], told.append) is None
    assert desk.running([pod("Running")], told.append) == "builder-x"
    assert "toomanyrequests" in told[0]
    assert "0/3 nodes" in told[1]


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (pod("Failed", {"terminated": {"reason": "OOMKilled"}}), "OOMKilled"),
        (pod("Failed", reason="Evicted", message="exceeds its limit"), "Evicted: exceeds"),
        (pod(state={"waiting": {"reason": "InvalidImageName"}}), "InvalidImageName"),
    ],
)
def test_a_pod_that_ended_says_why(ended: dict[str, Any], expected: str) -> None:
    with pytest.raises(FailedError, match=expected):
        desk.running([ended], lambda words: None)


@pytest.mark.parametrize(
    ("job", "over"),
    [
        ({"metadata": {}}, False),
        ({"metadata": {"deletionTimestamp": "now"}}, True),
        (
            {"metadata": {}, "status": {"conditions": [{"type": "Complete", "status": "True"}]}},
            True,
        ),
        ({"metadata": {}, "status": {"conditions": [{"type": "Failed", "status": "True"}]}}, True),
    ],
)
def test_a_job_that_is_over_is_not_waited_for(job: dict[str, Any], over: bool) -> None:
    assert desk.has_ended(job) is over


def test_a_pod_of_a_job_before_is_another() -> None:
    job = {"metadata": {"name": "builder", "uid": "2"}}
    before, after = (
        {"metadata": {"name": "x", "ownerReferences": [{"uid": uid}]}} for uid in ("1", "2")
    )

    assert not desk.is_of(before, job)
    assert desk.is_of(after, job)
    assert desk.running([pod("Succeeded")], lambda words: None) is None


def test_no_node_for_it_is_told() -> None:
    with pytest.raises(FailedError, match="No machine of the cluster can take a builder"):
        desk.wanted([])


# -- who builds ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "machine", "expected"),
    [
        ({"CLUSTEROUS_BUILDER": "cluster"}, "x86_64", ""),
        ({}, "arm64", "arm64"),
        ({}, "x86_64", "no builder works"),
    ],
)
def test_the_cluster_builds_where_nothing_here_does(
    environment: dict[str, str],
    machine: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told: list[str] = []

    found = builder.chosen({"XDG_CACHE_HOME": str(tmp_path), **environment}, machine, told.append)

    assert found is None
    assert expected in " ".join(told)


def test_a_builder_that_was_named_is_asked_whatever_this_machine_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UserError, match="podman: not installed"):
        builder.chosen({"CLUSTEROUS_BUILDER": "podman"}, "arm64", lambda line: None)

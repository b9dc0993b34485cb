"""How a registry on the cluster is told to collect, and how long its lock is believed."""

import shlex
import threading
from typing import Any

import pytest

from clusterous_cli.images.sending import bearer
from clusterous_cli.images.stock import collection, turns
from clusterous_cli.turns import lock


def test_a_collection_ends_before_its_lock_is_over() -> None:
    words = shlex.split(collection.collecting())

    limit = int(words[words.index("timeout") + 3])
    assert words[words.index("timeout") : words.index("timeout") + 3] == ["timeout", "-s", "KILL"]
    assert limit + 300 < turns.OVER


def test_a_push_without_its_laptop_counts_for_as_long_as_its_token() -> None:
    assert bearer.LASTS > turns.SILENT > 3 * turns.RENEWED
    assert turns.OVER > lock.SECONDS


def test_what_has_no_name_goes_by_the_program_that_takes_pushes() -> None:
    words = shlex.split(collection.collecting())

    assert words[-3:] == ["garbage-collect", "--delete-untagged", "/etc/registry/write.json"]
    assert words[words.index("--container") + 1] == "write"


def test_the_registry_is_begun_anew_and_waited_for() -> None:
    away, status = collection.restarting().split(" && ")

    assert "delete pod --selector app.kubernetes.io/name=registry" in away
    assert "rollout status deployment/registry" in status


def test_what_the_registry_says_it_removed_is_read() -> None:
    said = "tool\n\n7 blobs marked, 12 blobs and 3 manifests eligible for deletion\n"

    assert collection.went(said) == (12, 3)
    assert collection.went("") == (0, 0)


class Bucket:
    """A bucket that takes its time for every writing but the first."""

    account = "123456789012"

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.begun, self.landed = threading.Event(), threading.Event()
        self.writings = 0

    def find(self, *_: object, **__: object) -> None:
        return None

    def call(self, _: str, action: str, Key: str, **__: Any) -> None:
        if action == "delete_object":
            self.there.discard(Key)
            return
        self.writings += 1
        if self.writings == 1:
            self.there.add(Key)
            return
        self.begun.set()
        threading.Event().wait(0.2)
        self.there.add(Key)
        self.landed.set()


def test_a_push_that_ended_is_not_renewed_behind_its_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "RENEWED", 0.01)
    bucket: Any = Bucket()

    with turns.pushing(bucket, "layers"):
        assert bucket.begun.wait(10)

    assert bucket.landed.wait(10)
    assert bucket.there == set()

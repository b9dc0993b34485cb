"""How a registry on the cluster is told to collect, and how long its lock is believed."""

import shlex

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

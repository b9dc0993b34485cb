"""Snapshots as the bucket has them: what they say of themselves, and which is meant."""

import gzip
import io
import json
import tarfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterous_api.errors import UserError
from clusterous_cli.plan.snapshots import stored

KEY = "snapshots/asked/20261129T101503Z.tar.gz"
ABOUT = {
    "format": 1, "taken": "20261129T101503Z", "cluster": "reef", "k3s": "v1.35.4+k3s1",
    "volume": "snap-0123456789abcdef0",
}  # fmt: skip


def archive(about: Any, name: str = "about.json") -> bytes:
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w", format=tarfile.USTAR_FORMAT) as made:
        for member, content in ((name, json.dumps(about).encode()), ("state.db", b"x" * 9999)):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return gzip.compress(inner.getvalue())


def read(raw: bytes, key: str = KEY) -> stored.Snapshot | None:
    return stored.read(key, 12345, raw[: stored.BEGINNING])


def one(name: str, kept: str = "asked") -> stored.Snapshot:
    return stored.Snapshot(
        name=name, key=f"{kept}/{name}", size=1, kept=kept, cluster="reef", k3s="v1.35.4+k3s1"
    )


def test_it_tells_what_it_is() -> None:
    found = read(archive(ABOUT))

    assert found is not None
    assert (found.name, found.kept, found.size, found.cluster) == (
        "20261129T101503Z", "asked", 12345, "reef",
    )  # fmt: skip
    assert found.data["taken"] == "2026-11-29T10:15:03+00:00"
    assert found.data["volume_snapshot"] == "snap-0123456789abcdef0"


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 2}, {"taken": "yesterday"}, {"taken": 5}, {"k3s": "\x1b[2J"}, {"k3s": None},
        {"volume": "snap-0; reboot"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_in_another_form_is_none(changed: dict[str, Any]) -> None:
    assert read(archive({**ABOUT, **changed})) is None


def test_what_is_something_else_is_none() -> None:
    assert read(archive([1, 2])) is None
    assert read(archive(ABOUT, "other")) is None
    assert read(archive(ABOUT), "snapshots/other/1.tar.gz") is None


@given(st.binary(max_size=200))
def test_no_bytes_are_more_than_none(raw: bytes) -> None:
    assert read(raw) is None
    assert read(gzip.compress(raw)) is None


def test_one_that_is_kept_in_two_places_counts_once_as_the_longer() -> None:
    found = [
        one("20261129T101503Z", "quarter"),
        one("20261129T101503Z", "day"),
        one("20261130T101503Z"),
    ]

    assert [(it.name, it.kept) for it in stored.unique(found)] == [
        ("20261130T101503Z", "asked"),
        ("20261129T101503Z", "day"),
    ]


def test_the_newest_or_the_one_of_that_name_is_meant() -> None:
    found = [one("20261130T101503Z"), one("20261129T101503Z")]

    assert stored.chosen(found, "newest", "reef") is found[0]
    assert stored.chosen(found, "20261129T101503Z", "reef") is found[1]
    with pytest.raises(UserError, match="no snapshot older of reef"):
        stored.chosen(found, "older", "reef")
    with pytest.raises(UserError, match="There is no snapshot of reef"):
        stored.chosen([], "newest", "reef")


def test_an_older_kubernetes_is_refused_and_a_newer_is_not() -> None:
    saved = one("20261129T101503Z")
    for fine in ("v1.35.1+k3s1", "v1.36.0+k3s1", "v2.0.0+k3s1"):
        stored.check_version(saved, fine)
    with pytest.raises(UserError, match=r"Say k3s: v1\.35\.4\+k3s1"):
        stored.check_version(saved, "v1.34.9+k3s1")

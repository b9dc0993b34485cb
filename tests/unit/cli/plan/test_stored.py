"""Snapshots as the bucket has them: what they say of themselves, and which is meant."""

import gzip
import hashlib
import io
import json
import random
import tarfile
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterous_api.errors import UserError
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.plan.snapshots import stored

KEY = "snapshots/asked/20261129T101503Z.tar.gz"
ABOUT = {
    "format": 1, "taken": "20261129T101503Z", "cluster": "reef", "k3s": "v1.35.4+k3s1",
    "volume": "snap-0123456789abcdef0",
}  # fmt: skip


def archive(about: Any, name: str = "about.json", state: bytes = b"x" * 9999) -> bytes:
    return gzip.compress(
        tar({name: json.dumps(about).encode(), "token": b"a-token", "state.db": state})
    )


def tar(members: dict[str, bytes]) -> bytes:
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w", format=tarfile.USTAR_FORMAT) as made:
        for member, content in members.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return inner.getvalue()


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


# -- the whole of it ------------------------------------------------------------------------------


WHO = Identity(name="reef", account="123456789012", region="eu-west-1")


class Bucket:
    """A bucket with one object, of which no call reads more than so much; *then* it is another."""

    def __init__(self, content: bytes, then: bytes | None = None) -> None:
        self.content, self.then = content, then
        self.asked: list[str] = []

    def attempt(self, service: str, action: str, *codes: str, **params: Any) -> Any:
        self.asked.append(params.get("Range", ""))
        start, end = map(int, params["Range"].removeprefix("bytes=").split("-"))
        etag = hashlib.sha256(self.content).hexdigest()
        if params.get("IfMatch", etag) != etag:
            assert "PreconditionFailed" in codes
            return None
        if start >= len(self.content):
            assert "InvalidRange" in codes
            return None
        part = self.content[start : end + 1][: stored.PART]
        if self.then is not None:
            self.content = self.then
        return {"Body": io.BytesIO(part), "ETag": etag}

    def call(self, service: str, action: str, **params: Any) -> Any:
        answer = self.attempt(service, action, "InvalidRange", **params)
        if answer is None:
            raise errors.AwsFailed("no such part", code="InvalidRange")
        return answer


def taken(content: bytes, cloud: Bucket) -> bytes:
    listed = stored.read(KEY, len(content), content[: stored.BEGINNING])
    assert listed is not None
    return stored.content(cast(Aws, cloud), WHO, listed)


LARGE = archive(ABOUT, state=random.Random(1).randbytes(9999))


@pytest.mark.parametrize("part", [4096, len(LARGE), len(LARGE) - 1, 1 << 20])
def test_a_snapshot_is_read_to_its_end_however_large_it_is(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "PART", part)
    cloud = Bucket(LARGE)

    assert taken(LARGE, cloud) == LARGE
    assert len(cloud.asked) == -(-len(LARGE) // part)


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(archive({**ABOUT, "taken": "20261129T111503Z"}, state=LARGE), id="larger"),
        pytest.param(b"x", id="smaller"),
    ],
)
@pytest.mark.parametrize("meanwhile", [True, False])
def test_what_is_another_by_now_is_not_taken_for_it(
    then: bytes, meanwhile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "PART", 4096)
    cloud = Bucket(LARGE, then) if meanwhile else Bucket(then)

    with pytest.raises(UserError, match="is not there any more: a newer one took its key"):
        taken(LARGE, cloud)


def test_what_cannot_be_read_to_its_end_is_refused_before_anything_is_ended_for_it() -> None:
    for broken in (LARGE[:-9], LARGE[:5000], LARGE[:-4] + b"none"):
        with pytest.raises(UserError, match="20261129T101503Z is damaged"):
            taken(broken, Bucket(broken))
    with pytest.raises(UserError, match="is not whole"):
        stored.check_whole("it", gzip.compress(tar({"token": b"a-token"})))


def test_of_those_that_are_listed_the_beginning_is_read_alone() -> None:
    cloud = Bucket(LARGE)

    assert record.read_object(cast(Aws, cloud), WHO, KEY, 100) == LARGE[:100]
    assert cloud.asked == ["bytes=0-99"]
    assert record.read_object(cast(Aws, Bucket(b"")), WHO, KEY, 100) == b""

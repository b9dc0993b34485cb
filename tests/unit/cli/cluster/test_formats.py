"""The record of each form that there was: a sample of it is read as if it were written today."""

import json
from pathlib import Path
from typing import Any

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.boot import bootstrap
from clusterous_cli.cluster import config
from clusterous_cli.cluster.config import ClusterConfig, Pool
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.records import formats

SAMPLES = {int(path.stem): path for path in (Path(__file__).parent / "records").glob("*.json")}


def sample(number: int) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(SAMPLES[number].read_text())
    return read


def test_there_is_a_sample_of_each_form() -> None:
    assert sorted(SAMPLES) == list(range(1, formats.FORMAT + 1))
    assert all(sample(number)["format"] == number for number in SAMPLES)


@pytest.mark.parametrize("number", SAMPLES)
def test_each_form_is_read_as_today(number: int) -> None:
    read = formats.current(sample(number))

    assert read["format"] == formats.FORMAT
    assert read["zone"] == "eu-west-1a"
    found = ClusterConfig.from_record(read["config"])
    worker = Pool(name="worker", role="worker", type="c7i.xlarge", count=4, disk=40)
    gateway = Pool(name="gateway", role="gateway", type="t3.nano", count=1, disk=8)
    assert found.workers == (worker,)
    assert found.pool("gateway") == gateway
    assert found.allow == ("203.0.113.7/32",)
    newest = formats.current(sample(formats.FORMAT))["config"]
    assert json.loads(json.dumps(found.to_record())) == newest


def test_what_is_written_has_the_form_of_the_newest_sample() -> None:
    newest = sample(formats.FORMAT)
    who = Identity(name=newest["name"], account=newest["account"], region=newest["region"])
    reef = config.parse(
        "name: reef\nmaster: none\nworkers: {type: c7i.xlarge, count: 4, disk: 40}\n"
        "gateway: {allow: [203.0.113.7/32]}\nvolume: efs\n"
    )

    written = bootstrap.record(
        reef,
        who,
        image=newest["image"],
        zone=newest["zone"],
        created=newest["created"],
        version=newest["clusterous"],
    )

    assert written.content is not None
    assert json.loads(written.content) == newest


def test_a_newer_form_is_refused_in_words() -> None:
    newer = {**sample(formats.FORMAT), "format": formats.FORMAT + 1, "clusterous": "9.1.0"}

    with pytest.raises(UserError, match=r"newer clusterous \(9\.1\.0\).*Install that version"):
        formats.current(newer)


@pytest.mark.parametrize("form", [None, "2", 0, -1])
def test_no_form_at_all_is_told(form: object) -> None:
    with pytest.raises(UserError, match="no form that clusterous writes"):
        formats.current({**sample(1), "format": form})


def test_reading_changes_nothing_of_what_was_read() -> None:
    before = sample(1)

    formats.current(before)

    assert before == sample(1)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[]", b"null", b"[" * 100_000])
def test_what_is_no_record_is_told(raw: bytes) -> None:
    with pytest.raises(UserError, match=r"record\.json in the .*`clusterous destroy` removes"):
        formats.parsed(raw, "record.json")

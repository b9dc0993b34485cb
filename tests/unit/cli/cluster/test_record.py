"""The record and the reports in the bucket: of our account's bucket, and no more than is theirs."""

import io
from typing import Any

from clusterous_cli.cluster import record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import RECORD


class Cloud:
    """Notes for which bucket's owner it is asked."""

    def __init__(self) -> None:
        self.owners: list[str | None] = []

    def call(self, service: str, action: str, **params: Any) -> Any:
        self.owners.append(params.get("ExpectedBucketOwner"))
        return {"Body": io.BytesIO(b'{"phase": "ready"}')}

    def pages(self, service: str, action: str, key: str, **params: Any) -> list[Any]:
        self.owners.append(params.get("ExpectedBucketOwner"))
        return [{"Key": f"{REEF.reports}/i-{n}.json", "ETag": "x", "Size": 9} for n in "12"]


REEF = Identity(name="reef", account="111111111111", region="eu-west-1")


def test_no_bucket_of_somebody_else_is_read() -> None:
    cloud: Any = Cloud()

    record.read_json(cloud, REEF, RECORD)
    reports = record.Reports(cloud, REEF).read()

    assert set(reports) == {"i-1", "i-2"}
    assert cloud.owners == [REEF.account] * 4


def test_a_report_is_read_only_where_its_machine_may_write() -> None:
    cloud: Any = Cloud()
    keys = ["nodes/i-1.json", f"{REEF.reports}/x/i-1.json", f"x{REEF.reports}/i-1.json"]
    cloud.pages = lambda *_, **__: [{"Key": key, "ETag": "x", "Size": 9} for key in keys]

    assert record.Reports(cloud, REEF).read() == {}


def test_a_huge_report_is_not_fetched() -> None:
    cloud: Any = Cloud()
    huge = {"Key": f"{REEF.reports}/i-1.json", "ETag": "x", "Size": 1 << 30}
    cloud.pages = lambda *_, **__: [huge]

    assert record.Reports(cloud, REEF).read()["i-1"]["phase"] == "unreadable"
    assert cloud.owners == []

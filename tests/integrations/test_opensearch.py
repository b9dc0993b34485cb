"""OpenSearch's own engine takes what the chart puts there, and records that are in conflict."""

import http.client
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests import ports
from tests.contract.test_logging_chart import render, setup
from tests.region.parts import opensearch, parts

STREAM: Final = "clusterous-logs"
SECONDS: Final = 180.0
DIES_WITH_US: Final = ("/usr/bin/setpriv", "--pdeathsig", "KILL")


@dataclass(frozen=True, kw_only=True)
class OpenSearch:
    """One node at a port of loopback."""

    port: int

    def ask(self, method: str, path: str, body: str = "") -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def is_there(self) -> bool:
        try:
            return self.ask("GET", "/_cluster/health?wait_for_status=yellow")[0] == 200
        except OSError:
            return False

    def put(self, *records: tuple[str, dict[str, Any]]) -> list[int]:
        """Put records by their ids, as Fluent Bit does; return how each was answered."""
        lines = [
            json.dumps(line)
            for id, record in records
            for line in ({"create": {"_id": id}}, {"@timestamp": "2026-11-30T10:00:00Z", **record})
        ]
        status, answer = self.ask("POST", f"/{STREAM}/_bulk?refresh=true", "\n".join([*lines, ""]))
        assert status == 200, answer
        return [one["create"]["status"] for one in answer["items"]]

    def found(self, query: str) -> int:
        _, answer = self.ask("GET", f"/{STREAM}/_search?q={query}&track_total_hits=true")
        return int(answer["hits"]["total"]["value"])

    def mapping(self) -> dict[str, Any]:
        _, answer = self.ask("GET", f"/{STREAM}/_mapping")
        (index,) = answer.values()
        return dict(index["mappings"])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSearch]:
    part = parts.paths([opensearch.NAME], print)[opensearch.NAME]
    folder = tmp_path_factory.mktemp("opensearch")
    made = OpenSearch(port=ports.free())
    with (folder / "said").open("wb") as log:
        argv = [*DIES_WITH_US, *opensearch.command(part, folder, made.port)]
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=folder)
    try:
        end = time.monotonic() + SECONDS
        while not made.is_there():
            words = (folder / "said").read_text()[-3000:]
            assert process.poll() is None, words
            assert time.monotonic() < end, words
            time.sleep(0.5)
        yield made
    finally:
        process.terminate()
        process.wait()


def prepared(store: OpenSearch, folder: Path) -> None:
    """Run the chart's own script, as its job does."""
    url = f"http://127.0.0.1:{store.port}"
    rendered = render(
        "store=yours", f"yours.url={url}", "yours.secret=mine", "yours.flavor=opensearch"
    )
    (folder / "template.json").write_text(json.dumps(setup(rendered, "template.json")))
    script = setup(rendered, "setup.sh").replace("/setup/", f"{folder}/")
    login = {"STORE_USER": "admin", "STORE_PASSWORD": "any"}
    subprocess.run(["sh", "-c", script], env={**os.environ, **login}, check=True, timeout=60)


def test_the_charts_script_prepares_it_and_once_more_changes_nothing(
    store: OpenSearch, tmp_path: Path
) -> None:
    prepared(store, tmp_path)
    before = store.ask("GET", f"/_data_stream/{STREAM}")

    prepared(store, tmp_path)

    assert before[0] == 200
    assert store.ask("GET", f"/_data_stream/{STREAM}") == before
    assert store.mapping()["properties"]["fields"]["type"] == "flat_object"


def test_programs_that_contradict_one_another_are_all_taken(store: OpenSearch) -> None:
    before = store.mapping()
    texts: list[Any] = ["x", {"id": 1}, 7, True, None, ["a", "b"], {"id": {"deep": "y"}}]
    conflicts = [(f"c{n}", {"fields": {"user": one}}) for n, one in enumerate(texts)]
    keys = {f"key{number}": number for number in range(500)}

    answers = store.put(*conflicts, ("keys", {"message": "many", "fields": keys}))

    assert answers == [201] * (len(texts) + 1)
    assert store.mapping() == before
    assert store.found("fields.user.id:1") == 1
    assert store.found("fields.key499:499") == 1


def test_a_retry_doubles_nothing_and_equal_lines_stay_as_many_as_they_were(
    store: OpenSearch,
) -> None:
    equal = [(f"offset{number}", {"message": "equal"}) for number in range(50)]

    first, again = store.put(*equal), store.put(*equal)

    assert (set(first), set(again)) == ({201}, {409})
    assert store.found("message:equal") == 50


def test_a_field_of_the_charts_that_has_another_type_is_none_that_it_takes(
    store: OpenSearch,
) -> None:
    """What record.lua is for: each field keeps one type, or a chunk would be sent for ever."""
    assert store.put(("wrong", {"app": {"is": "an object"}})) == [400]

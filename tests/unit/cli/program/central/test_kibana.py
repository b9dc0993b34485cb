"""Saved searches: their form, and how they get into Kibana (which never ran here)."""

import base64
import email
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trustme

from clusterous_api.errors import TransientError
from clusterous_cli.program.central import kibana
from clusterous_cli.program.central.kibana import Program
from clusterous_cli.program.central.page import Door
from clusterous_cli.system import assets

SIM = Program(namespace="lab", app="sim")
APPS = [
    {"metadata": {"namespace": space, "name": name}}
    for space, name in (("lab", "sim"), ("default", "zoo"))
]


class Kibana(http.server.BaseHTTPRequestHandler):
    """Takes an import as Kibana's reference says; what it refuses it tells in a 200, too."""

    asked: ClassVar[list[tuple[str, Message, list[dict[str, Any]]]]] = []
    answer: ClassVar[dict[str, Any]] = {"success": True}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        form = email.message_from_bytes(
            f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode() + body
        )
        (part,) = form.get_payload()
        assert isinstance(part, Message)
        assert part.get_param("name", header="content-disposition") == "file"
        assert str(part.get_filename()).endswith(".ndjson")
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        lines = [json.loads(line) for line in content.decode().splitlines()]
        self.asked.append((self.path, self.headers, lines))
        answer = json.dumps(self.answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def there() -> Iterator[tuple[int, Door]]:
    """Where a stand-in of Kibana is, and who may enter."""
    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("clusterous-kb-http.clusterous-logging.svc").configure_cert(tls)
    server = http.server.HTTPServer(("127.0.0.1", 0), Kibana)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pem = authority.cert_pem.bytes().decode()
    port = server.server_address[1]
    yield port, Door(address="10.43.7.8", port=5601, user="elastic", password="p", authority=pem)
    server.shutdown()
    server.server_close()


def test_each_program_has_one_saved_search_however_often_it_is_put_there(
    there: tuple[int, Door],
) -> None:
    for _ in range(2):
        kibana.save(*there, kibana.programs(APPS))

    first, second = Kibana.asked[-2:]
    assert [one["id"] for one in first[2]] == ["clusterous-default-zoo", "clusterous-lab-sim"]
    assert first[2] == second[2]
    path, headers, _ = second
    assert path == "/api/saved_objects/_import?overwrite=true"
    assert headers["kbn-xsrf"]
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"elastic:p"


def test_what_kibana_does_not_take_is_told(
    there: tuple[int, Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = {"success": False, "errors": [{"error": {"type": "missing_references"}}]}
    monkeypatch.setattr(Kibana, "answer", refusal)

    with pytest.raises(TransientError, match="missing_references"):
        kibana.save(*there, [SIM])


def test_a_kibana_that_does_not_answer_may_do_so_later(there: tuple[int, Door]) -> None:
    with pytest.raises(TransientError, match="does not answer"):
        kibana.save(1, there[1], [SIM])


def test_a_search_is_of_the_charts_data_view_and_of_fields_that_records_have() -> None:
    chart = Path(assets.chart_folder("clusterous-logging"))
    template = (chart / "files/elastic/template.json").read_text()
    made = kibana.saved_search(SIM)

    source = json.loads(made["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
    (reference,) = made["references"]
    assert source["query"] == {
        "language": "kuery", "query": 'namespace : "lab" and app : "sim"',
    }  # fmt: skip
    assert source["indexRefName"] == reference["name"]
    assert f'"id": "{reference["id"]}"' in (chart / "files/elastic/dataview.json").read_text()
    for column in (*made["attributes"]["columns"], "namespace", "app", "@timestamp"):
        assert f'"{column}"' in template


def test_a_link_leads_to_the_saved_search() -> None:
    assert kibana.link(8081, SIM).startswith(
        "http://localhost:8081/app/discover#/view/clusterous-lab-sim?"
    )

"""What Kibana is to know of programs: a saved search of each, beside the data view of the chart.

By Kibana's import of saved objects, which replaces what has the same id, in the form in which
Kibana 8.8 and later writes them (https://www.elastic.co/docs/api/doc/kibana/operation/operation-post-saved-objects-import).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import urllib3

from clusterous_api.errors import TransientError
from clusterous_cli.program.central import page
from clusterous_cli.program.central.page import Door
from clusterous_cli.reach import tunnel
from clusterous_cli.reach.kube import Object

DATA_VIEW: Final = "clusterous"  # as the chart's files/elastic/dataview.json calls it
COLUMNS: Final = ("level", "component", "pod", "message")
PATH: Final = "/api/saved_objects/_import?overwrite=true"
SECONDS: Final = 30.0
_INDEX: Final = "kibanaSavedObjectMeta.searchSourceJSON.index"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Program:
    """An app of a namespace."""

    namespace: str
    app: str

    @property
    def id(self) -> str:
        """Return what its saved search is called: always the same, so that there is one."""
        return f"clusterous-{self.namespace}-{self.app}"

    @property
    def query(self) -> str:
        """Return what finds its records, in Kibana's own language."""
        return f'namespace : "{self.namespace}" and app : "{self.app}"'


# -- pure -----------------------------------------------------------------------------------


def programs(apps: Iterable[Object]) -> list[Program]:
    """Return the programs that there are."""
    there = [one["metadata"] for one in apps]
    return sorted(Program(namespace=one["namespace"], app=one["name"]) for one in there)


def saved_search(program: Program) -> dict[str, Any]:
    """Return the saved search of a program: what it said, the newest first."""
    query = {"query": program.query, "language": "kuery"}
    source = {"query": query, "filter": [], "indexRefName": _INDEX}
    return {
        "type": "search",
        "id": program.id,
        "attributes": {
            "title": f"{program.app} ({program.namespace})",
            "description": f"What the pods of {program.app} said",
            "columns": list(COLUMNS),
            "sort": [["@timestamp", "desc"]],
            "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)},
        },
        "references": [{"name": _INDEX, "type": "index-pattern", "id": DATA_VIEW}],
        "coreMigrationVersion": "8.8.0",
        "typeMigrationVersion": "8.0.0",
    }


def file(of: Iterable[Program]) -> bytes:
    """Return the saved searches as the file that is imported: one a line."""
    return "".join(f"{json.dumps(saved_search(one))}\n" for one in of).encode()


def link(port: int, program: Program) -> str:
    """Return the address of a program's saved search, with what it said in a day."""
    view = f"http://localhost:{port}/app/discover#/view/{quote(program.id, safe='')}"
    return f"{view}?_g=(time:(from:now-1d,to:now))"


# -- acting ---------------------------------------------------------------------------------


def save(port: int, door: Door, of: Iterable[Program]) -> None:
    """Put the saved searches into the Kibana behind a local *port*."""
    assert door.authority is not None
    fields = {"file": ("clusterous.ndjson", file(of), "application/ndjson")}
    login = urllib3.make_headers(basic_auth=f"{door.user}:{door.password}")
    pool = urllib3.HTTPSConnectionPool(
        tunnel.LOOPBACK,
        port,
        ssl_context=page.trust(door.authority),
        assert_hostname=False,
        timeout=SECONDS,
        retries=False,
    )
    with pool:
        try:
            answer = pool.request(
                "POST", PATH, fields=fields, headers={**login, "kbn-xsrf": "clusterous"}
            )
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"Kibana does not answer ({error}).") from error
    if answer.status != 200 or not answer.json().get("success"):
        words = answer.data[:300].decode(errors="replace")
        raise TransientError(f"Kibana has not taken the saved searches ({answer.status}): {words}")

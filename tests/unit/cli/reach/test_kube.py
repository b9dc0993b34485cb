"""What we ask of the Kubernetes API, and what its answers mean."""

import json
from typing import Any

import pytest

from clusterous_api import names
from clusterous_api.errors import TransientError
from clusterous_cli.reach import kube

APP: dict[str, Any] = {
    "apiVersion": names.API_VERSION,
    "kind": names.KIND,
    "metadata": {"name": "sim"},
    "spec": {"master": {"env": [{"name": "G", "value": "🚀 𠮷野家 ä"}]}},
}
KNOWN = {"resources": [{"name": names.PLURAL, "kind": names.KIND, "namespaced": True}]}


class Server:
    """Knows apps, and answers what is applied as it is told to."""

    def __init__(self, status: int = 200, said: Any = APP) -> None:
        self.status, self.said = status, said
        self.applied: list[str] = []

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        if method == "GET":
            return 200, json.dumps(KNOWN if path.count("/") == 3 else APP)
        self.applied.append(body or "")
        return self.status, json.dumps(self.said)


def test_every_character_is_applied_as_it_is() -> None:
    server = Server()

    kube.Api(server).apply(APP)

    # The API server's YAML reader refuses JSON's pairs of escapes (test_applying.py).
    assert [json.loads(one) for one in server.applied] == [APP]
    assert "🚀 𠮷" in server.applied[0]


@pytest.mark.parametrize("code", [403, 404, 409, 422, 429, 500, 503])
def test_what_a_policy_denies_is_told_at_once_with_whatever_code(code: int) -> None:
    message = 'admission webhook "images.example.org" denied the request: not from there'

    with pytest.raises(kube.Refused, match="not from there"):
        kube.Api(Server(code, {"message": message})).apply(APP)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (".spec.a: field not declared in schema", kube.Refused),
        ("failed to convert new object: cannot unmarshal number into Go value", kube.Refused),
        ("etcdserver: request timed out", TransientError),
    ],
)
def test_a_500_that_means_a_wrong_file_is_told_at_once(message: str, error: type) -> None:
    with pytest.raises(error):
        kube.Api(Server(500, {"message": message})).apply(APP)

"""Who is let in to a page: the controllers, by the addresses that their own packets have."""

import base64
import json
from typing import Any

import pytest

from clusterous_api.errors import FailedError
from clusterous_cli.cluster.file.centrallogging import Store
from clusterous_cli.program.central import page
from clusterous_cli.program.central.page import Door
from clusterous_cli.program.central.stores import STORES
from clusterous_cli.reach.kube import Api


def node(cidr: str | None, *, controller: bool) -> dict[str, Any]:
    labels = {"node-role.kubernetes.io/control-plane": "true"} if controller else {}
    return {"metadata": {"labels": labels}, "spec": {"podCIDRs": [cidr]} if cidr else {}}


CONTROLLER = node("10.42.3.0/24", controller=True)
WORKER = node("10.42.4.0/24", controller=False)
SPACE = "/api/v1/namespaces/clusterous-logging"


def test_it_is_the_controllers_own_addresses_and_never_the_pod_network() -> None:
    assert page.admitted([CONTROLLER, WORKER]) == ["10.42.3.0/32", "10.42.3.1/32"]


@pytest.mark.parametrize("store", [Store.LIGHT, Store.EFK])
def test_the_policy_is_about_the_page_alone(store: Store) -> None:
    where = STORES[store].page
    assert where is not None

    made = page.policy(where, ["10.42.3.0/32"])

    assert made["spec"]["podSelector"] == {"matchLabels": dict(where.selector)}
    assert made["spec"]["ingress"] == [
        {
            "ports": [{"port": where.pod_port, "protocol": "TCP"}],
            "from": [{"ipBlock": {"cidr": "10.42.3.0/32"}}],
        }
    ]


class Cluster:
    """An API server of a few objects."""

    def __init__(self, objects: dict[str, Any]) -> None:
        self.objects = {
            "/apis/networking.k8s.io/v1": {
                "resources": [
                    {"name": "networkpolicies", "kind": "NetworkPolicy", "namespaced": True}
                ]
            },
            **objects,
        }
        self.applied: list[Any] = []

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        if method == "PATCH":
            self.applied.append(json.loads(body or ""))
            return 200, body or ""
        found = self.objects.get(path)
        return (404, "{}") if found is None else (200, json.dumps(found))


def encoded(**data: str) -> dict[str, Any]:
    return {"data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}}


LIGHT = {
    f"{SPACE}/services/clusterous-logs": {"spec": {"clusterIP": "10.43.7.7"}},
    f"{SPACE}/secrets/clusterous-logs-auth": encoded(password="p"),
    "/api/v1/nodes": {"items": [CONTROLLER, WORKER]},
}


def test_a_page_is_opened_by_who_may_enter() -> None:
    cluster = Cluster(LIGHT)

    found = page.let_in(Api(cluster), Store.LIGHT)

    assert found == Door(address="10.43.7.7", port=9428, user="clusterous", password="p")
    (policy,) = cluster.applied
    assert policy["metadata"] == {"name": page.POLICY, "namespace": "clusterous-logging"}
    assert "10.42.3.0/32" in str(policy["spec"])


def test_a_controller_that_was_replaced_has_other_addresses() -> None:
    other = {**LIGHT, "/api/v1/nodes": {"items": [node("10.42.9.0/24", controller=True)]}}
    cluster = Cluster(other)

    page.let_in(Api(cluster), Store.LIGHT)

    assert "10.42.9.1/32" in str(cluster.applied)
    assert "10.42.3." not in str(cluster.applied)


def test_kibana_is_asked_under_tls_by_its_own_authority() -> None:
    cluster = Cluster(
        {
            f"{SPACE}/services/clusterous-kb-http": {"spec": {"clusterIP": "10.43.7.8"}},
            f"{SPACE}/secrets/clusterous-es-elastic-user": encoded(elastic="e"),
            f"{SPACE}/secrets/clusterous-kb-http-certs-public": encoded(**{"ca.crt": "PEM"}),
            "/api/v1/nodes": {"items": [CONTROLLER]},
        }
    )

    found = page.let_in(Api(cluster), Store.EFK)

    assert (found.user, found.password, found.authority) == ("elastic", "e", "PEM")


@pytest.mark.parametrize("lost", list(LIGHT))
def test_what_is_not_there_yet_is_said(lost: str) -> None:
    cluster = Cluster({path: found for path, found in LIGHT.items() if path != lost})

    with pytest.raises(FailedError, match="yet"):
        page.let_in(Api(cluster), Store.LIGHT)

    assert cluster.applied == []


def test_a_store_of_yours_has_its_own_page() -> None:
    with pytest.raises(FailedError, match="not on the cluster"):
        page.let_in(Api(Cluster({})), Store.YOURS)

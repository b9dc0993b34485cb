"""The cache never keeps what is gone, nor takes the old for the new."""

from typing import Any

from clusterous_api import models, names
from clusterous_operator.cache import observed
from clusterous_operator.cache.observed import Pod
from clusterous_operator.cache.store import Store, Table
from tests.unit.operator.making import make_body


def pod(name: str, version: int, app: str = "sim", namespace: str = "lab", **status: Any) -> Pod:
    return observed.pod(
        {
            "metadata": {
                "namespace": namespace,
                "name": name,
                "resourceVersion": str(version),
                "labels": {"clusterous.io/app": app},
            },
            "status": status,
        }
    )


def table() -> Table[Pod]:
    return Table(observed.pod, lambda item: (item.namespace, item.app))


def names_of(found: Table[Pod], app: str = "sim") -> set[str]:
    return {one.name for one in found.of(("lab", app))}


def test_groups_by_what_an_object_belongs_to() -> None:
    pods = table()
    pods.put(pod("a", 1))
    pods.put(pod("b", 2, app="other"))

    assert (names_of(pods), names_of(pods, "other")) == ({"a"}, {"b"})


def test_a_change_of_group_shows_in_both() -> None:
    pods = table()
    pods.put(pod("a", 1))

    changed = pods.put(pod("a", 2, app="other"))

    assert {one.app for one in changed} == {"sim", "other"}
    assert names_of(pods) == set()


def test_an_older_version_changes_nothing() -> None:
    pods = table()
    pods.put(pod("a", 5, phase="Failed"))

    assert pods.put(pod("a", 4)) == []
    assert [one.ended for one in pods.all()] == [True]


def test_a_change_that_does_not_matter_is_not_told() -> None:
    pods = table()
    pods.put(pod("a", 1))

    assert pods.put(pod("a", 2)) == []


def test_a_late_deletion_does_not_remove_the_next_of_that_name() -> None:
    pods = table()
    pods.put(pod("a", 9))

    pods.remove(pod("a", 7))

    assert names_of(pods) == {"a"}


def test_an_answer_that_is_later_than_the_news_of_the_end_brings_nothing_back() -> None:
    pods = table()
    pods.put(pod("a", 3))
    pods.remove(pod("a", 5))

    late = pods.put(pod("a", 4))
    pods.put(pod("b", 4))
    pods.remove(pod("unseen", 6))
    pods.put(pod("unseen", 6))

    assert late == []
    assert names_of(pods) == {"b"}
    pods.put(pod("a", 7))
    assert names_of(pods) == {"a", "b"}


def test_a_list_replaces_what_vanished_unseen() -> None:
    pods = table()
    pods.put(pod("a", 1))
    pods.put(pod("b", 2))

    changed = pods.replace([pod("b", 2), pod("c", 3)], None, 4)

    assert names_of(pods) == {"b", "c"}
    assert {one.name for one in changed} == {"a", "c"}


def test_what_a_list_does_not_have_is_not_brought_back_by_what_was_before_it() -> None:
    pods = table()
    pods.put(pod("a", 1))
    pods.replace([], None, 5)

    told_again = pods.put(pod("a", 4))
    pods.put(pod("never seen", 5))

    assert told_again == []
    assert names_of(pods) == set()
    pods.put(pod("a", 6))
    assert names_of(pods) == {"a"}


def test_a_list_of_one_namespace_says_nothing_of_what_was_elsewhere() -> None:
    pods = table()
    pods.replace([], "lab", 5)

    pods.put(pod("a", 4))
    pods.put(pod("x", 4, namespace="elsewhere"))

    assert [one.name for one in pods.all()] == ["x"]


def test_a_list_leaves_what_is_newer_than_itself() -> None:
    pods = table()
    pods.put(pod("a", 7))

    changed = pods.replace([pod("b", 2)], None, 5)

    assert names_of(pods) == {"a", "b"}
    assert {one.name for one in changed} == {"b"}


def test_a_list_is_believed_as_it_stands_even_one_that_is_older_than_the_last() -> None:
    pods = table()
    pods.replace([], None, 5)

    pods.replace([pod("a", 2)], None, 3)

    assert names_of(pods) == {"a"}


def test_a_list_of_one_namespace_leaves_the_others() -> None:
    pods = table()
    pods.put(pod("a", 1))
    pods.put(pod("x", 1, namespace="elsewhere"))

    pods.replace([], "elsewhere", 2)

    assert names_of(pods) == {"a"}
    assert len(pods) == 1


def test_what_pods_have_asked_for_is_not_remembered_for_ever() -> None:
    for index in range(3_000):
        port = {"containerPort": 80, "hostPort": index}
        container = {"name": "x", "resources": {"requests": {"cpu": index}}, "ports": [port]}
        observed.pod({"metadata": {"name": "one"}, "spec": {"containers": [container]}})

    assert len(observed._requests) <= 1_000
    assert len(observed._ports) <= 1_000


def test_a_pod_that_says_too_much_of_its_place_wants_none() -> None:
    def place(values: int) -> Any:
        tolerations = [{"key": f"key-{index}"} for index in range(values)]
        return observed.pod({"metadata": {"name": "one"}, "spec": {"tolerations": tolerations}})

    assert place(50).waits
    assert not place(5_000).waits


def test_an_app_stays_with_the_claim_of_its_own_that_is_gone() -> None:
    store, body = Store(), make_body(master={})
    store.cluster = {names.CLUSTER_VOLUME_KEY: "{nfs: {server: 192.0.2.9}}"}
    store.apps.put(store.apps.trim(body))
    app = models.parse(body)
    assert store.observe(app, whole_cluster=False).claim_name == names.CLUSTER_CLAIM

    told = {**body, "status": {"claim": {"name": "sim-data", "volume": "pvc-1"}}}
    store.apps.put(store.apps.trim(told))

    assert store.observe(app, whole_cluster=False).claim_name == "sim-data"

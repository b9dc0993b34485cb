"""The overlay of a pod template is merged as the API server merges a strategic merge patch.

Generated overlays are laid over templates twice: by the API server, which is asked for a change of
a Deployment without making it, and by us. What would be stored must be the same both times, once
the API server has filled in its defaults. Where ours differs on purpose, merge.py says so; such
overlays are not made here.
"""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterous_operator.objects import merge
from tests.cluster.controlplane import ApiError, ControlPlane

pytestmark = pytest.mark.cluster

Body = dict[str, Any]
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
DRY = "?dryRun=All"

PLAIN: Body = {
    "metadata": {"labels": {"drift": "yes"}},
    "spec": {
        "containers": [{"name": "main", "image": "example.org/a"}],
        "volumes": [{"name": "data", "emptyDir": {}}],
    },
}
RICH: Body = {
    "metadata": {"labels": {"drift": "yes", "a": "1"}, "annotations": {"note": "old"}},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": "example.org/a",
                "args": ["a", "b"],
                "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}],
                "ports": [{"name": "http", "containerPort": 80}],
                "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["KILL"]}},
                "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 3},
            },
            {"name": "side", "image": "example.org/b"},
        ],
        "initContainers": [{"name": "first", "image": "example.org/c", "command": ["x"]}],
        "volumes": [
            {"name": "data", "emptyDir": {}},
            {"name": "files", "configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}},
        ],
        "nodeSelector": {"pool": "a", "zone": "z"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "imagePullSecrets": [{"name": "one"}],
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}],
        "securityContext": {"fsGroup": 1, "supplementalGroups": [1, 2]},
        "topologySpreadConstraints": [
            {
                "topologyKey": "zone",
                "maxSkew": 1,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"a": "1"}},
            }
        ],
    },
}
BASES = {"drift-plain": PLAIN, "drift-rich": RICH}


@pytest.fixture(scope="module")
def plane(shared_plane: ControlPlane) -> Iterator[ControlPlane]:
    """A control plane with a Deployment of each template."""
    for name, template in BASES.items():
        shared_plane.api("POST", DEPLOYMENTS, deployment(name, template))
    yield shared_plane
    for name in BASES:
        shared_plane.api("DELETE", f"{DEPLOYMENTS}/{name}")


def deployment(name: str, template: Body) -> Body:
    selector = {"matchLabels": {"drift": "yes"}}
    spec = {"replicas": 0, "selector": selector, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def patched(plane: ControlPlane, name: str, overlay: Body) -> Body | None:
    """Return the template that the API server's own merge would store; None if it refuses it."""
    connection = http.client.HTTPSConnection("127.0.0.1", plane.port, context=plane.tls)
    body = json.dumps({"spec": {"template": overlay}})
    kind = {"Content-Type": "application/strategic-merge-patch+json"}
    connection.request("PATCH", f"{DEPLOYMENTS}/{name}{DRY}", body=body, headers=kind)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    if response.status == 422:
        return None
    assert response.status == 200, text
    return stored(json.loads(text))


def ours(plane: ControlPlane, name: str, overlay: Body) -> Body | None:
    """Return the template that is stored when we have merged it; None if it is refused."""
    merged = merge.strategic(BASES[name], overlay)
    try:
        return stored(plane.api("POST", DEPLOYMENTS + DRY, deployment("drift", merged)))
    except ApiError as refused:
        if refused.status != 422:
            raise
        return None


def stored(body: Body) -> Body:
    found: Body = sorted_by_name(body["spec"]["template"])
    return found


def sorted_by_name(value: Any, key: str = "") -> Any:
    """Put what a list holds by name in the order of the names; leave other lists alone."""
    if isinstance(value, dict):
        return {name: sorted_by_name(item, name) for name, item in value.items()}
    if not isinstance(value, list):
        return value
    items = [sorted_by_name(item) for item in value]
    if key in merge.KEYS:
        return sorted(items, key=lambda item: str(merge.identity(key, item)))
    return items


def to_the_point(overlay: Any, base: Any, key: str = "") -> Any:
    """Return an overlay that takes nothing away from what its base has not."""
    if isinstance(overlay, dict):
        known = base if isinstance(base, dict) else {}
        return {
            name: to_the_point(value, known.get(name), name)
            for name, value in overlay.items()
            if isinstance(base, dict) or (name != "$patch" and value is not None)
        }
    if key not in merge.KEYS or not isinstance(overlay, list):
        return overlay
    there = {merge.identity(key, item): item for item in base or ()}
    return [
        to_the_point(item, there.get(merge.identity(key, item)))
        for item in overlay
        if item.get("$patch") != "delete" or merge.identity(key, item) in there
    ]


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Body]:
    """Return a mapping with any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


def named(key: str, names: list[Any], rest: st.SearchStrategy[Body]) -> st.SearchStrategy[Any]:
    """Return a list of things of different names, of which one may be taken away."""
    chosen = st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)
    return st.tuples(chosen, rest, rest, st.booleans()).map(
        lambda made: [
            {key: name, "$patch": "delete"} if made[3] and index else {key: name, **made[1 + index]}
            for index, name in enumerate(made[0])
        ]
    )


word = st.sampled_from(["a", "b", "c"])
words = st.lists(word, max_size=2)
pairs = st.dictionaries(st.sampled_from(["a", "pool", "new"]), word | st.none(), max_size=2)
replacing = pairs.map(lambda found: {"$patch": "replace"} | {k: v for k, v in found.items() if v})
amounts = st.dictionaries(st.sampled_from(["cpu", "memory"]), st.sampled_from(["1", "2", None]))

probe = some(
    httpGet=st.just({"path": "/x", "port": 81}),
    periodSeconds=st.sampled_from([5, None]),
    timeoutSeconds=st.just(2),
)
container = some(
    args=words | st.none(),
    command=words,
    workingDir=st.sampled_from(["/x", None]),
    env=named("name", ["X", "Y", "Z"], st.just({"value": "9"})),
    envFrom=st.just([{"configMapRef": {"name": "c"}}]),
    ports=named("containerPort", [80, 81], some(hostIP=st.just("10.0.0.1"))),
    resources=some(requests=amounts | st.none()),
    volumeMounts=named("mountPath", ["/data", "/more"], st.just({"name": "data"})),
    securityContext=some(
        runAsUser=st.just(5),
        capabilities=some(drop=st.just(["KILL"]), add=st.just(["CHOWN"]) | st.none()),
    )
    | st.none(),
    readinessProbe=some(periodSeconds=st.just(7)) | st.none(),
    livenessProbe=st.just({"exec": {"command": ["x"]}}),
    terminationMessagePolicy=st.just("FallbackToLogsOnError"),
)


def with_image(strategy: st.SearchStrategy[Body]) -> st.SearchStrategy[Body]:
    return strategy.map(lambda made: {"image": "example.org/new", **made})


expression = {"key": "a", "operator": "Exists"}
affinity = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [expression]}]
        }
    }
}
spread = {"maxSkew": 2, "whenUnsatisfiable": "ScheduleAnyway"}
spec = some(
    containers=named("name", ["main", "side", "new"], with_image(container)),
    initContainers=named("name", ["first", "second"], with_image(container)),
    volumes=st.just([{"name": "more", "emptyDir": {}}])
    | st.just([{"name": "files", "configMap": {"items": [{"key": "n", "path": "m"}]}}])
    | st.just([{"name": "files", "$patch": "delete"}, {"name": "z", "emptyDir": {}}]),
    nodeSelector=pairs | replacing | st.none(),
    tolerations=st.just([{"key": "b", "operator": "Exists"}]) | st.none() | st.just([]),
    imagePullSecrets=named("name", ["one", "two"], st.just({})),
    hostAliases=named("ip", ["10.0.0.1", "10.0.0.2"], st.just({"hostnames": ["b", "c"]})),
    securityContext=some(runAsUser=st.just(7), supplementalGroups=st.just([3]) | st.none()),
    affinity=st.just(affinity) | st.none(),
    topologySpreadConstraints=named("topologyKey", ["zone", "host"], st.just(spread)),
    terminationGracePeriodSeconds=st.sampled_from([5, None]),
    hostNetwork=st.just(False),
    dnsConfig=st.just({"nameservers": ["10.0.0.9"]}),
)
overlays = some(metadata=some(labels=pairs, annotations=pairs | st.none()), spec=spec)


@settings(max_examples=150, derandomize=True)
@given(st.sampled_from(list(BASES)), overlays)
def test_merges_as_the_api_server_does(plane: ControlPlane, name: str, overlay: Body) -> None:
    change = to_the_point(overlay, BASES[name])

    assert ours(plane, name, change) == patched(plane, name, change)

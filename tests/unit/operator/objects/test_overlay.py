"""Whatever stands in an overlay, it makes pods or is refused with component and field."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from clusterous_api.errors import UserError
from clusterous_operator import manifests
from clusterous_operator.capacity import sizing
from clusterous_operator.decisions import counting, fill, plan, situation
from clusterous_operator.objects import overlay
from clusterous_operator.objects.usage import Usage
from tests.unit.operator.making import FakeApi, make_app, make_node, steps_of

SPREAD = {
    "maxSkew": 1,
    "topologyKey": "zone",
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {
        "matchLabels": {"a": "b"},
        "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}],
    },
    "matchLabelKeys": ["clusterous.io/app"],
}
APART = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
SIZE = {"number": {"key": "size", "operator": "Gt", "values": ["1"]}}
OVERLAY: dict[str, Any] = {
    "hostNetwork": True,
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}],
    "overhead": {"cpu": "1m"},
    "resources": {"requests": {"cpu": "2"}},
    "topologySpreadConstraints": [SPREAD],
    "affinity": {
        "nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [SIZE["number"]]}]}},
        "podAntiAffinity": {REQUIRED: [APART]},
    },
    "volumes": [{"name": "more", "emptyDir": {"sizeLimit": "1Gi"}}],
    "unheardOf": {"env": [{"name": "A"}], "ports": [{"containerPort": 1}], "volumes": [{}]},
    "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["one"]}],
    "imagePullSecrets": [{"name": "login"}],
    "initContainers": [{"name": "first", "restartPolicy": "Always"}],
    "containers": [
        {
            "name": "workers",
            "env": [{"name": "A", "value": "1"}],
            "ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}],
            "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
            "volumeMounts": [{"name": "more", "mountPath": "/more"}],
        },
        {"name": "beside", "image": "example.org/beside:1"},
    ],
}
JUNK: tuple[Any, ...] = (
    None, "x", "", 5, -1, 1.5, True, [], [None], ["x"], [5], [[]], {}, {"x": "y"}, {"name": []},
    [{}], [{"x": None}], {"cpu": [1]}, {"requests": "x"}, "1e-999999", "1" * 100,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the paths to all that a value holds."""
    keys = range(len(value)) if isinstance(value, list) else value
    for key in keys if isinstance(value, list | dict) else ():
        yield (*path, key)
        yield from places(value[key], (*path, key))


def damaged(path: tuple[Any, ...], junk: Any) -> dict[str, Any]:
    """Return the overlay with something else in one place."""
    overlay = copy.deepcopy(OVERLAY)
    at: Any = overlay
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = junk
    return overlay


def use(overlay: Any) -> None:
    """Do with an overlay all that a look at the app does."""
    app = make_app(
        workers={"template": {"spec": overlay}},
        components=[{"name": "more", "template": {"spec": overlay}}],
    )
    manifests.check(app)
    nodes = [make_node(name, labels={"zone": name, "size": "2"}) for name in ("a", "b")]
    api = FakeApi()
    api.nodes = tuple(nodes)
    for _ in range(2):
        api.carry_out(steps_of(api.observe(app)))
    seen = api.observe(app)
    fill.size(seen, {}, 0.0, 1.0)
    for one in app.components:
        template = manifests.pod_template(app, one, manifests.Facts())
        demand = sizing.demand(template["spec"], labels=template["metadata"]["labels"])
        sizing.fill_beside(nodes, Usage(), [], [sizing.Group(name="", demand=demand, max=3)])
    plan.plan(manifests.desired(app, situation.facts(seen, counting.Size())), frozenset(), {})


def refusal(overlay: Any) -> str:
    """Return how an overlay is refused, or nothing."""
    try:
        use(overlay)
    except UserError as error:
        return str(error)
    return ""


def test_the_overlay_of_these_tests_is_one() -> None:
    use(OVERLAY)


@pytest.mark.parametrize("path", list(places(OVERLAY)), ids=lambda path: ".".join(map(str, path)))
def test_every_shape_is_used_or_refused_with_component_and_field(path: tuple[Any, ...]) -> None:
    said = {str(junk): refusal(damaged(path, junk)) for junk in JUNK}

    unnamed = {
        junk: words
        for junk, words in said.items()
        if words and not (words.startswith("spec.workers.template.spec.") and len(words) < 500)
    }
    assert unnamed == {}


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        ({"tolerations": {"key": "a"}}, "tolerations must be a list, not a mapping."),
        ({"tolerations": ["x"]}, "tolerations[0] must be a mapping, not 'x'."),
        ({"containers": {"name": "x"}}, "containers must be a list, not a mapping."),
        ({"containers": [{"image": "x"}]}, "containers[0].name is missing."),
        ({"affinity": "x"}, "affinity must be a mapping, not 'x'."),
        (
            {"topologySpreadConstraints": [{**SPREAD, "maxSkew": None}]},
            "topologySpreadConstraints[0].maxSkew is missing.",
        ),
        (
            {"containers": [{"name": "workers", "env": [{"name": "PORT", "value": 8080}]}]},
            "containers[workers].env[PORT].value must be text, not 8080. Write it in quotes.",
        ),
        (
            {"containers": [{"name": "workers", "resources": {"limits": {"cpu": "two"}}}]},
            "containers[workers].resources.limits.cpu must be a quantity such as 2, 500m or "
            "20Gi, not 'two'.",
        ),
        (
            {"containers": [{"name": "workers", "ports": [{"hostPort": 1}]}], "hostNetwork": True},
            "containers[workers].ports[0].containerPort is missing.",
        ),
    ],
)
def test_says_what_is_wrong(overlay: Any, said: str) -> None:
    with pytest.raises(UserError) as caught:
        manifests.check(make_app(workers={"template": {"spec": overlay}}))

    assert str(caught.value) == f"spec.workers.template.spec.{said}"


def test_what_says_too_much_of_where_pods_may_run_is_told() -> None:
    rules = {"tolerations": [{"key": f"key-{index}", "operator": "Exists"} for index in range(400)]}

    with pytest.raises(UserError, match=r"^spec\.workers\.template\.spec says in 800 values where"):
        manifests.check(make_app(workers={"template": {"spec": rules}}))


@pytest.mark.parametrize("open_field", ["template", "env"])
def test_what_is_nested_without_end_is_told(open_field: str) -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": [deep]}
    given: Any = {"spec": deep} if open_field == "template" else [{"name": "A", "valueFrom": deep}]

    with pytest.raises(UserError, match=r"^spec\.workers is nested more than 100 deep"):
        manifests.check(make_app(workers={open_field: given}))


def test_directives_and_nulls_take_away() -> None:
    overlay = {
        "nodeSelector": None,
        "volumes": [{"name": "data", "$patch": "delete"}],
        "tolerations": [{"$patch": "replace"}, {"key": None, "operator": "Exists"}],
        "imagePullSecrets": [{"$patch": "replace"}],
    }

    manifests.check(make_app(master={"template": {"spec": overlay}}))


def test_requests_beyond_the_crds_pattern_are_told_with_their_component() -> None:
    app = make_app(
        components=[{"name": "web", "resources": {"requests": {"cpu": "1" * 100}}}],
    )

    with pytest.raises(UserError, match=r"^spec\.components\[web\]\.resources\.requests\.cpu must"):
        manifests.check(app)


@pytest.mark.parametrize("wrong", [{"half": 1}, [1], True, "much", "1" * 100])
def test_what_is_no_quantity_is_told_with_its_field(wrong: Any) -> None:
    with pytest.raises(UserError, match=r"^spec\.idle\.cpu must be a quantity"):
        manifests.check(make_app(idle={"afterSeconds": 60, "cpu": wrong}))
    with pytest.raises(UserError, match=r"^spec\.master\.resources\.requests\.cpu must be a quant"):
        manifests.check(make_app(master={"resources": {"requests": {"cpu": wrong}}}))


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (
            "spec.template.spec.containers[1].image",
            "spec.workers.template.spec.containers[0].image",
        ),
        ("spec.template.spec.containers[0].image", "spec.workers.image"),
        ("spec.template.spec.containers[0].env[3].name", "spec.workers.env[A B].name"),
        ("spec.template.spec.volumes[1].name", "spec.workers.template.spec.volumes[0].name"),
        ("spec.template.spec.dnsPolicy", "spec.workers.template.spec.dnsPolicy"),
        ("metadata.labels", "metadata.labels"),
    ],
)
def test_a_refusal_tells_the_place_as_the_user_wrote_it(place: str, said: str) -> None:
    overlay = {"containers": [{"name": "web"}], "volumes": [{"name": "own", "emptyDir": {}}]}
    app = make_app(workers={"replicas": 1, "env": [{"name": "A B"}], "template": {"spec": overlay}})
    facts = manifests.Facts(replicas={"workers": 1}, addresses={"master": "10.0.0.1"})
    wanted = manifests.desired(app, facts)
    manifest = next(one for one in wanted if one["metadata"]["name"] == "sim-workers")

    message = manifests.told(app, manifest, f"it is invalid: {place}: Required value")

    assert message == f"it is invalid: {said}: Required value"


class Compared(str):
    """A text that counts how often it is compared."""

    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_a_refusal_of_thousands_of_items_is_told_at_once() -> None:
    """One app's refusal must not hold up who waits behind it, the Lease's renewal among them."""
    count = 2_000
    items = [{"name": Compared(f"v{index}")} for index in range(count)]
    message = "; ".join(f"spec.template.spec.volumes[{index + 1}].name" for index in range(count))
    Compared.times = 0

    said = overlay.in_users_words(
        "spec.workers", {"volumes": items}, {"volumes": [{"name": "data"}, *items]}, message
    )

    assert said.endswith(f"spec.workers.template.spec.volumes[{count - 1}].name")
    assert Compared.times < 10 * count

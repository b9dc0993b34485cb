"""Images that are kept: who uses them, what is built on what, and which may go."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterous_api.errors import TransientError, UserError
from clusterous_cli.images.stock import removal, shelf, usage
from clusterous_cli.images.stock.shelf import Item
from clusterous_cli.images.stock.usage import Use, Uses
from clusterous_cli.output import images
from clusterous_cli.reach import kube

NOW = datetime(2026, 11, 30, tzinfo=UTC)
REGISTRY = "r.example"


def item(name: str = "tool", number: int = 1, **changes: Any) -> Item:
    made = Item(
        repository=f"clusterous/reef/{name}",
        name=name,
        digest=f"sha256:{number:064x}",
        tags=(f"src-{number:016x}",),
        size=1 << 20,
        pushed=NOW - timedelta(days=3),
        layers=(f"sha256:base{number}", f"sha256:top{number}"),
    )
    return replace(made, **changes)


def used(image: str, cluster: str = "reef") -> Uses:
    return Uses(found=(Use(cluster=cluster, who="default/app", image=image),), unasked={})


NOBODY = Uses(unasked={})


@pytest.mark.parametrize(
    ("image", "is_used"),
    [
        pytest.param(f"{REGISTRY}/clusterous/reef/tool@{item().digest}", True, id="digest"),
        pytest.param(f"{REGISTRY}/other@{item().digest}", True, id="the digest elsewhere"),
        pytest.param(f"{REGISTRY}/clusterous/reef/tool:v1", True, id="a tag"),
        pytest.param(f"{REGISTRY}/clusterous/reef/tool", True, id="no tag"),
        pytest.param(f"{REGISTRY}/clusterous/reef/tool:v2", False, id="another tag"),
        pytest.param(f"{REGISTRY}/clusterous/reef/a-tool:v1", False, id="another image"),
        pytest.param("tool:v1", False, id="one of docker's"),
    ],
)
def test_what_is_named_is_used(image: str, is_used: bool) -> None:
    one = item(tags=("latest", "src-1", "v1"))

    decision = removal.decide([one], [one], used(image))

    assert (decision.go == (one,)) is not is_used
    assert is_used is bool(decision.stay)
    if is_used:
        assert images.stay_words(decision) == ["tool:latest stays: used by default/app on reef"]


def test_what_a_used_image_is_built_on_stays() -> None:
    base = item("base", 1, layers=("sha256:a", "sha256:b"))
    upper = item("tool", 2, layers=("sha256:a", "sha256:b", "sha256:c"))
    same = item("other", 3, layers=("sha256:a", "sha256:b"))
    apart = item("apart", 4, layers=("sha256:a", "sha256:x"))
    everything = [base, upper, same, apart]

    decision = removal.decide([base, same, apart], everything, used(f"x@{upper.digest}"))

    assert decision.go == (apart,)
    assert [why for _, why in decision.stay] == [
        f"{upper.title} is built on it, which is used by default/app on reef"
    ] * 2


def test_an_image_of_no_layers_is_nobodys_base() -> None:
    empty, upper = item("empty", 1, layers=()), item("tool", 2)

    assert removal.decide([empty], [empty, upper], used(f"x@{upper.digest}")).go == (empty,)


def test_a_cluster_that_cannot_be_asked_counts_as_using_everything() -> None:
    one = item()
    uses = Uses(unasked={"far": "no way in"})

    decision = removal.decide([one], [one], uses)

    assert not decision.go
    assert "far could not be asked whether it uses it (no way in)" in decision.stay[0][1]


def test_every_cluster_is_asked_and_one_that_fails_is_told() -> None:
    def transport(method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        if path == "/api/v1/pods":
            return 200, (
                '{"items": [{"metadata": {"namespace": "x", "name": "p"}, "status":'
                ' {"containerStatuses": [{"imageID": "r/t@sha256:1", "image": "sha256:2"}]}}]}'
            )
        if path.endswith("clusterousapps"):
            return 200, (
                '{"items": [{"metadata": {"name": "a"}, "spec": {"suspended": true, "master":'
                ' {"template": {"spec": {"initContainers": [{"image": "r/t@sha256:3"}]}}}}}]}'
            )
        return 404, "{}"

    def reached(name: str) -> kube.Api:
        if name == "far":
            raise TransientError("no way in")
        return kube.Api(transport)

    uses = usage.ask(["reef", "far"], reached)

    assert {(one.who, one.image) for one in uses.found} == {
        ("x/p", "r/t@sha256:1"),
        ("x/p", "sha256:2"),
        ("default/a", "r/t@sha256:3"),
    }
    assert uses.unasked == {"far": "no way in"}


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"image": "IT"}, id="a container's"),
        pytest.param({"volumes": [{"image": {"reference": "IT"}}]}, id="a volume's"),
        pytest.param({"env": [{"name": "EXECUTOR", "value": "IT"}]}, id="a variable"),
        pytest.param({"args": ["--image=IT", "--n=2"]}, id="an argument"),
        pytest.param({"command": ["sh", "-c", "start IT; wait"]}, id="a script"),
    ],
)
def test_an_image_is_used_wherever_it_is_named_by_its_digest(spec: dict[str, Any]) -> None:
    one = item()
    text = json.dumps(spec).replace("IT", f"{REGISTRY}/{one.repository}@{one.digest}")
    app = {"metadata": {"name": "app"}, "spec": json.loads(text)}

    uses = Uses(found=tuple(usage.named("reef", [app])), unasked={})

    assert removal.decide([one], [one], uses).go == ()


@dataclass(frozen=True)
class Shelf:
    """Images as somebody built them, each on an earlier one or on none, and who names which."""

    items: list[Item]
    bases: list[int | None]
    apps: list[dict[str, Any]]
    named: set[int]

    @property
    def kept(self) -> set[int]:
        """The images that are named, and all that those are built on."""
        found, waiting = set[int](), list(self.named)
        while waiting:
            one = waiting.pop()
            found.add(one)
            base = self.bases[one]
            waiting += [] if base is None else [base]
        return found


PLACES = ("image", "volume", "variable", "cron", "status")


def naming(how: str, image: str) -> dict[str, Any]:
    """Return an object, suspended or not, that names *image* somewhere."""
    wholes: dict[str, dict[str, Any]] = {
        "image": {"spec": {"suspend": True, "workers": {"image": image}}},
        "volume": {"spec": {"template": {"spec": {"volumes": [{"image": {"reference": image}}]}}}},
        "variable": {"spec": {"workers": {"env": [{"name": "IMAGE", "value": image}]}}},
        "cron": {"spec": {"jobTemplate": {"spec": {"containers": [{"image": image}]}}}},
        "status": {"status": {"containerStatuses": [{"imageID": f"docker-pullable://{image}"}]}},
    }
    return {"metadata": {"name": "app"}, **wholes[how]}


@st.composite
def shelves(draw: st.DrawFn) -> Shelf:
    items: list[Item] = []
    bases: list[int | None] = []
    for number in range(draw(st.integers(1, 7))):
        base = draw(st.one_of(st.none(), st.integers(0, number - 1))) if number else None
        below = () if base is None else items[base].layers
        own = tuple(f"sha256:{number}-{n}" for n in range(draw(st.integers(1, 2))))
        name = draw(st.sampled_from(["tool", "base"]))
        tags = (f"src-{number}", *draw(st.sampled_from([(), (f"v{number}",)])))
        items.append(item(name, number, layers=below + own, tags=tags))
        bases.append(base)
    named = draw(st.sets(st.sampled_from(range(len(items)))))
    apps = []
    for number in sorted(named):
        one, how = items[number], draw(st.sampled_from(PLACES))
        by = [f"@{one.digest}", f":src-{number}@{one.digest}"]
        # A tag alone is no digest: it counts where it stands for what a container runs.
        by += [f":{tag}" for tag in one.tags] if how in ("image", "volume", "cron") else []
        apps.append(naming(how, f"{REGISTRY}/{one.repository}{draw(st.sampled_from(by))}"))
    return Shelf(items=items, bases=bases, apps=apps, named=named)


@given(shelves(), st.data())
def test_what_is_used_or_built_on_never_goes_and_nothing_else_stays(
    shelf: Shelf, data: st.DataObject
) -> None:
    clusters = [data.draw(st.sampled_from(["reef", "far"])) for _ in shelf.apps]
    uses = Uses(
        found=tuple(
            use
            for cluster, app in zip(clusters, shelf.apps, strict=True)
            for use in usage.named(cluster, [app])
        ),
        unasked={},
    )
    wanted = data.draw(st.lists(st.sampled_from(shelf.items), unique=True))

    gone = removal.decide(wanted, shelf.items, uses).go

    kept = {shelf.items[number].digest for number in shelf.kept}
    assert [one.digest for one in gone] == [o.digest for o in wanted if o.digest not in kept]


def test_prune_leaves_what_has_a_name_and_what_was_just_pushed() -> None:
    old, named, fresh = item(number=1), item(number=2, tags=("v1",)), item(number=3, pushed=NOW)
    cache = item(number=4, tags=("cache-x",))
    everything = [old, named, fresh, cache]
    day = timedelta(days=1)

    assert removal.prunable(everything, NOW, day, False) == [old]
    assert removal.prunable(everything, NOW, day, True) == [old, named, cache]
    assert removal.prunable(everything, NOW, timedelta(0), False) == [old, fresh]


def test_an_image_is_found_by_each_of_its_names() -> None:
    one, other = item(tags=("latest", "src-1")), item(number=2, tags=("src-2", "v1"))
    everything = [one, other, item("else", 3)]

    assert shelf.find(everything, "tool") is one
    assert shelf.find(everything, "tool:v1") is other
    assert shelf.find(everything, "tool:src-2") is other
    assert shelf.find(everything, f"tool@{other.digest}") is other
    for text in ("tool:v2", "tool@sha256:", "nothing"):
        with pytest.raises(UserError, match=f"There is no image {text}"):
            shelf.find(everything, text)
    with pytest.raises(UserError, match="There is tool:latest, tool:v1"):
        shelf.find(everything, "tool:v2")


def test_images_are_listed_with_sizes_and_ages() -> None:
    everything = [item(tags=("latest", "src-1", "v1")), item("x", 2, tags=())]

    table = images.listed_table(everything, NOW)

    assert "tool:latest" in table
    assert "x@sha256:000000000000" in table
    assert "2 images, 2 MiB" in table
    assert images.listed_data(everything, REGISTRY, NOW)[0]["age_seconds"] == 3 * 86400

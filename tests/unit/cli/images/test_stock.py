"""Images that are kept: who uses them, what is built on what, and which may go."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

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

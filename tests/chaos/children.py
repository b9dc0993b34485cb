"""What people do to the children of an app, and what stands under their names already."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from clusterous_api import names
from tests.chaos import stories
from tests.chaos.history import APP, World
from tests.chaos.site import Ending, Site
from tests.chaos.stories import NAME, STORIES
from tests.chaos.violation import Violation


def _uid(world: World, kind: str, name: str) -> str:
    found = world.find(kind, name)
    return "" if found is None else str(found["metadata"]["uid"])


_PLURALS: Final = {"Deployment": "deployments", "Service": "services", "Pod": "pods"}
_CHILDREN: Final = tuple(
    (kind, f"{NAME}-{component}")
    for kind, component in (
        ("Deployment", names.MASTER),
        ("Deployment", names.WORKERS),
        ("Service", names.MASTER),
    )
)


def deleted(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Delete each child in each way, and each component's pods."""
    site.man()
    stories.tell(site, STORIES["create"].steps)
    for policy in ("Background", "Foreground", "Orphan"):
        for kind, name in _CHILDREN:
            before = _uid(site.world(), kind, name)
            path = site.lab.path(_PLURALS[kind], name)
            site.grounds.plane.api("DELETE", path, {"propagationPolicy": policy})

            def renewed(
                world: World, kind: str = kind, name: str = name, before: str = before
            ) -> bool:
                return _uid(world, kind, name) not in ("", before)

            site.until(renewed, f"another {kind} {name} after deletion ({policy})")
            site.settle(wanted)
    for pod in list(site.world().all("Pod")):
        site.lab.delete("pods", pod["metadata"]["name"])
    site.settle(wanted)
    return ()


# Nothing that makes more pods: that would be the editor's doing, and break a rule.
_EDITS: Final[Sequence[tuple[str, str, Mapping[str, Any]]]] = (
    ("deployments", "sim-workers", {"spec": {"replicas": 0}}),
    (
        "deployments",
        "sim-workers",
        {"spec": {"template": {"spec": {"containers": [{"name": "workers", "image": "evil:1"}]}}}},
    ),
    ("deployments", "sim-workers", {"metadata": {"labels": {names.LABEL_COMPONENT: "other"}}}),
    ("deployments", "sim-master", {"metadata": {"labels": {names.LABEL_APP: "other"}}}),
    ("deployments", "sim-master", {"metadata": {"labels": {names.LABEL_APP: None}}}),
    ("services", "sim-master", {"spec": {"selector": {names.LABEL_APP: "other"}}}),
    ("services", "sim-master", {"metadata": {"labels": None}}),
)


def edited(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Edit children by hand, labels included, by which the operator finds them."""
    site.man()
    stories.tell(site, STORIES["create"].steps)
    for plural, name, change in _EDITS:
        body = site.lab.patch(plural, name, change)
        edited = int(body["metadata"]["resourceVersion"])
        kind = "Deployment" if plural == "deployments" else "Service"

        def mended(world: World, kind: str = kind, name: str = name, edited: int = edited) -> bool:
            found = world.find(kind, name)
            return found is not None and int(found["metadata"]["resourceVersion"]) > edited

        site.until(mended, f"a change of {name} after {change}")
        site.settle(wanted)
    return ()


def orphaned(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Delete the app, keep its children; an app of the same name takes them over, pods and all."""
    site.man()
    stories.tell(site, STORIES["create"].steps)
    before = sorted(one["metadata"]["uid"] for one in site.world().all("Pod"))
    path = site.lab.path("clusterousapps", NAME)
    site.grounds.plane.api("DELETE", path, {"propagationPolicy": "Orphan"})
    site.until(lambda world: world.find(APP, NAME) is None, "the end of the app")
    stories.tell(site, STORIES["create"].steps)
    site.settle(wanted)
    after = sorted(one["metadata"]["uid"] for one in site.world().all("Pod"))
    if before != after:
        return [_broken("pods restarted", NAME, "orphans were taken over by making them anew")]
    return ()


def name_taken(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Have others' objects under the names of ours: they stay as they are, until they are gone."""
    labels = {"theirs": "yes"}
    pod = {"containers": [{"name": "x", "image": "theirs:1"}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    theirs = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    service = {"selector": labels, "ports": [{"port": 99}]}
    made = []
    for plural, body in (("deployments", theirs), ("services", service)):
        object = {"metadata": {"name": f"{NAME}-master"}, "spec": body}
        made.append((plural, site.grounds.plane.api("POST", site.lab.path(plural), object)))
    site.man()
    site.lab.create(NAME, **stories.spec(site))
    site.until(stories.says("Stalled"), "Stalled, because names are taken")
    found: list[Violation] = []
    for plural, before in made:
        name = before["metadata"]["name"]
        now = site.lab.get(plural, name)
        if now["spec"] != before["spec"] or names.LABEL_APP in now["metadata"].get("labels", {}):
            found.append(_broken("others' objects changed", f"{plural} {name}", str(now["spec"])))
        site.lab.delete(plural, name)
    site.until(stories.ready, "the app, when the names are free")
    site.settle(wanted)
    return found


def _broken(rule: str, subject: str, what: str) -> Violation:
    return Violation(rule=rule, subject=subject, version=0, what=what)

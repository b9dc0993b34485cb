"""Nodes that vanish, and a group that fills those that are there."""

from collections.abc import Callable, Iterable, Sequence

from clusterous_api import names
from tests.chaos import history, stories
from tests.chaos.history import Body, World
from tests.chaos.site import Ending, Site
from tests.chaos.stories import NAME, STORIES
from tests.chaos.violation import Violation
from tests.cluster.controlplane import ApiError


def vanish(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Lose one node as a power cut does, until the cloud says so; then have another deleted."""
    site.pool = site.namespace
    for number in range(3):
        site.lab.add_node(f"{site.namespace}-{number}", site.pool)
    site.man()
    stories.tell(site, STORIES["create"].steps)
    here = site.wait_quiet()

    lost = _node_of_master(site.world())
    site.grounds.plane.lose_node(lost)
    _give_up(site, lost)
    site.until(_runs_elsewhere(lost), "pods on other nodes", 180)
    site.settle(here)

    deleted = _node_of_master(site.world())
    _give_up(site, deleted)
    site.until(_runs_elsewhere(deleted), "pods on other nodes", 180)
    site.settle(here)
    return ()


def _node_of_master(world: World) -> str:
    (pod,) = _staying(world.pods(NAME, names.MASTER))
    return str(pod["spec"]["nodeName"])


def _staying(pods: Iterable[Body]) -> list[Body]:
    return [one for one in pods if not history.is_leaving(one)]


def _runs_elsewhere(node: str) -> Callable[[World], bool]:
    def check(world: World) -> bool:
        # For a moment there are none, and the status does not know yet.
        back = all(_staying(world.pods(NAME, one)) for one in (names.MASTER, names.WORKERS))
        pods = _staying(world.all("Pod"))
        placed = all(one["spec"].get("nodeName") not in (None, node) for one in pods)
        return back and placed and stories.says("Ready")(world)

    return check


def _give_up(site: Site, node: str) -> None:
    """Remove a node and its pods, as a cloud's node controller does with a terminated machine."""
    site.grounds.plane.delete_node(node)
    site.lab.nodes.remove(node)
    for pod in list(site.world().all("Pod")):
        if pod["spec"].get("nodeName") == node:
            path = site.lab.path("pods", pod["metadata"]["name"])
            try:
                site.grounds.plane.api("DELETE", path, {"gracePeriodSeconds": 0})
            except ApiError as error:
                if error.status != 404:
                    raise


def filled(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Fill nodes that come and go, while the operator is killed now and then."""
    site.pool = site.namespace
    site.lab.add_node(f"{site.namespace}-0", site.pool)
    post = site.man()
    cpu = {"resources": {"requests": {"cpu": "1"}}}
    site.lab.create(NAME, workers=stories.group(site, **cpu))

    def workers(count: int) -> Callable[[World], bool]:
        told = f"{count}/{count}"
        return lambda world: (stories.app(world) or {}).get("status", {}).get("workers") == told

    site.until(workers(4), "four workers on one node")
    site.lab.add_node(f"{site.namespace}-1", site.pool)
    post.operator.kill()
    site.until(workers(8), "eight workers on two nodes")
    _give_up(site, f"{site.namespace}-0")
    post.operator.kill()
    site.until(workers(4), "four workers on what is left")
    site.until(stories.ready, "Ready")
    return ()

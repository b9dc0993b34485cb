"""Who uses which images: all that any cluster's Kubernetes names, whether it runs now or not."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api.errors import ClusterousError
from clusterous_cli.reach import kube

# All that may start a container later, and pods, which say by which digest they run.
PATHS: Final = (
    kube.apps_path(),
    "/api/v1/pods",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/statefulsets",
    "/apis/apps/v1/daemonsets",
    "/apis/batch/v1/jobs",
    "/apis/batch/v1/cronjobs",
)
_KEYS: Final = ("image", "imageID", "reference")
_DIGEST: Final = "@sha256:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """An *image*, as something on a *cluster* names it."""

    cluster: str
    who: str
    image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """All uses that were found; *unasked* are the clusters that could not be asked, and why."""

    found: tuple[Use, ...] = ()
    unasked: Mapping[str, str]


def ask(clusters: Iterable[str], reached: Callable[[str], kube.Api]) -> Uses:
    """Ask each cluster, by the API that *reached* returns."""
    found: list[Use] = []
    unasked: dict[str, str] = {}
    for cluster in clusters:
        try:
            api = reached(cluster)
            found += [use for path in PATHS for use in named(cluster, api.items(path))]
        except (ClusterousError, OSError) as error:
            unasked[cluster] = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Uses(found=tuple(found), unasked=unasked)


def named(cluster: str, objects: Sequence[Mapping[str, Any]]) -> list[Use]:
    """Return the images that *objects* of one kind name."""
    return [
        Use(cluster=cluster, who=_title(one), image=image)
        for one in objects
        for image in sorted(set(_images(one)))
    ]


def _title(one: Mapping[str, Any]) -> str:
    metadata = one.get("metadata") or {}
    return f"{metadata.get('namespace', 'default')}/{metadata.get('name', '')}"


def _images(value: Any) -> Iterator[str]:
    """Find every image in an object, wherever an overlay or a field of the future has it.

    A volume may be one (`image: {reference: …}`), and a program may start more containers itself,
    of an image that an argument, a variable or a file of settings names by its digest.
    """
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            yield from (one[key] for key in _KEYS if isinstance(one.get(key), str))
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, str) and _DIGEST in one:
            yield one

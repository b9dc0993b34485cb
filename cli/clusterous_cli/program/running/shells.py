"""A shell in a component's container: which container is meant, and the command that opens it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from clusterous_api import names
from clusterous_api.errors import FailedError, UserError
from clusterous_cli.reach.kube import Api, Object, apps_path, pods_path

# The best shell that the image has.
SHELL: Final = (
    "sh",
    "-c",
    "command -v bash >/dev/null 2>&1 && exec bash; exec sh",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A component of an app, by all the names that it has."""

    namespace: str
    app: str
    title: str
    called: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """The container to enter; *others* are as good."""

    namespace: str
    pod: str
    container: str
    others: int = 0

    @property
    def argv(self) -> list[str]:
        """Return kubectl's command line."""
        where = ["--namespace", self.namespace, self.pod, "--container", self.container]
        return ["kubectl", "exec", "--stdin", "--tty", *where, "--", *SHELL]


def parts(bodies: Iterable[Object]) -> list[Part]:
    """The components of all apps in *bodies*."""
    found = []
    for body in bodies:
        metadata, spec = body["metadata"], body.get("spec") or {}
        blocks = {title: spec[title] for title in (names.MASTER, names.WORKERS) if title in spec}
        blocks |= {one["name"]: one for one in spec.get("components") or ()}
        found += [
            Part(
                namespace=metadata.get("namespace", "default"),
                app=metadata["name"],
                title=title,
                called=(title, *(block.get("aliases") or ())),
            )
            for title, block in blocks.items()
        ]
    return found


def meant(there: Iterable[Part], component: str, app: str | None = None) -> list[Part]:
    """Those that are called *component*: by a name of their own before one of ours."""
    of_app = [one for one in there if app in (None, one.app, f"{one.namespace}/{one.app}")]
    found = [one for one in of_app if component in one.called]
    own = [one for one in found if component in one.called[1:] or one.title not in _OURS]
    return own or found


_OURS: Final = (names.WORKERS,)


def is_called(body: Object, app: str | None) -> bool:
    """Whether *app* names the app in *body*, with its namespace or without."""
    name, namespace = body["metadata"]["name"], body["metadata"].get("namespace", "default")
    return app in (name, f"{namespace}/{name}")


def listed(api: Api) -> list[Part]:
    """The components of all apps of the cluster."""
    return parts(api.items(apps_path()))


def one_of(there: Sequence[Part], component: str, app: str | None = None) -> Part:
    """The one component of those *there* that is called *component*, in *app* or in any."""
    found = meant(there, component, app)
    if len(found) == 1:
        return found[0]
    if not found:
        known = ", ".join(dict.fromkeys(one.called[-1] for one in there)) or "none"
        of = f" of {app}" if app else ""
        raise UserError(f"There is no component {component}{of} (there are: {known}).")
    shown = ", ".join(f"clusterous shell {one.app} {component}" for one in found)
    raise UserError(f"Several programs have a component {component}: {shown}")


def inside(api: Api, part: Part) -> Inside:
    """A container of *part* that runs."""
    path = pods_path(part.namespace, names.selector(part.app, part.title))
    running = [pod for pod in api.items(path) if _runs(pod)]
    if not running:
        raise FailedError(f"Nothing of {part.called[-1]} runs; `clusterous status` says why.")
    metadata = min(running, key=lambda pod: str(pod["metadata"]["name"]))["metadata"]
    return Inside(
        namespace=part.namespace,
        pod=str(metadata["name"]),
        container=part.title,
        others=len(running) - 1,
    )


def _runs(pod: Mapping[str, object]) -> bool:
    status, metadata = pod.get("status"), pod.get("metadata")
    assert isinstance(status, Mapping)
    assert isinstance(metadata, Mapping)
    return status.get("phase") == "Running" and "deletionTimestamp" not in metadata

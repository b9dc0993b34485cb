"""A shell in a component's container: which container it is, and the command that opens it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from clusterous_api import names
from clusterous_api.errors import FailedError
from clusterous_cli.program.running.parts import Part
from clusterous_cli.reach.kube import Api, pods_path

# The best shell that the image has.
SHELL: Final = (
    "sh",
    "-c",
    "command -v bash >/dev/null 2>&1 && exec bash; exec sh",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """The container to enter; *others* are as good."""

    namespace: str
    pod: str
    container: str
    others: int = 0

    def words(self, component: str) -> str:
        """Say which of several like it this is; nothing where it is the only one."""
        if not self.others:
            return ""
        return f"! {component} has {self.others} more like {self.pod}, which this is"

    def argv(self, *command: str, terminal: bool = False) -> list[str]:
        """Return kubectl's command line that runs *command* there."""
        where = ["--namespace", self.namespace, self.pod, "--container", self.container]
        tty = ["--tty"] if terminal else []
        return ["kubectl", "exec", "--stdin", *tty, *where, "--", *command]


def inside(api: Api, part: Part) -> Inside:
    """A container of *part* that runs."""
    path = pods_path(part.namespace, names.selector(part.app, part.title))
    running = [pod for pod in api.items(path) if _runs(pod)]
    if not running:
        raise FailedError(f"Nothing of {part.name} runs; `clusterous status` says why.")
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

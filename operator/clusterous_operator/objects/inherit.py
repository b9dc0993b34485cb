"""Which labels and annotations of an app its children get: those on two lists, no others. Pure.

Tools mark what they manage by labels and annotations. Copied to children, such marks make a tool
take the children for its own, and prune them: keys of that kind are refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from clusterous_api import names
from clusterous_api.errors import UserError

_REFUSED = (
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "argocd.argoproj.io/",
    "helm.sh/",
    "helm.toolkit.fluxcd.io/",
    "kubectl.kubernetes.io/",
    "kustomize.toolkit.fluxcd.io/",
    "meta.helm.sh/",
    f"{names.DOMAIN}/",
)
_OBEYED = frozenset({names.ANNOTATION_RESUME, names.ANNOTATION_BEGIN_EMPTY})
_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherit:
    """The keys to be handed down."""

    labels: frozenset[str] = frozenset()
    annotations: frozenset[str] = frozenset()

    def labels_of(self, metadata: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
        """Return the labels that children get."""
        return _chosen(metadata.get("labels"), self.labels)

    def annotations_of(self, metadata: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
        """Return the annotations that children get, and those by which people say what to do."""
        return _chosen(metadata.get("annotations"), self.annotations | _OBEYED)


def _chosen(found: Mapping[str, str] | None, keys: frozenset[str]) -> Mapping[str, str]:
    if not found or keys.isdisjoint(found):
        return _NOTHING
    return {key: value for key, value in found.items() if key in keys}


def keys(flag: str, text: str) -> frozenset[str]:
    """Read a list of keys, separated by commas."""
    found = frozenset(filter(None, (one.strip() for one in text.split(","))))
    for key in sorted(found):
        if key.startswith(_REFUSED):
            raise UserError(
                f"--{flag} names {key}, by which another tool knows what it manages: it would take "
                "the app's children for its own. Leave it out."
            )
    return found

"""A ClusterousApp as the cache keeps it: what is wanted, and what its status says now. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clusterous_operator import observed
from clusterous_operator.inherit import Inherit

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One ClusterousApp without its managed fields; of labels and annotations those that count."""

    namespace: str
    name: str
    uid: str
    version: int = field(compare=False)
    generation: int
    deleting: bool
    spec: Body
    status: Body = field(compare=False)  # written by us: no reason to look again
    labels: Body = field(default_factory=dict)
    annotations: Body = field(default_factory=dict)

    @classmethod
    def read(cls, body: Body, inherit: Inherit) -> "Record":
        """Cut an API object down."""
        metadata = body["metadata"]
        return cls(
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            version=observed.version(body),
            generation=metadata.get("generation", 0),
            deleting="deletionTimestamp" in metadata,
            spec=body.get("spec") or {},
            status=body.get("status") or {},
            labels=inherit.labels_of(metadata),
            annotations=inherit.annotations_of(metadata),
        )

    def body(self) -> dict[str, Any]:
        """Return what the models parse."""
        metadata = {
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "generation": self.generation,
            "labels": self.labels,
            "annotations": self.annotations,
        }
        return {"metadata": metadata, "spec": self.spec}

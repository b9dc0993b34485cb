"""A ClusterousApp as the cache keeps it: what is wanted, and what its status says now. Pure."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clusterous_operator.cache import observed
from clusterous_operator.objects import packing
from clusterous_operator.objects.inherit import Inherit

Body = Mapping[str, Any]

_NOTHING: Body = {}  # one for all that inherit nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One ClusterousApp without its managed fields; of labels and annotations those that count.

    Specification and status are packed: they are read when somebody looks at the app, and as Python
    objects they would be ten times as large.
    """

    namespace: str
    name: str
    uid: str
    version: int = field(compare=False)
    generation: int
    created: str
    deleting: bool
    packed_spec: bytes
    packed_status: bytes = field(compare=False)  # written by us: no reason to look again
    labels: Body = field(default_factory=dict)
    annotations: Body = field(default_factory=dict)

    @classmethod
    def read(cls, body: Body, inherit: Inherit) -> "Record":
        """Cut an API object down."""
        metadata = body["metadata"]
        return cls(
            namespace=sys.intern(metadata.get("namespace", "")),
            name=sys.intern(metadata["name"]),
            uid=metadata.get("uid", ""),
            version=observed.version(body),
            generation=metadata.get("generation", 0),
            created=metadata.get("creationTimestamp") or "",
            deleting="deletionTimestamp" in metadata,
            packed_spec=packing.pack(body.get("spec") or {}),
            packed_status=packing.pack(body.get("status") or {}),
            labels=inherit.labels_of(metadata) or _NOTHING,
            annotations=inherit.annotations_of(metadata) or _NOTHING,
        )

    @property
    def spec(self) -> Body:
        """What is wanted."""
        found: Body = packing.unpack(self.packed_spec)
        return found

    @property
    def status(self) -> Body:
        """What its status says now."""
        found: Body = packing.unpack(self.packed_status)
        return found

    def body(self) -> dict[str, Any]:
        """Return what the models parse."""
        metadata = {
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "generation": self.generation,
            "creationTimestamp": self.created,
            "labels": self.labels,
            "annotations": self.annotations,
        }
        return {"metadata": metadata, "spec": self.spec}

"""What moto works out anew at every call, though it is the same each time: worked out once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, Final

from moto.core import responses
from moto.core.constants import MISSING
from moto.core.serialize import AttributePickerContext, XFormedAttributePicker
from moto.core.utils import get_value, method_names_from_class
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.instance_types import InstanceTypeOfferingBackend
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

# What was where something is kept now, by its owner and name.
ORIGINAL: Final[dict[tuple[Any, str], Any]] = {}
_OFFERED: Final[dict[tuple[str, str | None, str], Sequence[Any]]] = {}


def install() -> None:
    """Patch moto, and what it writes XML with, once per process."""
    if not ORIGINAL:
        _put(responses, "method_names_from_class", cache(method_names_from_class))
        xml: Any = import_module("xmltodict")  # has no types
        _put(xml, "_validate_name", cache(xml._validate_name))
        _put(XFormedAttributePicker, "__call__", _pick)
        _put(TaggedEC2Resource, "get_tags", _tags)
        _put(InstanceTypeOfferingBackend, "describe_instance_type_offerings", _offerings)


def _put(owner: Any, name: str, value: Any) -> None:
    ORIGINAL[owner, name] = getattr(owner, name)
    setattr(owner, name, value)


def _pick(self: XFormedAttributePicker, context: AttributePickerContext) -> Any:
    """Return what moto's object has under one of its names for a member of an answer."""
    if context.key in _changed(self):
        return ORIGINAL[XFormedAttributePicker, "__call__"](self, context)
    for name in _names(self, context):
        value = get_value(context.obj, name, MISSING)
        if value is not MISSING:
            return value
    return None


def _changed(picker: XFormedAttributePicker) -> frozenset[str]:
    """Return the members that this answer may show otherwise than they are kept."""
    kept: dict[str, frozenset[str]] = picker.__dict__
    if "_changed" not in kept:
        paths = picker.response_transformers
        kept["_changed"] = frozenset(path.rpartition(".")[2] for path in paths)
    return kept["_changed"]


def _names(picker: XFormedAttributePicker, context: AttributePickerContext) -> tuple[str, ...]:
    """Return the names of a member, each once.

    They follow from its shape, which is this member's of this structure alone, and from the class
    of the object.
    """
    shape: dict[str, Any] = context.shape.__dict__
    kept: dict[Any, tuple[str, ...]] = shape.setdefault("_names", {})
    which = (type(context.obj), context.key)
    if which not in kept:
        kept[which] = tuple(dict.fromkeys(picker.get_possible_keys(context)))
    return kept[which]


def _tags(self: Any) -> list[dict[str, str]]:
    """Return a thing's tags without a look at those of all others."""
    if not self.id:
        return []
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(self.id), "")
    return [
        {"resource_id": self.id, "key": key, "value": value, "resource_type": kind}
        for key, value in self.ec2_backend.tags.get(self.id, {}).items()
    ]


def _offerings(
    self: Any, location_type: str | None = None, filters: Mapping[str, Any] | None = None
) -> list[Any]:
    """Return where there are machines of which types, which never changes."""
    which = (self.region_name, location_type, json.dumps(filters, sort_keys=True))
    if which not in _OFFERED:
        ask = ORIGINAL[InstanceTypeOfferingBackend, "describe_instance_type_offerings"]
        _OFFERED[which] = tuple(ask(self, location_type, filters))
    return list(_OFFERED[which])

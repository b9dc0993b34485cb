"""Kubernetes quantities as numbers, and requests of pods as sums of them. Pure."""

import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_UP, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, TypeGuard

from clusterous_api.errors import UserError

Amounts = Mapping[str, Decimal]  # by resource: cores of cpu, bytes of memory, pieces of others

_SUFFIXES = {
    "": Decimal(1),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)},
    **{unit + "i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
    **{unit: Decimal(1000) ** -power for power, unit in enumerate("mun", start=1)},
}
_QUANTITY = re.compile(r"^([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([numkKMGTPE]?i?)$")


# As Kubernetes keeps them: what is finer is rounded up, what is larger is as large as can be.
_FINEST = Decimal(1).scaleb(-9)
_LARGEST = Decimal(2**63 - 1)
_DIGITS = 64  # more than any amount within these bounds has
_EXACT = Context(prec=2 * _DIGITS)


@lru_cache(maxsize=4096)
def parse(text: str | int | float) -> Decimal:
    """Return the number that a quantity such as 500m or 20Gi stands for."""
    match = _QUANTITY.match(str(text)) if len(str(text)) <= _DIGITS else None
    if match is None or match[2] not in _SUFFIXES:
        raise UserError(f"{_shown(text)} is not a quantity; write it like 2, 500m or 20Gi.")
    try:
        return _kept(Decimal(match[1]), _SUFFIXES[match[2]])
    except InvalidOperation as error:
        raise UserError(
            f"{_shown(text)} is not a quantity; write it like 2, 500m or 20Gi."
        ) from error


def _kept(number: Decimal, scale: Decimal) -> Decimal:
    """Return an amount as Kubernetes keeps it, whatever its exponent."""
    if not number:
        return Decimal(0)
    if number.adjusted() > _DIGITS:
        return _LARGEST.copy_sign(number)
    if number.adjusted() < -_DIGITS:
        return _FINEST.copy_sign(number)
    amount = _EXACT.multiply(number, scale)
    if abs(amount) >= _LARGEST:
        return _LARGEST.copy_sign(amount)
    fine = amount.quantize(_FINEST, rounding=ROUND_UP, context=_EXACT)
    return amount if fine == amount else fine


def _shown(text: object) -> str:
    told = repr(text)
    return told if len(told) <= _DIGITS else f"{told[:_DIGITS]}…"


def is_one(value: object) -> bool:
    """Tell whether a value is a quantity."""
    return same(value, value)


def same(one: object, other: object) -> bool:
    """Tell whether two quantities, as written, mean the same amount."""
    if not _may_be(one) or not _may_be(other):
        return False
    try:
        return parse(one) == parse(other)
    except UserError:
        return False


def _may_be(value: object) -> TypeGuard[str | int | float]:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def amounts(quantities: Mapping[str, Any] | None) -> dict[str, Decimal]:
    """Return the quantities of a requests, limits or allocatable field as numbers."""
    return {name: parse(text) for name, text in (quantities or {}).items()}


def total(parts: Iterable[Amounts]) -> dict[str, Decimal]:
    """Add amounts up, resource by resource."""
    summed: dict[str, Decimal] = {}
    for part in parts:
        for name, amount in part.items():
            summed[name] = summed.get(name, Decimal(0)) + amount
    return summed


def largest(parts: Iterable[Amounts]) -> dict[str, Decimal]:
    """Return the greatest amount of each resource."""
    found: dict[str, Decimal] = {}
    for part in parts:
        for name, amount in part.items():
            found[name] = max(found.get(name, amount), amount)
    return found


def of_pod(spec: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return what the scheduler reserves for a pod of this spec, as Kubernetes computes it."""
    running = total(_of_container(item) for item in spec.get("containers") or ())
    beside, peak = _to_start(spec.get("initContainers") or ())
    needed = largest([total([running, beside]), peak])
    # Resources of the pod as a whole go before those of its containers, but for a limit alone.
    whole = {
        **_of_container(spec),
        **needed,
        **amounts((spec.get("resources") or {}).get("requests")),
    }
    return total([whole, amounts(spec.get("overhead"))])


def _to_start(containers: Iterable[Mapping[str, Any]]) -> tuple[Amounts, Amounts]:
    """Return what the sidecars reserve, and the most that is reserved while a pod starts.

    Each container is added once: a pod may have thousands, with a resource of its own for each.
    """
    beside: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for item in containers:
        stays = item.get("restartPolicy") == "Always"
        for name, amount in _of_container(item).items():
            together = beside.get(name, Decimal(0)) + amount
            peak[name] = max(peak.get(name, together), together)
            if stays:
                beside[name] = together
    return beside, peak


def _of_container(item: Mapping[str, Any]) -> dict[str, Decimal]:
    resources = item.get("resources") or {}
    # A limit without a request is a request, too.
    return amounts({**(resources.get("limits") or {}), **(resources.get("requests") or {})})


def cpu_words(cores: Decimal) -> str:
    """Say an amount of CPU as a person would."""
    text = f"{cores.normalize():f}"
    return f"{text} CPU" if cores == 1 else f"{text} CPUs"


def memory_words(size: Decimal) -> str:
    """Say an amount of memory as a person would."""
    for unit in ("GiB", "MiB", "KiB"):
        scale = _SUFFIXES[unit[:2]]
        if size >= scale:
            return f"{round(size / scale, 1).normalize():f} {unit}"
    return f"{size.normalize():f} bytes"


def words(name: str, amount: Decimal) -> str:
    """Say an amount of any resource as a person would."""
    if name == "cpu":
        return cpu_words(amount)
    if name in ("memory", "ephemeral-storage"):
        return memory_words(amount) + ("" if name == "memory" else " of disk")
    return f"{amount.normalize():f} {name}"

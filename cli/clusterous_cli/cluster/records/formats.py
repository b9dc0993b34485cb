"""The forms that the cluster's record has had, and how an older one becomes today's. Pure.

The record outlives the program: a cluster may be made by one release and opened by another. So the
record says its form's number; an older one is read as if it had been written today, and a newer
one is refused in words before anything is done with half of its meaning. To change the form: raise
FORMAT, add the step from the one before to STEPS, and a sample to tests/unit/cli/cluster/records.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import UserError

FORMAT: Final = 7
Record = dict[str, Any]


def parsed(raw: bytes | str, key: str) -> Record:
    """Return what the object *key* of the record holds, or say that nobody can read it."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UserError(
            f"{key} in the cluster's bucket is not what clusterous wrote there: something else did."
            " `clusterous destroy` removes the cluster all the same."
        )
    return content


def current(record: Mapping[str, Any]) -> Record:
    """Return *record* in today's form, or say that it is newer than this program."""
    form = record.get("format")
    if not isinstance(form, int) or form < 1:
        raise UserError(
            f"The record of the cluster is in no form that clusterous writes (format {form!r})."
            " `clusterous destroy` removes the cluster all the same."
        )
    if form > FORMAT:
        raise UserError(
            f"The cluster was made or changed by a newer clusterous ({record.get('clusterous')}),"
            f" whose record has format {form}; this one reads up to {FORMAT}. Install that version"
            " or a later one and try again. Nothing was changed."
        )
    read = dict(record)
    for number in range(form, FORMAT):
        read = {**STEPS[number](read), "format": number + 1}
    return read


def _pools(record: Record) -> Record:
    """Format 2 calls pools by their names and says what each is for, so that there can be more."""
    config = dict(record["config"])
    roles = {
        names.ROLE_GATEWAY: config.pop("gateway"),
        names.ROLE_CONTROLLER: config.pop("controller"),
        names.ROLE_WORKER: config.pop("workers"),
    }
    config["pools"] = {role: {"role": role, **pool} for role, pool in roles.items()}
    return {**record, "config": config}


def _tags(record: Record) -> Record:
    """Format 3 knows the tags that a person wants on everything."""
    return {**record, "config": {**record["config"], "tags": []}}


def _volume(record: Record) -> Record:
    """Format 4 knows volumes with a size and other figures, and those that exist already."""
    figures = {"id": None, "size": None, "iops": None, "throughput": None}
    config = {**record["config"], "volume": {"type": record["config"]["volume"], **figures}}
    return {**record, "config": config}


def _labels(record: Record) -> Record:
    """Format 5 knows what the nodes of a pool register with."""
    bare: Record = {"labels": {}, "taints": []}
    pools = {name: {**pool, **bare} for name, pool in record["config"]["pools"].items()}
    return {**record, "config": {**record["config"], "pools": pools}}


def _logging(record: Record) -> Record:
    """Format 6 knows central logging."""
    return {**record, "config": {**record["config"], "logging": None}}


def _registry(record: Record) -> Record:
    """Format 7 knows where images are kept; until then that was ECR."""
    ecr: Record = {"type": "ecr", "bucket": None}
    return {**record, "config": {**record["config"], "registry": ecr}}


STEPS: Final[Mapping[int, Callable[[Record], Record]]] = {
    1: _pools,
    2: _tags,
    3: _volume,
    4: _labels,
    5: _logging,
    6: _registry,
}

"""From what is observed to the facts that manifests depend on. Pure."""

import functools
from collections.abc import Mapping
from typing import Any

import yaml

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import CLAIM, SERVICE
from clusterous_operator.decisions import counting, ending, storage
from clusterous_operator.decisions.counting import Size
from clusterous_operator.manifests import Facts


def facts(look: Look, size: Size) -> Facts:
    """Return the facts of this moment."""
    return Facts(
        addresses=_addresses(look),
        replicas=counting.replicas(look, size),
        on_cluster_volume=look.on_cluster_volume,
        cluster_volume=_cluster_volume(look.cluster),
        region=look.cluster.get(names.CLUSTER_REGION_KEY),
        single_node=_single_node(look),
        data_lost=storage.is_lost(look),
        attempts=look.verdict.attempts,
        life=look.verdict.life,
        halted=look.is_asleep or ending.ended(look) is not None,
        cleared=look.cleared,
        applied=_applied(look),
    )


def _applied(look: Look) -> dict[str, str]:
    found = {one.name: look.workload(one) for one in look.app.components}
    return {name: child.applied for name, child in found.items() if child and child.applied}


def _addresses(look: Look) -> dict[str, str]:
    found = {}
    for one in look.app.components:
        child = look.children.get((SERVICE, names.child(look.app.name, one.name)))
        # That of an earlier app goes, and the next one has another address.
        is_theirs = child is not None and child.is_of_another(look.app.name, look.app.uid)
        address = "" if child is None or is_theirs else child.state["address"]
        if address and address != "None":
            found[one.name] = address
    return found


def _cluster_volume(cluster: Mapping[str, str]) -> Mapping[str, Any] | None:
    text = cluster.get(names.CLUSTER_VOLUME_KEY)
    return None if text is None else _volume(text)


@functools.lru_cache(maxsize=2)  # every look at an app asks, and YAML is slow to read
def _volume(text: str) -> Mapping[str, Any]:
    where = f"{names.CLUSTER_VOLUME_KEY} in ConfigMap {names.CLUSTER_CONFIG}"
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{where} is not YAML: {error}") from error
    if not isinstance(value, Mapping) or not _is_volume(value):
        raise UserError(
            f"{where} must hold a mapping with the key nfs, in which server and path are text and "
            "mountOptions a list of texts, or hostPath, in which path is text."
        )
    return value


def _is_volume(value: Mapping[str, Any]) -> bool:
    """Tell whether a description has the shape of one; what is missing is found out later."""
    nfs, folder = value.get("nfs") or {}, value.get("hostPath") or {"path": ""}
    if not isinstance(nfs, Mapping) or not isinstance(folder, Mapping):
        return False
    if not isinstance(folder.get("path"), str):
        return False
    texts, options = (nfs.get("server"), nfs.get("path")), nfs.get("mountOptions")
    are_texts = all(one is None or isinstance(one, str) for one in texts)
    is_list = isinstance(options, list) and all(isinstance(one, str) for one in options)
    return are_texts and (options is None or is_list)


def _single_node(look: Look) -> bool:
    """Tell whether storage of one node serves all; a claim that is there keeps its mode."""
    claim = look.children.get((CLAIM, names.claim(look.app.name)))
    if claim is not None:
        return "ReadWriteOnce" in claim.state["modes"]
    return len(look.nodes) <= 1

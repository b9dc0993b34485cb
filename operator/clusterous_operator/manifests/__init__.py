"""Every object that an app wants, in the order in which they are applied. Pure."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace

from clusterous_api import names
from clusterous_api.models import App, Component
from clusterous_operator.manifests import service as services
from clusterous_operator.manifests import volume as volumes
from clusterous_operator.manifests import workload as workloads
from clusterous_operator.manifests._common import Facts, Manifest
from clusterous_operator.objects import overlay

__all__ = [
    "Facts",
    "Manifest",
    "check",
    "claim_name",
    "desired",
    "job_run",
    "kept",
    "on_cluster_volume",
    "pod_template",
    "run_of",
    "told",
]

claim_name = volumes.claim_name
on_cluster_volume = volumes.on_cluster_volume
pod_template = workloads.pod_template


def check(app: App) -> None:
    """Raise UserError, with component and field, where the pods that an app asks for are none."""
    if app.idle is not None:
        overlay.check_amount("spec.idle.cpu", app.idle.cpu)
    for one in app.components:
        where = _place(one)
        overlay.check_depth(where, (one.template, one.env))
        overlay.check_amounts(f"{where}.resources", one.resources)
        if one.template.get("spec"):
            overlay.check(f"{where}.template.spec", one.template["spec"])
            whole = pod_template(app, one, Facts())["spec"]
            overlay.check_whole(f"{where}.template.spec", whole)


def told(app: App, manifest: Manifest, message: str) -> str:
    """Return the API server's answer to a manifest, with the places as the user wrote them."""
    name = manifest["metadata"].get("labels", {}).get(names.LABEL_COMPONENT)
    component = app.component(name) if name else None
    if component is None or "template" not in manifest.get("spec", {}):
        return message
    given = component.template.get("spec") or {}
    return overlay.in_users_words(
        _place(component), given, manifest["spec"]["template"]["spec"], message
    )


def _place(component: Component) -> str:
    """Return where in the spec a component stands."""
    if component.name in (names.MASTER, names.WORKERS):
        return f"spec.{component.name}"
    return f"spec.components[{component.name}]"


# Fields of a Job that may be changed while it runs.
JOB_LIMITS = ("backoffLimit", "activeDeadlineSeconds")
JOB_MUTABLE = frozenset({"suspend", *JOB_LIMITS})


def desired(app: App, facts: Facts) -> list[Manifest]:
    """Return what must be there now.

    The pods of an app know each other by the addresses of their Services: workloads are wanted only
    when all those are known, and only of the components that may run already.
    """
    data = [] if facts.data_lost else volumes.volume(app, facts)
    if facts.cleared:
        return [_marked(one) for one in data]
    first = [*data, *(made for one in app.components for made in services.services(app, one))]
    runnable = [one for one in app.components if one.name in facts.replicas]
    if any(services.has_address(one) and one.name not in facts.addresses for one in app.components):
        runnable = []
    return [*(_marked(one) for one in first), *(_settled(app, one, facts) for one in runnable)]


def kept(app: App, facts: Facts) -> frozenset[tuple[str, str]]:
    """Return kind and name of all objects that the app may have; others of its are removed."""
    found: set[tuple[str, str]] = set()
    if facts.cleared:
        return frozenset(found)
    for one in app.components:
        name = names.child(app.name, one.name)
        found.add(("Job" if app.is_job(one) else "Deployment", name))
        found |= {("Service", made["metadata"]["name"]) for made in services.services(app, one)}
    return frozenset(found)


def run_of(app: App) -> str:
    """Return a hash of what the Jobs of an app are asked to run, by which a done batch is known."""
    asked = {one.name: _asked(app, one) for one in app.components if app.is_job(one)}
    return _hash(asked)


def job_run(app: App, component: Component, attempt: int) -> str:
    """Return a hash of what the Job of a component is asked to run, at which attempt."""
    return _hash([*_asked(app, component), *([{"attempt": attempt}] if attempt else [])])


def _settled(app: App, component: Component, facts: Facts) -> Manifest:
    """Return a component's workload, as it was where nothing but our own wish for it is new.

    No master is started anew only since the operator that follows knows of a machine for masters.
    """
    now = _marked(_workload(app, component, facts))
    found = facts.applied.get(component.name)
    if found in (None, _mark(now)):
        return now
    before = _marked(_workload(app, component, replace(facts, masters_anywhere=True)))
    return before if found == _mark(before) else now


def _mark(manifest: Manifest) -> str:
    return str(manifest["metadata"]["annotations"][names.ANNOTATION_APPLIED])


def _workload(app: App, component: Component, facts: Facts) -> Manifest:
    """Note on a Job what it is to run and how often before: only a change of these runs it anew."""
    manifest = workloads.workload(app, component, facts)
    if manifest["kind"] != "Job":
        return manifest
    run = job_run(app, component, facts.attempts.get(component.name, 0))
    return _annotated(manifest, names.ANNOTATION_RUN, run)


def _asked(app: App, component: Component) -> list[object]:
    """Return what the user asked a component to run."""
    asked = (component.image, component.command, component.args, component.env)
    more = (component.resources, component.template, app.volume.sub_path)
    who = [component.security_context] if component.security_context else []
    return [*asked, *more, *who]


def _marked(manifest: Manifest) -> Manifest:
    """Note on an object what was applied, so that a field which is no longer wanted shows.

    What a Job that is there can be told later is left out: it is compared by itself.
    """
    noted = manifest
    if manifest["kind"] == "Job":
        spec = {key: value for key, value in manifest["spec"].items() if key not in JOB_MUTABLE}
        noted = {**manifest, "spec": spec}
    return _annotated(manifest, names.ANNOTATION_APPLIED, _hash(noted))


def _annotated(manifest: Manifest, key: str, value: str) -> Manifest:
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), key: value}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: object) -> object:
    return list(value) if isinstance(value, Iterable) else str(value)

"""The Services through which the components of an app find each other."""

from typing import Any

from clusterous_api import names
from clusterous_api.models import App, Component, Port
from clusterous_operator.manifests._common import Manifest, metadata


def services(app: App, component: Component) -> list[Manifest]:
    """Return a component's Services: none where nobody can ask for it.

    Who has an address is known by all its names through that (workload.py). Who is asked for
    itself is known by DNS alone, and needs a Service for each name that DNS can hold.
    """
    if not component.ports and not component.headless and component.name != names.MASTER:
        return []
    called = [names.child(app.name, one) for one in _titles(component)]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**metadata(app, component.name), "name": name},
            "spec": _spec(app, component),
        }
        for name in dict.fromkeys(called)
        if names.is_label(name) or name == called[0]
    ]


def _spec(app: App, component: Component) -> dict[str, Any]:
    ports = {"ports": [_port(one) for one in component.ports]} if component.ports else {}
    # Without an address, the Service leads to the pods themselves.
    address = {} if has_address(component) else {"clusterIP": "None"}
    return {"selector": names.selector(app.name, component.name), **ports, **address}


def _titles(component: Component) -> tuple[str, ...]:
    return (component.name, *(component.aliases if component.headless else ()))


def _port(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "port": port.port,
        "targetPort": port.target_port,
        "protocol": port.protocol,
    }


def has_address(component: Component) -> bool:
    """Tell whether a component's Service has an address of its own."""
    return bool(component.ports) and not component.headless

"""The Services through which the components of an app find each other."""

from typing import Any

from clusterous_api import names
from clusterous_api.models import App, Component, Port
from clusterous_operator.manifests._common import Manifest, metadata


def service(app: App, component: Component) -> Manifest | None:
    """Return a component's Service, or None where nobody can ask for it."""
    if not component.ports and component.name != names.MASTER:
        return None
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(app, component.name),
        "spec": {
            "selector": names.selector(app.name, component.name),
            **({"ports": [_port(one) for one in component.ports]} if component.ports else _NAME),
        },
    }


# A master without ports is still found by its name: the Service then leads to the pod itself.
_NAME = {"clusterIP": "None"}


def _port(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "port": port.port,
        "targetPort": port.target_port,
        "protocol": port.protocol,
    }


def has_address(component: Component) -> bool:
    """Tell whether a component's Service has an address of its own."""
    return bool(component.ports)

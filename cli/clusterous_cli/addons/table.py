"""All add-ons. A new one is a file in this room, and a line here."""

from typing import Final

from clusterous_cli.addons import cloudcontroller, operatorchart
from clusterous_cli.addons.addon import Addon, Rendered, Setting, rendered
from clusterous_cli.cluster.config import ClusterConfig

ALL: Final[tuple[Addon, ...]] = (
    operatorchart.ADDON,
    cloudcontroller.ADDON,
)


def wanted(config: ClusterConfig) -> tuple[Addon, ...]:
    """Return the add-ons that the cluster wants."""
    return tuple(addon for addon in ALL if addon.wanted(config))


def actions(config: ClusterConfig) -> tuple[str, ...]:
    """Return what the controller's role may do for the add-ons."""
    return tuple(sorted({action for addon in wanted(config) for action in addon.actions}))


def made(setting: Setting) -> tuple[Rendered, ...]:
    """Return the cluster's add-ons as they are brought to it."""
    return tuple(rendered(addon, setting) for addon in wanted(setting.config))

"""Short names of programs' components in the cluster's DNS, for those that have no address.

Pods look for COMPONENT and COMPONENT.marathon.mesos below their app's own domain
(clusterous_api.names); k3s' CoreDNS is told that this is the Service APP-COMPONENT, by the one file
that it takes from others: https://docs.k3s.io/networking/networking-services#coredns
"""

import re
from typing import Final

from clusterous_api import names
from clusterous_cli.addons.addon import Addon, Manifest, Mark, Setting
from clusterous_cli.cluster.file.centrallogging import NAMESPACE

LABEL: Final = "([a-z0-9-]+)"
_ASKED: Final = (
    rf"^{LABEL}(?:\.{re.escape(names.LEGACY_DNS_SUFFIX)})?\.{LABEL}\.{LABEL}"
    rf"\.{re.escape(names.NAMES_DOMAIN)}\.$"
)
# The predecessor's name of what takes syslog, in whatever namespace a program looks for it.
_SYSLOG: Final = rf"^central-logging\.{LABEL}\.svc\.{re.escape(names.CLUSTER_DOMAIN)}\.$"
_MEANT: Final = f"{{2}}-{{1}}.{{3}}.svc.{names.CLUSTER_DOMAIN}"
RULE: Final = f"rewrite stop {{\n  name regex {_ASKED} {_MEANT} answer auto\n}}\n"
_THERE: Final = f"central-logging.{NAMESPACE}.svc.{names.CLUSTER_DOMAIN}"
SYSLOG: Final = f"rewrite stop {{\n  name regex {_SYSLOG} {_THERE} answer auto\n}}\n"


def manifests(setting: Setting, mark: Mark) -> list[Manifest]:
    """Return the ConfigMap that CoreDNS imports."""
    metadata = {"name": "coredns-custom", "namespace": "kube-system"}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {**metadata, **({"annotations": dict(mark)} if mark else {})},
            "data": {"clusterous.override": RULE + (SYSLOG if setting.config.logging else "")},
        }
    ]


ADDON: Final = Addon(
    name="app-names",
    noun="DNS of programs",
    manifests=manifests,
    awaited=False,
    pods=False,
)

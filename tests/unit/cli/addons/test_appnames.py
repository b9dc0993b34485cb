"""The rule that gives components without an address their short names in the cluster's DNS."""

import re

import pytest

from clusterous_api import names
from clusterous_cli.addons import appnames


def meant(asked: str) -> str | None:
    """What CoreDNS makes of a question: plugin/rewrite, of the kind `name regex`."""
    words = appnames.RULE.split()
    assert words[:5] == ["rewrite", "stop", "{", "name", "regex"]
    assert words[7:] == ["answer", "auto", "}"]
    found = re.search(words[5], asked)
    if found is None:
        return None
    replacement = words[6]
    for number in range(4):
        replacement = replacement.replace(f"{{{number}}}", found[number])
    return replacement


@pytest.mark.parametrize(
    ("asked", "service"),
    [
        ("hub", "reef-hub.default.svc.cluster.local"),
        ("hub.marathon.mesos", "reef-hub.default.svc.cluster.local"),
        ("message-exchange-front", "reef-message-exchange-front.default.svc.cluster.local"),
        ("a.b", None),
        ("marathon.mesos", None),
        ("example.org", None),
    ],
)
def test_a_short_name_is_the_service_of_the_component(asked: str, service: str | None) -> None:
    assert meant(f"{asked}.{names.search_domain('reef', 'default')}.") == service


@pytest.mark.parametrize(
    "asked",
    [
        "reef-hub.default.svc.cluster.local.",
        "hub.marathon.mesos.default.svc.cluster.local.",
        "hub.reef.default.clusterous.cluster.local.example.org.",
        "example.org.",
    ],
)
def test_all_other_names_are_as_they_were(asked: str) -> None:
    assert meant(asked) is None

"""The rule that gives components without an address their short names in the cluster's DNS."""

import re

import pytest

from clusterous_api import names
from clusterous_cli.addons import appnames
from clusterous_cli.addons.addon import Setting
from clusterous_cli.cluster import config


def meant(asked: str, rule: str = appnames.RULE) -> str | None:
    """What CoreDNS makes of a question: plugin/rewrite, of the kind `name regex`."""
    words = rule.split()
    assert words[:5] == ["rewrite", "stop", "{", "name", "regex"]
    assert words[7:] == ["answer", "auto", "}"]
    found = re.search(words[5], asked)
    if found is None:
        return None
    replacement = words[6]
    for number in range(len(found.groups()) + 1):
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


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("central-logging.default.svc.cluster.local.", True),
        ("central-logging.lab-2.svc.cluster.local.", True),
        ("central-logging.example.org.", False),
        ("my-central-logging.default.svc.cluster.local.", False),
    ],
)
def test_the_predecessors_syslog_has_its_bare_name_in_every_namespace(
    asked: str, there: bool
) -> None:
    found = meant(asked, appnames.SYSLOG)

    assert found == ("central-logging.clusterous-logging.svc.cluster.local" if there else None)


@pytest.mark.parametrize(("text", "there"), [("name: a\n", False), ("name: a\nlogging: 1\n", True)])
def test_it_has_that_name_only_where_it_is(text: str, there: bool) -> None:
    setting = Setting(config=config.parse(text), region="eu-west-1", operator="x:1", archives={})

    (rules,) = appnames.manifests(setting, {})

    assert (appnames.SYSLOG in rules["data"]["clusterous.override"]) is there

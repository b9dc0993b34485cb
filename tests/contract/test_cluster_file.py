"""The page about the cluster file says what the program takes: keys, defaults, limits, examples."""

import re
from pathlib import Path

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.cluster import config
from clusterous_cli.cluster.file.centrallogging import CentralLogging, Store

PAGE = (Path(__file__).parents[2] / "docs/cluster-file.md").read_text()
ROWS = re.findall(r"^\| `([a-z0-9._]+)` \| ([^|]+) \| ([^|]+) \| (.+) \|$", PAGE, re.MULTILINE)
LIMITS = [
    (key, int(found[1]), int(found[2]))
    for key, _, _, words in ROWS
    if (found := re.fullmatch(r"([0-9]+) to ([0-9]+)", words))
]
# Where a key's value is in the configuration, when not under the key's own name.
PLACES = {"network.cidr": "cidr", "network.zone": "zone", "gateway.allow": "allow"}
POOLS = {"gateway": "gateway", "controller": "controller", "master": "master", "workers": "worker"}


def with_value(key: str, value: object) -> config.ClusterConfig:
    inner = "".join(f"{part}: {{" for part in key.split(".")[:-1])
    last = key.split(".")[-1]
    return config.parse(f"name: reef\n{inner}{last}: {value}{'}' * inner.count('{')}\n")


def value_of(key: str, of: config.ClusterConfig) -> object:
    section, _, field = key.partition(".")
    if key == "version":
        return config.VERSION
    if key == "pools":
        return [one for one in of.workers if one.name != POOLS["workers"]]
    if section == "logging":
        return getattr(of.logging or CentralLogging(), field)
    if section in POOLS and key not in PLACES:
        return getattr(of.pool(POOLS[section]), field)
    value: object = of
    for part in PLACES.get(key, key).split("."):
        value = getattr(value, part)
    return value


def test_the_page_names_every_key_and_no_other() -> None:
    plain = [key for key in config.KEYS if key not in config.SECTIONS]
    nested = [f"{name}.{key}" for name, keys in config.SECTIONS.items() for key in keys]

    assert sorted(key for key, *_ in ROWS) == sorted([*plain, *nested])


@pytest.mark.parametrize(
    ("key", "default"), [(key, said[1:-1]) for key, _, said, _ in ROWS if said.startswith("`")]
)
def test_the_page_says_the_default(key: str, default: str) -> None:
    assert str(value_of(key, config.parse("name: reef\n"))) == default


@pytest.mark.parametrize("key", [key for key, _, said, _ in ROWS if not said.startswith("`")])
def test_what_has_no_fixed_default_has_none_in_the_program(key: str) -> None:
    if key == "name":
        with pytest.raises(UserError, match="name is missing"):
            config.parse("region: eu-west-1\n")
    else:
        assert not value_of(key, config.parse("name: reef\n"))


def test_the_page_says_limits() -> None:
    assert {key for key, *_ in LIMITS} >= {"workers.count", "workers.disk"}


@pytest.mark.parametrize(("key", "low", "high"), LIMITS)
def test_the_limits_are_those_of_the_program(key: str, low: int, high: int) -> None:
    assert value_of(key, with_value(key, low)) == low
    assert value_of(key, with_value(key, high)) == high
    for wrong in (low - 1, high + 1):
        with pytest.raises(UserError, match=rf"{key} is {wrong}"):
            with_value(key, wrong)


@pytest.mark.parametrize("word", [*config.IMAGES, *config.VOLUMES, *map(str, Store)])
def test_the_page_names_every_choice(word: str) -> None:
    assert f"`{word}`" in "".join(words for *_, words in ROWS)


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_the_examples_are_right(example: str) -> None:
    assert config.parse(example).name == "reef"


def test_the_shown_mistake_is_what_the_program_says() -> None:
    shown = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)[0]

    with pytest.raises(UserError) as told:
        config.parse("name: reef\n\nworkers:\n  cuont: 3\n", "reef.yaml")

    assert str(told.value) == shown.strip()

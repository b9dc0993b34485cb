"""What a store needs, whether there is room for it, and where its page leads."""

from urllib.parse import unquote

import pytest

from clusterous_cli.cluster import config, prices
from clusterous_cli.cluster.file.centrallogging import CentralLogging, Store
from clusterous_cli.program.central import standing, stores
from clusterous_cli.program.load import Amount, Load, Node

EFK = CentralLogging()
LIGHT = CentralLogging(store=Store.LIGHT, size=5, days=3)
KNOWN = prices.listed("us-east-1")


def there(*free: float) -> Load:
    """Nodes of 8 GiB, of which so many GiB are promised to nobody."""
    return Load(
        nodes=tuple(
            Node(
                name=f"worker-{number}",
                has=Amount(cpu=2, memory=8 * standing.GIB),
                promised=Amount(cpu=1, memory=int((8 - room) * standing.GIB)),
            )
            for number, room in enumerate(free)
        )
    )


@pytest.mark.parametrize(
    ("wanted", "free", "fits"),
    [
        pytest.param(EFK, (4.3,), True, id="one machine for all"),
        pytest.param(EFK, (2.0, 2.2), True, id="one each"),
        pytest.param(EFK, (4.0,), False, id="no room for its operator"),
        pytest.param(EFK, (1.9, 1.9, 1.9), False, id="much, but nowhere enough"),
        pytest.param(EFK, (), False, id="no machine"),
        pytest.param(LIGHT, (1.9, 1.9), True, id="light"),
        pytest.param(LIGHT, (0.1,), False, id="full"),
    ],
)
def test_a_pod_is_on_one_machine(
    wanted: CentralLogging, free: tuple[float, ...], fits: bool
) -> None:
    assert (stores.lacks(wanted, there(*free)) == "") is fits


def test_it_is_said_what_is_needed_and_what_there_is() -> None:
    assert stores.lacks(EFK, there(1.5, 0.5)) == (
        "Elasticsearch and Kibana need 2.0 GiB of memory on one machine, and the most that one has"
        " left is 1.5 GiB"
    )


def test_machines_of_its_own_are_the_only_ones_that_count() -> None:
    assert stores.lacks(EFK, there(6, 1), ["worker-1"])
    assert not stores.lacks(EFK, there(1, 6), ["worker-1"])


def test_the_refusal_names_the_ways_out() -> None:
    for way in ("logging on --light", "logging: {url:", "pools: {logging:"):
        assert way in stores.REFUSED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            "logging: 1",
            ("4.2 GiB once and 80 MiB on each node", "20 GiB of one machine", "53% of a t3.large"),
            id="efk",
        ),
        pytest.param(
            "logging: {store: light, size: 5, days: 3}",
            ("272 MiB once", "5 GiB of one machine's own disk, for 3 days", "nothing of its own"),
            id="light",
        ),
        pytest.param(
            "logging: {url: 'https://logs.example.org'}",
            ("80 MiB once", "https://logs.example.org", "its owner knows"),
            id="yours",
        ),
        pytest.param(
            "logging: 1\npools: {logging: {type: t3.large, count: 2}, cpu: 1}",
            ("of the pool logging", "2 t3.large of the pool logging: 0.17 $/h"),
            id="a pool of its own",
        ),
    ],
)
def test_it_is_said_what_a_store_takes_of_memory_disk_and_money(
    text: str, words: tuple[str, ...]
) -> None:
    read = config.parse(f"name: a\n{text}\n")
    assert read.logging is not None

    said = stores.needs(read.logging, read, KNOWN)

    assert [line.split()[0] for line in said] == ["memory", "disk", "money"]
    for one in words:
        assert one in "\n".join(said)


def test_a_link_to_the_light_page_asks_for_the_program() -> None:
    link = stores.link(Store.LIGHT, 8081, "sim", "lab")

    assert link.startswith("http://localhost:8081/select/vmui/#/?query=")
    assert 'namespace:="lab" app:="sim"' in unquote(link)
    assert stores.link(Store.LIGHT, 8082, None) == "http://localhost:8082/select/vmui/"


def test_a_link_to_kibana_asks_for_the_program() -> None:
    link = stores.link(Store.EFK, 8081, "sim")

    assert link.startswith("http://localhost:8081/app/discover#/?")
    assert "dataViewId:clusterous" in link
    assert 'namespace : "default" and app : "sim"' in unquote(link)

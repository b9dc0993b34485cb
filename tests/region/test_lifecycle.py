"""A region comes and goes without a trace, however its daemon ends.

These regions are bare: AWS and the network, which need nothing that is built first.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.region.net import addresses, dhcp, netns
from tests.region.places import CHECKOUT
from tests.region.region import Region, RegionError

pytestmark = pytest.mark.region

NAME = "crlife"


@pytest.fixture(scope="module")
def bare() -> Iterator[Region]:
    """A region for those tests that leave it as they found it."""
    with Region("crbare").held(bare=True) as made:
        yield made


def read(argv: list[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def commands() -> Iterator[str]:
    """Yield the command of each process that speaks of the region, or lives below it.

    What lives below another region speaks of this one where a machine hides its name spaces.
    """
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_text(errors="replace")
                group = (entry / "cgroup").read_text()
            except OSError:
                continue
            if NAME in group or (NAME in words and "/clusterous-" not in group):
                yield words + group


def traces() -> dict[str, Any]:
    """Look for the region on this machine by other means than the region's own audit."""
    return {
        "links": read(["ip", "-o", "link"]),
        "addresses": read(["ip", "-o", "-4", "addr"]),
        "routes": read(["ip", "route", "show", "table", "all"]),
        "rules": read(["nft", "list", "ruleset"]),
        "namespaces": [line for line in read(["ip", "netns"]).splitlines() if NAME in line],
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if NAME in line],
        "groups": [path for path, *_ in os.walk("/sys/fs/cgroup") if NAME in path],
        "processes": list(commands()),
        "folders": [
            str(path)
            for parent in ("/etc/netns", "/var/tmp/clusterous-region", "/run/systemd/nspawn")
            for path in Path(parent).glob(f"*{NAME}*")
        ],
    }


def eventually(true: Callable[[], bool], patience: float = 10) -> bool:
    deadline = time.monotonic() + patience
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def is_connected(space: str) -> bool:
    return bool(netns.run(space, ["ip", "link", "show", "eth0", "up"], capture_output=True).stdout)


def aws(where: Region, *argv: str) -> Any:
    words = where.laptop_run(["aws", *argv], capture_output=True, text=True)
    assert words.returncode == 0, words.stderr
    return json.loads(words.stdout or "null")


def run_an_instance(where: Region) -> dict[str, Any]:
    vpc = aws(where, "ec2", "create-vpc", "--cidr-block", "10.60.0.0/16")["Vpc"]["VpcId"]
    subnet = aws(where, "ec2", "create-subnet", "--vpc-id", vpc, "--cidr-block", "10.60.3.0/24")[
        "Subnet"
    ]["SubnetId"]
    image = aws(
        where,
        "ssm",
        "get-parameter",
        "--name",
        "/aws/service/debian/release/12/latest/amd64",
    )["Parameter"]["Value"]
    made = aws(
        where,
        "ec2",
        "run-instances",
        "--image-id",
        image,
        "--instance-type",
        "t3.medium",
        "--subnet-id",
        subnet,
    )["Instances"][0]
    return dict(made)


def test_a_region_comes_and_goes_without_a_trace() -> None:
    before = traces()
    where = Region(NAME)

    where.up(bare=True)
    during = traces()
    run_an_instance(where)
    where.down()

    assert [key for key in during if not during[key] and key not in ("mounts", "rules")] == []
    assert traces() == before


def test_nothing_stays_of_a_region_whose_daemon_was_killed() -> None:
    before = traces()
    where = Region(NAME)
    where.up(bare=True)
    instance = run_an_instance(where)
    space = addresses.instance_namespace(NAME, instance["InstanceId"])
    assert eventually(lambda: netns.exists(space))
    people = [where.laptop_popen(["sleep", "60"]), netns.popen(space, ["sleep", "60"])]
    os.kill(where.facts()["pid"], signal.SIGKILL)
    assert eventually(lambda: not where.is_up())

    where.down()

    assert [person.wait() for person in people] == [-signal.SIGKILL, -signal.SIGKILL]

    assert traces() == before


def test_up_after_a_killed_daemon_starts_from_nothing() -> None:
    where = Region(NAME)
    try:
        where.up(bare=True)
        run_an_instance(where)
        os.kill(where.facts()["pid"], signal.SIGKILL)
        assert eventually(lambda: not where.is_up())

        assert where.up(bare=True)

        assert where.leftovers() == []
    finally:
        where.down()


HOLDS = f"""
import time
from tests.region.region import Region
with Region({NAME!r}).held(bare=True):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_region_that_is_held_goes_with_its_process_however_that_ends() -> None:
    before = traces()
    argv = [sys.executable, "-c", HOLDS]
    with subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        run_an_instance(Region(NAME))
        holder.kill()

    with Region(NAME).held(bare=True) as another:
        assert another.leftovers() == []

    assert traces() == before


def test_a_region_that_is_up_is_held_by_nobody_else(
    bare: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.region.region._OTHERS_SECONDS", 0.0)

    with pytest.raises(RegionError, match="is up for somebody else"), bare.held(bare=True):
        pass

    assert bare.is_up()


def test_up_again_changes_nothing(bare: Region) -> None:
    daemon = bare.facts()["pid"]

    assert not bare.up(bare=True)

    assert bare.facts()["pid"] == daemon


def test_down_of_what_is_not_up_is_no_error() -> None:
    Region("crnone").down()


def test_who_is_not_up_says_so() -> None:
    with pytest.raises(RegionError, match="is not up; start it with"):
        Region("crnone").laptop_run(["true"])


@pytest.mark.parametrize("name", ["", "with-dash", "muchtoolong", "../up"])
def test_a_name_must_fit_into_names_of_interfaces(name: str) -> None:
    with pytest.raises(RegionError, match="no name for a region"):
        Region(name)


def test_the_person_at_the_laptop_has_keys_and_the_stranger_has_none(bare: Region) -> None:
    person = aws(bare, "sts", "get-caller-identity")
    stranger = bare.stranger_run(
        ["aws", "sts", "get-caller-identity", "--region", "eu-west-1"],
        capture_output=True,
        text=True,
    )

    assert person["Arn"] == "arn:aws:iam::123456789012:user/you"
    assert "Unable to locate credentials" in stranger.stderr


def test_each_is_seen_with_their_own_address(bare: Region) -> None:
    argv = ["curl", "-sS", "https://checkip.amazonaws.com"]

    person = bare.laptop_run(argv, capture_output=True, text=True)
    stranger = bare.stranger_run(argv, capture_output=True, text=True)

    assert (person.stdout, stranger.stdout) == (
        f"{addresses.LAPTOP}\n",
        f"{addresses.STRANGER}\n",
    )


def test_the_network_follows_the_api(bare: Region) -> None:
    instance = run_an_instance(bare)
    space = addresses.instance_namespace(bare.name, instance["InstanceId"])
    came = eventually(lambda: netns.exists(space) and is_connected(space))
    leased = dhcp.lease(space)
    listed = bare.leftovers()

    bare.terminate(instance["InstanceId"])
    went = eventually(lambda: not netns.exists(space))

    assert came
    assert leased.address == instance["PrivateIpAddress"]
    assert any(instance["InstanceId"] in line for line in listed)
    assert went


def test_status_tells_programs_what_is_there(bare: Region) -> None:
    argv = [sys.executable, "-m", "tests.region", "status", "--name", bare.name, "-o", "json"]
    told = json.loads(subprocess.run(argv, cwd=CHECKOUT, capture_output=True).stdout)

    assert told["up"]
    assert f"{bare.name}-laptop" in told["namespaces"]

"""What is published of a version: made twice it is the same, and its lists say what is in it."""

import json
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import release.__main__ as releasing
from clusterous_api.errors import TransientError
from clusterous_cli.boot import releases
from clusterous_cli.cluster.config import DEFAULT_K3S
from clusterous_cli.images.assembly import archives
from clusterous_cli.system import assets, pins
from clusterous_cli.system.pins import Pins
from release import locks
from release import pins as pinning
from tests import programs
from tests.functional import dockerhub
from tests.functional.dockerhub import BASE, Site
from tests.region.parts import cache

pytestmark = programs.needs("docker-registry")
EPOCH = 1_800_000_000
VERSION = assets.version()


def wheels() -> Path | None:
    """Where the parts have the operator's wheels."""
    return next(iter(sorted(cache.default_root().glob("wheels-*"), key=os.path.getmtime)), None)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with dockerhub.serving(tmp_path, monkeypatch) as served:
        yield served


@pytest.mark.skipif(wheels() is None and not os.environ.get("CI"), reason="no wheels yet")
def test_a_release_is_made_twice_with_the_same_bytes(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels()))
    one, two = tmp_path / "one", tmp_path / "two"

    releasing.make(locks.ROOT, one, EPOCH, {})
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    before = os.umask(0o077)
    releasing.make(locks.ROOT, two, EPOCH, {})
    os.umask(before)

    listed = (one / "SHA256SUMS").read_text()
    assert listed == (two / "SHA256SUMS").read_text()
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    for folder in (one, two):
        subprocess.run(check, cwd=folder, check=True, capture_output=True)
        assert len(list(folder.iterdir())) == 1 + len(listed.splitlines()) == 7
    _holds_what_it_says(one)


def _holds_what_it_says(folder: Path) -> None:
    image = releases.operator(VERSION).published_name
    assert archives.name_in(folder / image).endswith(f"clusterous-operator:{VERSION}")
    bill = json.loads((folder / f"clusterous-{VERSION}.cdx.json").read_text())
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    within = {one["name"] for one in bill["components"] if one.get("hashes")}
    assert within == set(locks.parse_lock(locks.OPERATOR.read_text()))
    assert {"boto3", "click", "pip"} <= {one["name"] for one in bill["components"]}
    assert bill["metadata"]["component"]["version"] == VERSION
    (wheel,) = folder.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "clusterous_cli/_charts/clusterous-logging/values.schema.json",
        "clusterous_cli/_images/pins.json",
        "clusterous_cli/_images/operator/image.toml",
        "clusterous_cli/_images/operator/requirements.lock",
        "clusterous_cli/_images/volume/packages.lock",
        "clusterous_cli/_images/volume/keeper.py",
        "clusterous_operator/__main__.py",
    } <= inside
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as tar:
        for one in tar:  # who installs it refuses links that lead away
            tarfile.data_filter(one, str(folder))


def test_pins_are_what_was_fetched_and_nothing_else(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def nobody() -> str:
        raise TransientError("it cannot be reached")

    images = pinning.images(assets.images_folder())
    found = pinning.fetched({**images, "other:1": nobody}, {}, told.append)
    before = {"other:1": "sha256:before", "old": "sha256:old"}
    kept = pinning.fetched({"other:1": nobody}, before, told.append)

    assert {BASE} < set(found) == set(images)
    assert found[BASE].startswith("sha256:")
    assert kept == {"other:1": "sha256:before"}
    assert [line for line in told if "other:1: it cannot be reached" in line]


def test_a_pinned_sum_goes_before_the_publishers(monkeypatch: pytest.MonkeyPatch) -> None:
    k3s = releases.artifacts(DEFAULT_K3S)[0]
    monkeypatch.setattr(pins, "read", lambda: Pins(files={k3s.url: "a" * 64}))

    assert releases.checksum(k3s) == "a" * 64


def test_the_pins_that_are_kept_are_of_what_is_wanted() -> None:
    known = pins.read()

    assert set(known.files) <= set(pinning.files())
    assert set(known.images) <= set(pinning.images(assets.images_folder()))
    assert (assets.images_folder() / pins.FILE).read_text() == pinning.spelled(known)

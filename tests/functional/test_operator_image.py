"""Where a cluster's operator comes from: made here, a release, a file, or a name in a registry."""

import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterous_api.errors import UserError
from clusterous_cli.cluster.config import parse as configured
from clusterous_cli.images import operatorimage
from clusterous_cli.images.assembly import archives
from clusterous_cli.plan import converge, design
from clusterous_cli.plan.design import Design, Offer, OwnImage
from clusterous_cli.plan.kinds.kind import Action
from clusterous_cli.system import assets, download, wait
from clusterous_cli.terminal.lines import TimedLines
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui
from tests import programs
from tests.functional import cloud, dockerhub
from tests.functional.dockerhub import Site

pytestmark = programs.needs("docker-registry")
CONFIG = configured("name: reef\nworkers: 1\nvolume: none\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A registry; nothing of the operator's is released, and no builder is here."""
    folder = dockerhub.tool(tmp_path, monkeypatch, "operator")
    (folder.parent / "pins.json").write_text('{"files": {}, "images": {}}')
    monkeypatch.setattr(assets, "images_folder", lambda: folder.parent)
    monkeypatch.setenv("CLUSTEROUS_BUILDER", "docker")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").symlink_to("/bin/false")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    with dockerhub.serving(tmp_path, monkeypatch) as served:
        yield served


def outside() -> design.Outside:
    """No release of this version."""
    before = cloud.outside()

    def checksum(artifact: Any) -> str:
        if artifact.name == "operator":
            raise download.Missing("There is no such release.")
        return before.checksum(artifact)

    return design.Outside(address=before.address, checksum=checksum, now=before.now)


def drawn(world: cloud.World, given: OwnImage | None = None) -> Design:
    offer = Offer(given=given, made=operatorimage.made)
    return design.draw(world.cloud, CONFIG, outside(), offer)


def created(world: cloud.World, given: OwnImage | None = None) -> Design:
    """Make all but the machines' end: what counts here lies in the bucket."""
    lines, pauses = TimedLines(Ui(Settings(quiet=True))), wait.Pauses()
    whole = converge.with_image(drawn(world, given), lines, pauses)
    outcome = converge.Create(
        cloud=world.cloud, design=whole, lines=lines, pauses=pauses, fetched=world.fetched
    ).execute()
    assert not outcome.failed
    return whole


def in_bucket(world: cloud.World, key: str) -> bytes:
    bucket = drawn(world).who.bucket
    content: bytes = world.cloud.call("s3", "get_object", Bucket=bucket, Key=key)["Body"].read()
    return content


def image_of_chart(world: cloud.World, whole: Design) -> str:
    pages = [in_bucket(world, key) for key in whole.blobs if key.endswith(".yaml")]
    objects = [one for page in pages for one in yaml.safe_load_all(page)]
    (chart,) = [one for one in objects if one.get("kind") == "HelmChart"]
    image = yaml.safe_load(chart["spec"]["valuesContent"])["image"]
    return f"{image['repository']}:{image['tag']}"


def test_without_a_release_create_makes_the_image_before_anything_else(
    world: cloud.World, site: Site, tmp_path: Path
) -> None:
    whole = created(world)

    blob = whole.operator.blob
    (tmp_path / "got.tar").write_bytes(in_bucket(world, blob.key))
    assert download.sha256(tmp_path / "got.tar") == blob.sha256
    assert archives.name_in(tmp_path / "got.tar") == whole.operator.reference
    assert image_of_chart(world, whole) == whole.operator.reference
    assert whole.operator.reference.startswith(f"example.org/operator:{assets.version()}-")


def test_a_plan_makes_nothing_and_says_what_would_be_made(
    world: cloud.World, site: Site, tmp_path: Path
) -> None:
    planned = drawn(world)

    assert planned.operator.sha256 is None
    assert planned.operator.origin == f"made here, on {dockerhub.BASE}"
    assert not (tmp_path / "cache").exists()
    assert world.mutating() == []


def test_another_laptop_finds_the_image_in_the_bucket(
    world: cloud.World, site: Site, tmp_path: Path
) -> None:
    before = created(world)
    shutil.rmtree(tmp_path / "cache")

    again = drawn(world)

    assert again.operator.sha256 == before.operator.sha256
    assert [one.key for one in again.plan.steps if one.action is not Action.KEEP] == []


def test_an_image_that_cannot_be_made_leaves_nothing(
    world: cloud.World, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(site.storage / "docker/registry/v2/repositories/library/python")

    with pytest.raises(UserError, match="library/python"):
        created(world)

    assert world.mutating() == []


def test_a_release_goes_before_what_can_be_made(world: cloud.World, site: Site) -> None:
    offer = Offer(made=operatorimage.made)

    whole = design.draw(world.cloud, CONFIG, cloud.outside(), offer)

    assert whole.operator.origin == f"the release {assets.version()}"
    assert whole.operator.released
    assert whole.operator.released.url.endswith(
        f"/clusterous-operator-{assets.version()}-amd64.tar"
    )


def test_a_file_is_taken_under_the_name_that_it_has(
    world: cloud.World, site: Site, tmp_path: Path
) -> None:
    made = operatorimage.made()
    assert made.archive
    file = tmp_path / "my image.tar"
    shutil.copy(made.archive(lambda line: None, lambda *_: None), file)

    whole = created(world, operatorimage.given(str(file)))

    assert in_bucket(world, whole.operator.blob.key) == file.read_bytes()
    assert image_of_chart(world, whole) == made.reference
    assert " " not in whole.operator.blob.key


def test_a_name_in_a_registry_is_fetched_here_so_that_no_node_must(
    world: cloud.World, site: Site, tmp_path: Path
) -> None:
    whole = created(world, operatorimage.given("python:3.11-slim"))

    (tmp_path / "got.tar").write_bytes(in_bucket(world, whole.operator.blob.key))
    assert archives.name_in(tmp_path / "got.tar") == dockerhub.BASE
    assert image_of_chart(world, whole) == dockerhub.BASE


def test_a_name_by_its_digest_gets_a_tag_of_it(world: cloud.World, site: Site) -> None:
    given = operatorimage.given("python:3.11-slim")
    assert given.archive
    path = given.archive(lambda line: None, lambda *_: None)
    digest = json.loads(_member(path, "index.json"))["manifests"][0]["digest"]

    again = operatorimage.given(f"python@{digest}")

    assert again.reference == f"docker.io/library/python:{digest[7:19]}"


def _member(path: Path, name: str) -> bytes:
    with tarfile.open(path) as tar:
        file = tar.extractfile(name)
        assert file
        return file.read()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("missing.tar", "There is no file missing.tar", id="no such file"),
        pytest.param("./x", "There is no file ./x", id="a path"),
        pytest.param("Not A Name", "is no name of an image", id="no name"),
        pytest.param("nobody/nothing:1", "cannot be read", id="nobody's"),
    ],
)
def test_what_cannot_be_an_image_is_told(site: Site, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        operatorimage.given(text)

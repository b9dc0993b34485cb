"""The image that machines boot: whose it is, and whether it fits, said before anything is made."""

from collections.abc import Iterator

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.cluster import config
from clusterous_cli.output import show
from clusterous_cli.plan import cost, design
from tests.functional import cloud
from tests.region.aws import images


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud.World]:
    with cloud.running(tmp_path_factory.mktemp("aws")) as running:
        yield running


def published(name: str) -> images.Image:
    return next(one for one in images.IMAGES if name in one.name)


def test_an_image_that_a_file_names_is_shown_with_its_name_and_owner(world: cloud.World) -> None:
    debian = published("debian-12-amd64")
    reef = config.parse(f"name: reef\nimage: {debian.id('eu-west-1')}\n")

    drawn = world.design(reef)

    said = f"machines boot {debian.id('eu-west-1')}: {debian.name}, made by amazon {debian.owner}"
    price = cost.of(reef, "eu-west-1")
    assert f"  ! {said}" in show.plan_table(drawn, price)
    assert show.plan_data(drawn, price)["image"] == {
        "id": debian.id("eu-west-1"), "name": debian.name, "owner": f"amazon {debian.owner}",
    }  # fmt: skip


def test_an_image_by_its_known_name_is_nothing_to_look_at(world: cloud.World) -> None:
    drawn = world.design(config.parse("name: reef\nimage: debian-12\nvolume: none\n"))

    assert show.image_words(drawn) == []


@pytest.mark.parametrize("volume", ["ebs", "efs"])
@pytest.mark.parametrize("image", design.WITHOUT_NFS)
def test_an_image_that_cannot_mount_the_volume_is_refused_before_anything_is_made(
    world: cloud.World, image: str, volume: str
) -> None:
    with pytest.raises(UserError, match=f"image {image} has no NFS client"):
        world.design(config.parse(f"name: reef\nimage: {image}\nvolume: {volume}\n"))

    assert world.mutating() == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("2023) x86_64", "gateway: its disk of 8 GiB is too small, image ID (NAME) takes 35"),
        ("debian-12-arm64", "image ID (NAME) is for arm64; machines are x86_64"),
        ("", "There is no image ID in eu-west-1"),
    ],
    ids=["larger than the disks", "for other machines", "not there"],
)
def test_an_image_that_cannot_boot_is_refused_before_anything_is_made(
    world: cloud.World, name: str, said: str
) -> None:
    image = published(name)
    id = image.id("eu-west-1") if name else "ami-0123456789abcdef0"

    with pytest.raises(UserError) as told:
        world.design(config.parse(f"name: reef\nimage: {id}\n"))

    assert said.replace("ID", id).replace("NAME", image.name) in str(told.value)
    assert world.mutating() == []

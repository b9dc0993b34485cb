"""Commands that are called in another region or account than the cluster's."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clusterous_cli import main
from clusterous_cli.aws import client
from clusterous_cli.cluster import config, local, regions
from clusterous_cli.cluster.identity import Identity
from tests.functional import cloud

FILE = "name: reef\nregion: eu-west-1\nworkers: 0\n"
REEF = Identity(name="reef", account="123456789012", region="eu-west-1")
Type = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud.World]:
    with cloud.running(tmp_path_factory.mktemp("aws")) as world:
        world.create(config.parse(FILE))
        yield world


@pytest.fixture
def world(
    account: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[cloud.World]:
    """The cluster reef in eu-west-1, while the AWS tools are set to us-east-1."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLUSTEROUS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    account.configure(regions=("eu-west-1", "us-east-1"))
    cloud.refused(monkeypatch, tmp_path)
    before = account.mutating()
    yield account
    assert account.mutating() == before, "something was changed"


@pytest.fixture
def type_(world: cloud.World, capsys: pytest.CaptureFixture[str]) -> Type:
    def typed(*words: str) -> tuple[int, str, str]:
        code = main.run(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return typed


@pytest.fixture
def other_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.Aws, "account", "999999999999")


def test_the_file_in_the_folder_says_where_the_cluster_is(type_: Type) -> None:
    Path("clusterous.yaml").write_text(FILE)

    code, out, err = type_("status")

    assert code == 0, err
    assert "reef · eu-west-1" in out


def test_destroy_asks_about_the_cluster_of_the_file(type_: Type) -> None:
    Path("clusterous.yaml").write_text(FILE)

    code, _, err = type_("destroy")

    assert code == 2
    assert "This removes reef in eu-west-1 (account 123456789012): 3 machines" in err
    assert "There is no terminal" in err


def test_a_question_of_create_names_region_and_account(
    type_: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = cloud.outside()
    monkeypatch.setattr("clusterous_cli.plan.design.Outside", lambda: answers)
    Path("clusterous.yaml").write_text("name: atoll\nregion: eu-west-1\n")

    code, _, err = type_("create")

    assert code == 2
    assert "create atoll in eu-west-1 (account 123456789012)?" in err


@pytest.mark.parametrize(
    "words", [("destroy", "reef"), ("destroy", "--cluster", "reef")], ids=" ".join
)
def test_destroy_goes_where_the_name_is_known_to_be(type_: Type, words: tuple[str, ...]) -> None:
    local.remember(REEF)

    code, _, err = type_(*words)

    assert code == 2
    assert "This removes reef in eu-west-1" in err


def test_create_and_plan_go_on_where_the_cluster_is_known_to_be(
    type_: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = cloud.outside()
    monkeypatch.setattr("clusterous_cli.plan.design.Outside", lambda: answers)
    local.remember(REEF)
    Path("reef.yaml").write_text("name: reef\nworkers: 0\n")

    _, out, err = type_("plan", "reef.yaml")

    assert "cluster reef in eu-west-1" in out, err


@pytest.mark.parametrize("form", ["table", "json"])
def test_nothing_in_another_region_is_no_success(type_: Type, form: str) -> None:
    local.remember(REEF)

    code, out, err = type_("destroy", "reef", "--region", "us-east-1", "--yes", "-o", form)

    assert (code, out) == (2, "")
    assert "nothing of reef in us-east-1" in err
    assert "This machine knows reef in eu-west-1 (account 123456789012)" in err
    assert local.folder(REEF).exists()


@pytest.mark.usefixtures("other_account")
def test_nothing_in_another_account_is_no_success(type_: Type) -> None:
    local.remember(REEF)

    code, _, err = type_("destroy", "reef", "--yes")

    assert code == 2
    assert "nothing of reef in eu-west-1 (account 999999999999)" in err
    assert "reef in eu-west-1 (account 123456789012)" in err
    assert local.folder(REEF).exists()


@pytest.mark.usefixtures("other_account")
def test_other_commands_name_both_accounts(type_: Type) -> None:
    local.remember(REEF)

    code, _, err = type_("status", "--cluster", "reef")

    assert code == 2
    assert "no cluster 'reef' in eu-west-1 (account 999999999999)" in err
    assert "This machine knows reef in eu-west-1 (account 123456789012)" in err


def test_the_only_cluster_that_is_known_is_meant(type_: Type) -> None:
    local.remember(REEF)

    code, out, err = type_("status")

    assert code == 0, err
    assert "reef · eu-west-1" in out


def test_without_a_name_the_known_clusters_are_named(type_: Type) -> None:
    local.remember(REEF)
    local.remember(Identity(name="coral", account="123456789012", region="eu-west-1"))

    for command in ("status", "destroy"):
        code, _, err = type_(command, "--yes")

        assert code == 2
        assert "no cluster in us-east-1" in err
        assert "reef in eu-west-1" in err
        assert "--cluster NAME" in err


def test_a_cluster_of_which_nothing_is_known_is_looked_for_everywhere(type_: Type) -> None:
    code, _, err = type_("destroy", "reef", "--yes")

    assert code == 2
    assert "but there is in eu-west-1" in err
    assert "--region eu-west-1" in err


def test_regions_that_cannot_be_asked_are_told(type_: Type, world: cloud.World) -> None:
    world.fault(
        service="ec2", action="DescribeRegions", kind="error", code="UnauthorizedOperation",
        status=403, times=1, message="You are not authorized.",
    )  # fmt: skip

    code, _, err = type_("destroy", "coral", "--yes")

    assert code == 2
    assert "all other regions could not be asked" in err


def test_what_is_nowhere_is_success(type_: Type) -> None:
    code, _, err = type_("destroy", "coral", "--yes")

    assert code == 0
    assert "nothing of coral in us-east-1 (account 123456789012)" in err


def test_a_name_that_is_known_twice_is_refused(type_: Type) -> None:
    local.remember(REEF)
    local.remember(Identity(name="reef", account="123456789012", region="us-east-1"))

    code, _, err = type_("destroy", "reef", "--yes")

    assert code == 2
    assert "Which reef?" in err
    assert "Say --region eu-west-1 or us-east-1" in err


def test_yes_without_a_name_is_no_word_for_a_cluster_of_somebody_else(type_: Type) -> None:
    code, _, err = type_("destroy", "--region", "eu-west-1", "--yes")

    assert code == 2
    assert "which this machine does not know" in err


def test_searches_all_enabled_regions(world: cloud.World) -> None:
    found = regions.search(world.cloud, "reef")

    assert found == regions.Search(found=("eu-west-1",))


def test_a_region_that_is_not_enabled_is_told_as_that(type_: Type) -> None:
    """Such a region says that the keys are wrong."""
    code, _, err = type_("status", "--region", "me-south-1")

    assert code == 2
    assert "The region me-south-1 is not enabled in your AWS account" in err


def test_where_nobody_can_be_asked_the_region_is_a_guess(type_: Type, world: cloud.World) -> None:
    world.fault(
        service="ec2", action="DescribeRegions", kind="error", code="UnauthorizedOperation",
        status=403, times=1, message="You are not authorized.",
    )  # fmt: skip

    code, _, err = type_("status", "--region", "me-south-1")

    assert code == 2
    assert "does not accept the credentials" in err
    assert "Or the region me-south-1 is not enabled" in err


def test_a_region_that_there_is_not_is_not_asked(type_: Type) -> None:
    code, _, err = type_("status", "--region", "eu-nowhere-1")

    assert code == 2
    assert "There is no AWS region 'eu-nowhere-1'" in err


@pytest.mark.parametrize("name", ["..", "a/b", "Reef", "reef*", "\udcff", "r" * 300, "-"])
@pytest.mark.parametrize("command", ["destroy", "status", "audit", "workon"])
def test_what_no_cluster_is_called_is_asked_of_nobody(
    type_: Type, world: cloud.World, command: str, name: str
) -> None:
    before = len(world.server.log())
    words = [command, "--", name] if command in ("destroy", "workon") else [command]

    code, _, err = type_(*words, *([] if name in words else [f"--cluster={name}"]))

    assert code == 2
    assert "is no cluster's name" in err
    assert len(world.server.log()) == before

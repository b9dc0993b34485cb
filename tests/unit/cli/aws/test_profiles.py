"""The predecessor's configuration profiles, and how they are told from AWS's."""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterous_api.errors import UserError
from clusterous_cli import main
from clusterous_cli.aws import client, profiles
from clusterous_cli.terminal.options import Settings

FILE = """\
current_profile: lab
profiles:
  lab:
    type: AWS
    config:
      access_key_id: AKIALAB
      secret_access_key: secret-of-lab
      region: eu-west-1
      key_pair: mine
      key_file: ~/.ssh/mine.pem
      clusterous_s3_bucket: bucket
  home:
    type: AWS
    config: {access_key_id: AKIAHOME, secret_access_key: secret-of-home, region: us-east-1}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    before = dict(os.environ)
    (tmp_path / ".clusterous.yml").write_text(FILE)
    yield tmp_path
    for name in set(os.environ) - set(before):
        del os.environ[name]


def connected(**said: str) -> tuple[str, str]:
    """The key and the region with which AWS is asked."""
    cloud = client.connect(Settings(**said))
    return cloud.session.get_credentials().access_key, cloud.region


def test_the_current_profile_counts(home: Path) -> None:
    assert connected() == ("AKIALAB", "eu-west-1")
    # What is connected again, and programs that we start, have the same keys.
    assert connected() == ("AKIALAB", "eu-west-1")
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "secret-of-lab"


def test_an_option_names_one_of_either_kind_aws_own_first(home: Path) -> None:
    (home / ".aws").mkdir()
    (home / ".aws/config").write_text("[profile work]\nregion = sa-east-1\n[profile lab]\n")
    (home / ".aws/credentials").write_text(
        "[work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = x\n"
        "[lab]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = x\n"
    )

    assert connected(profile="work") == ("AKIAWORK", "sa-east-1")
    assert connected(profile="lab", region="eu-west-2") == ("AKIAOTHER", "eu-west-2")
    assert connected(profile="home") == ("AKIAHOME", "us-east-1")
    with pytest.raises(UserError, match="nobody"):
        connected(profile="nobody")


def test_the_environment_goes_before_the_current_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")

    assert connected() == ("AKIAENV", "eu-west-3")


def test_a_profile_may_name_one_of_aws_own_in_the_place_of_keys(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".aws").mkdir()
    (home / ".aws/credentials").write_text(
        "[work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = x\n"
    )
    (home / ".clusterous.yml").write_text(
        "current_profile: lab\nprofiles:\n"
        "  lab: {type: AWS, config: {aws_profile: work, region: eu-west-1}}\n"
    )

    shown = typed(capsys, "show")

    assert connected() == ("AKIAWORK", "eu-west-1")
    assert connected() == ("AKIAWORK", "eu-west-1")
    assert os.environ["AWS_PROFILE"] == "work"  # what we start has the same keys
    assert (shown[0], "aws_profile: work" in shown[1]) == (0, True)


@pytest.mark.parametrize("named", ["lab", "home"])
@pytest.mark.parametrize(
    "before",
    [
        {"AWS_ACCESS_KEY_ID": "AKIAOTHER", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "y"},
        {"AWS_ACCESS_KEY_ID": "AKIAOTHER", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SECURITY_TOKEN": "y",
         "AWS_CREDENTIAL_EXPIRATION": "2001-01-01T00:00:00Z"},
        {"AWS_PROFILE": "other"},
        {"AWS_DEFAULT_PROFILE": "other"},
        {"AWS_ROLE_ARN": "arn:aws:iam::1:role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/nothing"},
    ],
    ids=lambda before: next(iter(before)),
)  # fmt: skip
def test_a_profile_that_is_named_goes_before_all_that_the_environment_says(
    home: Path, monkeypatch: pytest.MonkeyPatch, named: str, before: dict[str, str]
) -> None:
    """Else the cluster of that name in another account would be meant."""
    (home / ".aws").mkdir()
    (home / ".aws/credentials").write_text(
        "[work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = x\n"
        "[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = x\n"
    )
    (home / ".clusterous.yml").write_text(
        "current_profile: lab\nprofiles:\n"
        "  lab: {type: AWS, config: {aws_profile: work, region: eu-west-1}}\n"
        "  home: {type: AWS, config: {access_key_id: AKIAHOME, secret_access_key: x,"
        " region: eu-west-1}}\n"
    )
    for name, value in before.items():
        monkeypatch.setenv(name, value)

    session = client.connect(Settings(profile=named)).session

    held = session.get_credentials().get_frozen_credentials()
    assert held.access_key == {"lab": "AKIAWORK", "home": "AKIAHOME"}[named]
    assert held.token is None


def typed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main.run(["profile", *words])
    return (code, *capsys.readouterr())


def test_lists_chooses_shows_and_forgets(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(capsys, "ls")[1] == "* lab\n  home\n"
    assert "eu-west-1" in typed(capsys, "show")[1]
    code, shown, _ = typed(capsys, "show", "home")
    assert (code, "secret-of" in shown, "…home" in shown) == (0, False, True)
    assert typed(capsys, "use", "lab")[0] == 2
    assert typed(capsys, "rm", "lab")[0] == 2
    assert typed(capsys, "use", "nobody")[0] == 2
    assert typed(capsys, "use", "home")[0] == 0
    assert typed(capsys, "rm", "lab")[0] == 2  # nobody is there to be asked
    assert typed(capsys, "rm", "lab", "--confirm")[0] == 0

    left = yaml.safe_load((home / ".clusterous.yml").read_text())
    assert (left["current_profile"], list(left["profiles"])) == ("home", ["home"])
    assert (home / ".clusterous.yml").stat().st_mode & 0o777 == 0o600


def test_two_who_change_them_take_turns(home: Path) -> None:
    def added(name: str, there: profiles.Profiles) -> profiles.Profiles:
        if name == "first":
            second.start()
            second.join(0.1)  # it would be done by then, if it did not wait
        made = profiles.Profile(name=name, config=dict(there.all["lab"].config))
        return replace(there, all={**there.all, name: made})

    second = threading.Thread(target=profiles.change, args=(partial(added, "second"),))
    profiles.change(partial(added, "first"))
    second.join()

    assert {"first", "second"} <= set(profiles.read().all)


def test_a_file_that_lies_elsewhere_is_written_there(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".clusterous.yml").rename(home / "elsewhere.yml")
    (home / ".clusterous.yml").symlink_to("elsewhere.yml")

    assert typed(capsys, "use", "home")[0] == 0

    assert (home / ".clusterous.yml").is_symlink()
    assert yaml.safe_load((home / "elsewhere.yml").read_text())["current_profile"] == "home"


def test_without_a_file_there_are_none(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".clusterous.yml").unlink()

    assert typed(capsys, "ls")[1] == "There are no configuration profiles.\n"
    assert typed(capsys, "show")[0] == 2
    assert profiles.meant(None) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- AWS: {}", "is of a clusterous before 0.5"),
        ("profiles: 3", "must be a mapping"),
        ("a: [", "is not YAML"),
        ('a: "\\UFFFFFFFF"', "is not YAML"),
        ("a: !!bool maybe", "is not YAML"),
        ("a: !!timestamp x", "is not YAML"),
        ("profiles: {a: 3}", "profile a has no config"),
        ("profiles: {a: {config: {region: x}}}", "has no access_key_id, secret_access_key"),
        ("profiles: {a: {config: {aws_profile: x}}}", "profile a has no region"),
    ],
)
def test_refuses_what_is_none(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        profiles.parse(text, "f")


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = profiles.parse(text, "f")
    except UserError:
        return
    assert found.all == {}

"""`clusterous setup` as a whole, against a strict AWS: asked step by step, or said by options."""

import getpass
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterous_cli import main
from clusterous_cli.aws import profiles
from clusterous_cli.terminal.screen import Ui
from tests.functional import cloud


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud.World]:
    with cloud.running(tmp_path_factory.mktemp("aws")) as world:
        for reads in (True, False):  # made now, by the account's own keys
            world.cloud.client("s3", reads=reads)
        yield world


@dataclass
class Laptop:
    """Where `setup` is typed, and what is answered there."""

    world: cloud.World
    home: Path
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    def type(self, *words: str) -> tuple[int, str, str]:
        code = main.run(["setup", *words])
        return (code, *self.capture.readouterr())

    def answer(self, *words: str) -> None:
        """Sit at a terminal, and answer so, one question after the other."""
        left = iter(words)
        self.patch.setattr(Ui, "can_ask", property(lambda ui: True))
        self.patch.setattr(getpass, "getpass", lambda prompt: next(left))
        self.patch.setattr("sys.stdin.readline", lambda: f"{next(left)}\n")

    @property
    def file(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((self.home / ".clusterous.yml").read_text())
        return found

    def buckets(self) -> list[str]:
        listed = self.world.cloud.client("s3", reads=True).list_buckets()["Buckets"]
        return [one["Name"] for one in listed]


@pytest.fixture
def laptop(
    account: cloud.World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Laptop]:
    """A machine whose AWS tools have the profile work; nothing else says whose keys are meant."""
    keys = account.server.user_credentials()
    monkeypatch.setenv("HOME", str(tmp_path))
    before = dict(os.environ)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    config = tmp_path / "config"
    config.write_text(
        f"[profile work]\naws_access_key_id = {keys.access_key_id}\n"
        f"aws_secret_access_key = {keys.secret_access_key}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    cloud.typing(monkeypatch, account)
    yield Laptop(account, tmp_path, capsys, monkeypatch)
    for name in set(os.environ) - set(before):
        del os.environ[name]


def test_all_is_said_by_options(laptop: Laptop) -> None:
    words = ("--name", "lab", "--region", "eu-west-1", "--profile", "work", "--bucket", "none")

    code, out, err = laptop.type(*words)
    again = laptop.type(*words)

    assert (code, out) == (0, ""), err
    assert laptop.file == {
        "current_profile": "lab",
        "profiles": {
            "lab": {"type": "AWS", "config": {"aws_profile": "work", "region": "eu-west-1"}}
        },
    }
    assert "arn:aws:iam::123456789012" in err
    assert "$/h in eu-west-1 while it runs" in err
    assert (again[0], "profiles are never overwritten" in again[2]) == (2, True)
    assert laptop.buckets() == []


def test_keys_are_read_from_a_file_and_never_shown(laptop: Laptop) -> None:
    keys = laptop.world.server.user_credentials()
    (laptop.home / "key.txt").write_text(f"{keys.secret_access_key}\n")

    code, out, err = laptop.type(
        *("--name", "ci", "--region", "eu-west-1", "--bucket", "reef-images", "-o", "json"),
        *("--access-key-id", keys.access_key_id, "--secret-from", str(laptop.home / "key.txt")),
    )

    assert code == 0, err
    config = laptop.file["profiles"]["ci"]["config"]
    assert config["secret_access_key"] == keys.secret_access_key
    assert config["clusterous_s3_bucket"] == "reef-images"
    assert keys.secret_access_key not in out + err
    assert (laptop.home / ".clusterous.yml").stat().st_mode & 0o777 == 0o600
    assert laptop.buckets() == ["reef-images"]
    blocked = laptop.world.cloud.client("s3").get_public_access_block(Bucket="reef-images")
    assert all(blocked["PublicAccessBlockConfiguration"].values())
    assert "registry: {type: s3, bucket: reef-images}" in err


def test_what_another_setup_kept_meanwhile_stays(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first question and the last, as much time passes as a person takes."""
    told = profiles.said_otherwise

    def meanwhile() -> str:
        made = profiles.Profile(name="other", config={"aws_profile": "x", "region": "eu-west-1"})
        profiles.write(profiles.Profiles(current="other", all={"other": made}))
        return told()

    monkeypatch.setattr(profiles, "said_otherwise", meanwhile)
    words = ("--profile", "work", "--region", "eu-west-1", "--bucket", "none")

    code, _, err = laptop.type("--name", "lab", *words)

    assert code == 0, err
    assert list(laptop.file["profiles"]) == ["other", "lab"]


@pytest.mark.parametrize("given", ["keys", "profile"])
def test_nothing_of_another_identity_stands_beside_what_is_tried(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    keys = laptop.world.server.user_credentials()
    (laptop.home / "key.txt").write_text(keys.secret_access_key)
    monkeypatch.setenv("AWS_SECURITY_TOKEN", "of another session")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/no/such/token")
    ours = ("--access-key-id", keys.access_key_id, "--secret-from", str(laptop.home / "key.txt"))
    whose = ours if given == "keys" else ("--profile", "work")

    code, _, err = laptop.type(
        *("--name", given, "--region", "eu-west-1", "--bucket", "none"), *whose
    )

    assert code == 0, err


def test_a_person_is_asked_and_may_answer_again(laptop: Laptop) -> None:
    keys = laptop.world.server.user_credentials()
    laptop.answer(
        *(keys.access_key_id, "wrong", "eu-west-1"),
        *(keys.access_key_id, keys.secret_access_key, "eu-west-1"),
        *("Not_A_Bucket", ""),
        "",
    )

    code, _, err = laptop.type()

    assert code == 0, err
    assert "access key id:" in err
    assert "is no bucket's name" in err
    assert laptop.file["current_profile"] == "default"
    assert laptop.file["profiles"]["default"]["config"]["region"] == "eu-west-1"


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        ((), "--profile or --access-key-id"),
        (("--profile", "work"), "--region"),
        (("--access-key-id", "AKIA"), "--secret-from"),
        (("--profile", "work", "--region", "eu-west-1"), "--bucket"),
        (("--profile", "work", "--region", "eu-west-1", "--bucket", "none"), "--name"),
    ],
)
def test_without_a_terminal_the_option_is_named(
    laptop: Laptop, words: tuple[str, ...], flag: str
) -> None:
    code, _, err = laptop.type(*words)

    assert (code, f"say {flag}." in err) == (2, True), err
    assert not (laptop.home / ".clusterous.yml").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--profile", "nobody", "--region", "eu-west-1"), "have no profile nobody"),
        (("--profile", "work", "--region", "eu-wset-1"), "There is no AWS region 'eu-wset-1'"),
        (
            ("--profile", "work", "--region", "eu-west-1", "--bucket", "No.Dots"),
            "is no bucket's name",
        ),
        (
            ("--access-key-id", "AKIA", "--secret-from", "/no/such", "--region", "eu-west-1"),
            "/no/such cannot be read",
        ),
    ],
)
def test_what_is_wrong_is_told_and_nothing_kept(
    laptop: Laptop, words: tuple[str, ...], said: str
) -> None:
    code, _, err = laptop.type(*words, "--name", "lab")

    assert (code, said in err) == (2, True), err
    assert not (laptop.home / ".clusterous.yml").exists()

"""What the CLI keeps of a cluster on this machine."""

import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.images import builder
from clusterous_cli.system import download, private


def test_what_is_kept_is_read_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "reef" / "record.json"

    private.write(path, "secret")

    assert path.read_text() == "secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_what_is_kept_already_is_closed_to_others_too(tmp_path: Path) -> None:
    path = tmp_path / "id_ed25519"
    path.write_text("secret")
    path.chmod(0o644)

    private.write(path, "secret")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(private.home, id="what clusters need"),
        pytest.param(download.cache, id="what was fetched"),
        pytest.param(partial(builder.cache_folder, {}), id="images"),
    ],
)
def test_a_user_without_a_home_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch, place: Callable[[], Path]
) -> None:
    for name in ("HOME", "CLUSTEROUS_HOME", "CLUSTEROUS_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)

    with pytest.raises(UserError, match="Your home folder is not known"):
        place()

"""What the CLI keeps of a cluster on this machine."""

import stat
from pathlib import Path

from clusterous_cli.system import private


def test_what_is_kept_is_read_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "reef" / "record.json"

    private.write(path, "secret")

    assert path.read_text() == "secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]

"""`clusterous logs` from the store of central logging: what it is asked, and what it cannot do."""

from typing import Any

import pytest

from clusterous_cli import main
from clusterous_cli.cluster import config

BARE = "name: reef\n"
EFK = "name: reef\nlogging: 1\n"


def typed(monkeypatch: pytest.MonkeyPatch, text: str, *words: str) -> int:
    read = config.parse(text)
    monkeypatch.setattr(
        "clusterous_cli.commands.opening.existing", lambda *_: (None, read), raising=True
    )
    return main.run(["logs", *words])


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        pytest.param(
            BARE, ["sim", "--stored", "--since", "1h"], "Central logging is off", id="off"
        ),
        pytest.param(EFK, ["--grep", "x"], "take the name of a program", id="no name"),
        pytest.param(EFK, ["sim", "-f", "--stored"], "clusterous logging open sim", id="follow"),
        pytest.param(EFK, ["sim", "--grep", "x"], "clusterous logging open sim", id="efk"),
    ],
)
def test_what_the_store_cannot_do_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[Any],
    text: str,
    words: list[str],
    said: str,
) -> None:
    assert typed(monkeypatch, text, *words) == 2
    assert said in capsys.readouterr().err

"""Which port of this machine a page has."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clusterous_api.errors import FailedError
from clusterous_cli.reach import ports


def but(*taken: int) -> Callable[[int], bool]:
    return lambda port: port not in taken


@pytest.mark.parametrize(
    ("kept", "wanted", "taken", "expected"),
    [
        pytest.param({}, 8080, (), 8080, id="what-is-wanted"),
        pytest.param({}, 8080, (8080,), 8081, id="the-next-where-taken"),
        pytest.param({"a/p": 8085}, 8080, (), 8085, id="what-it-had"),
        pytest.param({"a/p": 8085}, 8080, (8085,), 8080, id="what-it-had-is-taken"),
        pytest.param({"b/p": 8080}, 8080, (), 8081, id="anothers-though-it-is-closed"),
        pytest.param({}, 80, (80,), 8080, id="who-may-not-open-80"),
        pytest.param({}, 80, (), 80, id="who-may"),
    ],
)
def test_a_page_has_a_port_of_its_own(
    kept: dict[str, int], wanted: int, taken: tuple[int, ...], expected: int
) -> None:
    assert ports.chosen(kept, "a/p", wanted, but(*taken)) == expected


def test_none_is_free() -> None:
    with pytest.raises(FailedError, match="None of the ports 8080 to 8179 is free here"):
        ports.chosen({}, "a/p", 8080, lambda port: False)


def test_ports_of_apps_that_are_gone_are_free_again() -> None:
    kept = {"default/a/page": 8080, "lab/a/page": 8081, "default/b/page": 8082}

    assert ports.divided(kept, {"default/a"}) == (
        {"default/a/page": 8080},
        {"lab/a/page": 8081, "default/b/page": 8082},
    )


def test_they_are_kept(tmp_path: Path) -> None:
    ports.write(tmp_path, {"default/a/page": 8080})

    assert ports.read(tmp_path) == {"default/a/page": 8080}
    assert ports.read(tmp_path / "nowhere") == {}
    for text in ("{", "[]", "null", '{"a": "x"}', '{"a": null}'):
        (tmp_path / ports.FILE).write_text(text)
        assert ports.read(tmp_path) == {}

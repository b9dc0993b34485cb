"""Words from outside steer no terminal and make no status too long."""

import json
from typing import Any

import pytest

from clusterous_operator.decisions.counting import Size
from clusterous_operator.objects import trouble, wording
from clusterous_operator.status import appstatus
from tests.unit.operator.making import NOW, FakeApi, make_app, make_pod, settle

STEERS = "\x1b]0;pwned\x07\x9b31m\u202e"


def test_letters_of_all_scripts_stay() -> None:
    words = "größer, κόσμος, 吉野家, 💥"

    assert wording.plain(words) == words


def test_what_steers_a_terminal_goes() -> None:
    assert wording.plain(f"a{STEERS}b\ud800c").isprintable()


def texts(value: Any) -> list[str]:
    """Return all texts in a JSON value."""
    match value:
        case dict():
            return [text for one in value.values() for text in texts(one)]
        case list():
            return [text for one in value for text in texts(one)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize(
    "state",
    [
        {"waiting": {"reason": "RunContainerError", "message": f"no{STEERS}"}},
        {"waiting": {"reason": "ErrImagePull", "message": f"no{STEERS}"}},
        {"terminated": {"exitCode": 1, "message": f"last{STEERS}"}},
    ],
)
def test_no_program_and_no_image_steers_who_reads_the_status(state: Any) -> None:
    app = make_app(
        expose=[{"name": "web", "component": "master", "port": 8080, "message": f"at{STEERS}"}]
    )
    body = {
        "metadata": {"name": "one", "labels": {}},
        "status": {"containerStatuses": [{"name": "master", "image": "x", "state": state}]},
    }
    found = trouble.of_pod(body)
    assert found is not None
    api = FakeApi()
    settle(app, api)
    api.pods = (make_pod(trouble=(found.reason, found.words)),)

    told = appstatus.summarize(api.observe(app), Size(), {}, NOW)

    assert [text for text in texts(told) if not text.isprintable()] == []


def test_a_refusal_of_any_length_can_be_written() -> None:
    told = appstatus.stalled(1, "wrong\x1b " * 20000, {}, NOW, "Refused")

    assert len(json.dumps(told)) < 5 * wording.LONGEST
    assert all(text.isprintable() for text in texts(told))


def test_a_jobs_own_words_are_cleaned_too() -> None:
    app = make_app(run="Batch")
    api = FakeApi()
    settle(app, api)
    api.end_job("sim-master", "Failed", f"gave{STEERS}" * 5000, "Failed", NOW)

    told = appstatus.summarize(api.observe(app), Size(), {}, NOW)

    assert all(len(text) <= wording.LONGEST and text.isprintable() for text in texts(told))

"""Batches and what runs of them, for the tests of decisions."""

from typing import Any

from clusterous_api.models import App
from clusterous_operator.decisions import ending
from clusterous_operator.decisions.counting import Size
from clusterous_operator.decisions.ending import Ended
from clusterous_operator.status import appstatus
from tests.unit.operator.making import NOW, FakeApi, make_app, settle

LATER = "2026-11-22T12:05:00Z"
SEARCH = [{"name": "search"}]
POLICY = {"maxRestarts": 1, "rules": [{"action": "RestartGroup", "exitCodes": [3]}]}


def batch(**more: Any) -> App:
    return make_app(**({"run": "Batch", "master": {}} | more))


def of_two(operator: str, **more: Any) -> App:
    success = {"operator": operator, "components": ["master", "search"]}
    return batch(components=SEARCH, batch={"successPolicy": success, **more})


def running(app: App) -> FakeApi:
    api = FakeApi()
    settle(app, api)
    api.run()
    return api


def ended(app: App, api: FakeApi) -> Ended | None:
    return ending.ended(api.observe(app))


def tell(app: App, api: FakeApi) -> None:
    """Write the status."""
    api.told = appstatus.summarize(api.observe(app), Size(), api.told, NOW)

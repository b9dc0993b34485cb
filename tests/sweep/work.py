"""What one process of many does: it opens an account, and tells stories in it."""

import multiprocessing.util
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.region.aws.log import Call
from tests.sweep import account
from tests.sweep.account import Account, Outcome
from tests.sweep.points import Point
from tests.sweep.stories import STORIES

BY_NAME: Final = {story.name: story for story in STORIES}
_opened: list[Account] = []


def prepare() -> None:
    """Open this process's account; it is closed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="clusterous-sweep-"))
    stack = ExitStack()
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    _opened.append(stack.enter_context(account.opened(folder)))
    multiprocessing.util.Finalize(None, stack.close, exitpriority=10)


def undisturbed(name: str) -> tuple[str, list[Call]]:
    """Tell a story in good weather."""
    return name, _opened[0].undisturbed(BY_NAME[name])


def disturbed(point: Point) -> Outcome:
    """Tell a story with a fault in it."""
    return _opened[0].disturbed(BY_NAME[point.story], point)

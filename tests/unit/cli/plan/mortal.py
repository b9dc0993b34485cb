"""A process that dies after so many calls, and the bucket that it wrote to until then."""

import copy
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusterous_cli.system import wait


class Killed(BaseException):
    """The process dies here."""


@dataclass(kw_only=True)
class Bucket:
    """The objects of a cluster's bucket; whoever uses it dies after *calls*."""

    calls: int = 99
    region: str = "eu-west-1"
    objects: dict[str, bytes] = field(default_factory=dict)

    def call(self, service: str, action: str, **params: Any) -> Any:
        self.calls -= 1
        if self.calls < 0:
            raise Killed
        match action:
            case "put_object":
                self.objects[params["Key"]] = params["Body"]
            case "delete_object":
                self.objects.pop(params["Key"], None)

    def find(self, service: str, action: str, **params: Any) -> Any | None:
        body = self.objects.get(params["Key"])
        return None if body is None else {"Body": io.BytesIO(body)}

    def attempt(self, service: str, action: str, *codes: str, **params: Any) -> Any | None:
        raise AssertionError(action)

    def upload(self, path: Path, *, bucket: str, key: str, owner: str) -> None:
        raise AssertionError(key)


class Hasty(wait.Pauses):
    """Who does not wait, but looks again at once."""

    def sleep(self, seconds: float) -> None:
        """Go on."""


@dataclass(kw_only=True)
class Late:
    """What changed is shown for *looks* more as it was before."""

    looks: int = 0
    _left: int = 0
    _before: Any = None

    def changes(self, what: Any) -> None:
        if self._left == 0:
            self._before, self._left = copy.deepcopy(what), self.looks

    def shown(self, what: Any) -> Any:
        if self._left == 0:
            return what
        self._left -= 1
        return self._before

"""A process that dies after so many calls, and the bucket that it wrote to until then."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


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

"""What a kind has at hand to look, make and remove: AWS as an argument, and whose cluster it is."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from clusterous_api.errors import FailedError
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import as_items
from clusterous_cli.system import wait

GONE_SECONDS: Final = 600
# So many tokens are tried for a thing whose earlier ones AWS remembers, and is not there any more.
TOKENS: Final = 10
# What was just made may not be seen everywhere; after so many looks it was made long ago and died.
LOOKS: Final = 5


class Cloud(Protocol):
    """AWS, as kinds ask it; errors come translated."""

    @property
    def region(self) -> str:
        """The region."""

    def call(self, service: str, action: str, **params: Any) -> Any:
        """Call AWS and return its answer."""

    def find(self, service: str, action: str, **params: Any) -> Any | None:
        """Call AWS; None when what the call names does not exist."""

    def attempt(self, service: str, action: str, *codes: str, **params: Any) -> Any | None:
        """Call AWS; None when it answers with one of the error *codes*."""

    def pages(self, service: str, action: str, key: str, **params: Any) -> list[Any]:
        """Return all items under *key* of all pages."""

    def upload(self, path: Path, *, bucket: str, key: str, owner: str) -> None:
        """Put a file of any size into a bucket."""


# Gives the content of an object: bytes, or the path of a large file.
Supply = Callable[[str], bytes | Path]


def nothing(key: str) -> bytes:
    """Supply nothing: for who only removes."""
    raise AssertionError(f"{key} is not to be supplied")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where things are made and removed."""

    cloud: Cloud
    who: Identity
    pauses: wait.Pauses
    supply: Supply = nothing
    more: Mapping[str, str] = field(default_factory=dict)  # tags that the person wants
    say: Callable[[str, str], None] = lambda part, words: None  # what a part waits for
    kept: dict[str, int] = field(default_factory=dict)

    def ec2(self, action: str, **params: Any) -> Any:
        """Call EC2."""
        return self.cloud.call("ec2", action, **params)

    def iam(self, action: str, **params: Any) -> Any:
        """Call IAM."""
        return self.cloud.call("iam", action, **params)

    def s3(self, action: str, **params: Any) -> Any:
        """Call S3 on the cluster's bucket, which must be ours."""
        owner = {"Bucket": self.who.bucket, "ExpectedBucketOwner": self.who.account}
        return self.cloud.call("s3", action, **owner, **params)

    def tags(self, key: str, **own: str) -> list[dict[str, str]]:
        """Return the tags of the resource *key*, with further ones of our *own*."""
        return as_items({**self.more, **self.who.tags(key), **own})

    def tagged(self, type: str, key: str) -> list[dict[str, Any]]:
        """Return the tags of the resource *key* for the very call that makes it."""
        return [{"ResourceType": type, "Tags": self.tags(key)}]

    def token(self, *parts: Any) -> str:
        """Derive a client token: a call that is repeated with the same parts has no new effect."""
        whole = "/".join(str(part) for part in (self.who.uid, *parts))
        return hashlib.sha256(whole.encode()).hexdigest()[:60]

    def once(self, key: str, find: Callable[[], int]) -> int:
        """Return what *find* said first: a step that is tried again asks with the same token."""
        if key not in self.kept:
            self.kept[key] = find()
        return self.kept[key]

    def alive(self, make: Callable[[str], str], state: Callable[[str], str | None]) -> str:
        """Make a thing by a token, and return its id.

        A token that was used before is answered with the thing that it made then, also when that
        is gone: its *state*, once AWS knows it, is None. Then the next token is another.
        """
        for number in range(TOKENS):
            id = make(f"/{number}" if number else "")
            for _ in range(LOOKS):
                if state(id) is not None:
                    return id
                self.pauses.sleep(1.0)
        raise FailedError("AWS answers again and again with what was removed before.")

    def gone(self, state: Callable[[], str | None], what: str) -> None:
        """Wait until *state* answers None."""
        wait.until(
            lambda: True if state() is None else None, what, self.pauses, timeout=GONE_SECONDS
        )

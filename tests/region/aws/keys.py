"""Who may call: access keys, the identities behind them, and temporary keys with their tokens."""

from __future__ import annotations

import base64
import secrets
import string
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_UPPER: Final = string.ascii_uppercase + "234567"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    access_key_id: str
    secret_access_key: str
    token: str | None = None
    expiration: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A caller: the account's user, or a role's session (named by the instance)."""

    account: str
    user: str | None = None
    role: str | None = None
    session: str | None = None
    user_id: str = ""

    @property
    def arn(self) -> str:
        if self.role:
            return f"arn:aws:sts::{self.account}:assumed-role/{self.role}/{self.session}"
        return f"arn:aws:iam::{self.account}:user/{self.user}"

    @property
    def principal(self) -> str:
        """Return what policies call it: a role itself, whatever its session."""
        return f"arn:aws:iam::{self.account}:role/{self.role}" if self.role else self.arn

    @property
    def label(self) -> str:
        return f"{self.role}/{self.session}" if self.role else str(self.user)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    credentials: Credentials
    identity: Identity

    def is_expired(self, now: float) -> bool:
        expiration = self.credentials.expiration
        return expiration is not None and expiration.timestamp() <= now


class Keys:
    """The keys that the region knows. Keys are issued, never removed before `clear`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[str, Key] = {}

    def find(self, access_key_id: str) -> Key | None:
        return self._keys.get(access_key_id)

    def issue(self, identity: Identity) -> Credentials:
        """Issue a long-lived key, as `aws iam create-access-key` does."""
        return self._add(
            Credentials(access_key_id=_key_id("AKIA"), secret_access_key=_secret()), identity
        )

    def issue_temporary(self, identity: Identity, until: float) -> Credentials:
        credentials = Credentials(
            access_key_id=_key_id("ASIA"),
            secret_access_key=_secret(),
            token=base64.b64encode(secrets.token_bytes(300)).decode(),
            expiration=datetime.fromtimestamp(int(until), UTC),
        )
        return self._add(credentials, identity)

    def _add(self, credentials: Credentials, identity: Identity) -> Credentials:
        with self._lock:
            key = Key(credentials=credentials, identity=identity)
            self._keys[credentials.access_key_id] = key
        return credentials


def _key_id(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_UPPER) for _ in range(16))


def _secret() -> str:
    return base64.b64encode(secrets.token_bytes(30)).decode()

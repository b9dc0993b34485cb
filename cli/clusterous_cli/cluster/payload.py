"""What machines boot from, as values: files for the bucket, and each role's user data."""

from dataclasses import dataclass, field
from typing import Final

from clusterous_api import names

ROLES: Final = (names.ROLE_GATEWAY, names.ROLE_CONTROLLER, names.ROLE_WORKER)
# Where things are in the bucket.
RECORD: Final = "record.json"
NODES: Final = "nodes/"
LOCK_KEY: Final = "lock.json"  # who changes the cluster just now
ADDONS: Final = "server/addons"  # the table that the controller follows
VOLUME: Final = "server/volume"  # what the controller is told of the shared volume
HOMES: Final = "server/pools"  # and which node is of which pool
STATE: Final = "server/state"  # and of the one that its own state lies on
BEGUN: Final = "server/begun"  # put by the first controller that was ready: there is a datastore
SNAPSHOTS: Final = "snapshots/"  # of the datastore; the controller writes there, and reads nothing
PRIVATE: Final = "private/"  # which no machine may read
SECRETS_KEY: Final = f"{PRIVATE}secrets.json"
AUDIT: Final = f"{PRIVATE}audit/"  # a journal of each turn that changed something
# Where the controller's own programs are.
LIB: Final = "/usr/local/lib/clusterous"
SNAPSHOT_SCRIPT: Final = "snapshot.sh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A file for the bucket. *content* is None for what is fetched from a release when missing."""

    key: str
    sha256: str
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the machines of a pool boot from; everything else follows from the config."""

    pool: str
    role: str
    user_data: str = field(repr=False)

"""Central logging as a cluster file asks for it: how much is collected, and where it goes. Pure."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# Where its objects are.
NAMESPACE: Final = "clusterous-logging"
# Of a store that there is: how to log in there. Whoever has the store makes it.
SECRET: Final = "clusterous-logs-store"
# Machines of this pool are for a store of ours alone, where there is one.
POOL: Final = "logging"
URL: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")
LEVELS: Final = (1, 2)
DAYS: Final = (1, 3650)
SIZE: Final = (1, 16384)  # GiB


class Store(StrEnum):
    """Where records go."""

    EFK = "efk"  # Elasticsearch and Kibana on the cluster
    LIGHT = "light"  # VictoriaLogs on the cluster
    YOURS = "yours"  # an Elasticsearch that there is
    OPENSEARCH = "opensearch"  # an OpenSearch that there is

    @property
    def ours(self) -> bool:
        """Whether the cluster runs it."""
        return self in (Store.EFK, Store.LIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class CentralLogging:
    """What is collected (*level* 1: programs; 2: also the system), and where it is kept.

    *days* for which it is kept at least, *size* in GiB of the disk for it; *url* of a store that
    there is already.
    """

    level: int = 1
    store: Store = Store.EFK
    days: int = 7
    size: int = 20
    url: str | None = None

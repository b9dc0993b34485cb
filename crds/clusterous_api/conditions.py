"""What the conditions of an app's status are about."""

from enum import StrEnum


class Type(StrEnum):
    """What a condition is about."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    MASTER_READY = "MasterReady"
    WORKERS_READY = "WorkersReady"
    VOLUME_BOUND = "VolumeBound"
    SUSPENDED = "Suspended"
    COMPLETED = "Completed"

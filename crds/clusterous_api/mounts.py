"""How volumes over NFS are mounted: by nodes for pods, and by the controller for transfers."""

from typing import Final

# What programs write there must make nobody root on a machine: no set-id, no devices.
_PLAIN: Final = ("nosuid", "nodev")
NFS_OPTIONS: Final = ("nfsvers=4.1", "hard", *_PLAIN)
# As AWS recommends for EFS; noresvport lets a mount come back after the network was away.
# https://docs.aws.amazon.com/efs/latest/ug/mounting-fs-nfs-mount-settings.html
EFS_OPTIONS: Final = (
    "nfsvers=4.1",
    "rsize=1048576",
    "wsize=1048576",
    "hard",
    "timeo=600",
    "retrans=2",
    "noresvport",
    *_PLAIN,
)
# To look once, so that nothing waits for ever for a server that does not answer.
LOOK_OPTIONS: Final = ("nfsvers=4.1", "soft", "timeo=100", "noresvport", *_PLAIN)

"""Where images are kept, as the cluster file asks for it: in ECR, or in a bucket that is shared."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# Without dots: they break TLS.
BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
# What images of a registry on the cluster are called by, on every cluster, as the predecessor's
# were. No DNS knows it: nodes, builders and laptops are each told where it is.
NAME: Final = "registry"
PORT: Final = 5000
HOST: Final = f"{NAME}:{PORT}"
# Of the network of the services (10.43.0.0/16), from the part that Kubernetes gives to none itself:
# https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/
READ: Final = "10.43.0.50"
WRITE: Final = "10.43.0.51"
# What of a bucket is the registry's; and beside it who uses the bucket, and whose turn it is there.
PREFIX: Final = "registry/"
USERS: Final = "registry-clusters/"
TURNS: Final = "registry-turns/"


class RegistryType(StrEnum):
    """What keeps images."""

    ECR = "ecr"
    S3 = "s3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Where images are kept; a *bucket* is that of the account unless it is named."""

    type: RegistryType = RegistryType.ECR
    bucket: str | None = None

    @property
    def on_cluster(self) -> bool:
        """Whether the cluster itself runs it."""
        return self.type is RegistryType.S3

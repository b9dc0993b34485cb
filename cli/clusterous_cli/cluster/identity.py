"""Which cluster: its name, account and region, and every AWS name that follows from them.

The uid is computed, not drawn: a second `create`, a `destroy` on another laptop and a colleague's
`status` all find the same bucket and roles with no file to read first.
"""

from dataclasses import dataclass
from hashlib import sha256

from clusterous_api import names, partitions


def repositories(cluster: str) -> str:
    """Under our own name first: an account may have a folder `prod` or `backend` of its own."""
    return f"clusterous/{cluster}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One cluster in one account and region."""

    name: str
    account: str
    region: str

    @property
    def uid(self) -> str:
        """Tell this cluster from those of the same name elsewhere."""
        whole = f"{self.account}/{self.region}/{self.name}"
        return sha256(whole.encode()).hexdigest()[:10]

    @property
    def bucket(self) -> str:
        """Name the bucket that holds the record and the boot files."""
        return f"clusterous-{self.name}-{self.uid}"

    @property
    def image_bucket(self) -> str:
        """Name the bucket with the images of all clusters here that name no other."""
        return (
            f"clusterous-images-{sha256(f'{self.account}/{self.region}'.encode()).hexdigest()[:10]}"
        )

    @property
    def registry(self) -> str:
        """Name the host of the account's image registry."""
        return f"{self.account}.dkr.ecr.{self.region}.{self.dns_suffix}"

    @property
    def repositories(self) -> str:
        """Name the folder of the cluster's image repositories, in which nothing else is."""
        return repositories(self.name)

    @property
    def dns_suffix(self) -> str:
        """Name the partition's domain."""
        return partitions.of(self.region).domain

    @property
    def partition(self) -> str:
        """Name the partition in ARNs."""
        return partitions.of(self.region).name

    @property
    def reports(self) -> str:
        """Name the folder of the bucket in which each machine writes INSTANCE.json.

        It is spelled so that with the instance it is the machine's ARN: that is the only thing by
        which a policy can tell a machine from others of the same role.
        """
        return f"nodes/arn:{self.partition}:ec2:{self.region}:{self.account}:instance"

    def role(self, kind: str) -> str:
        """Name the IAM role (and its instance profile) of a kind of machine."""
        return f"clusterous-{self.name}-{self.uid}-{kind}"

    def tags(self, key: str) -> dict[str, str]:
        """Return the tags of the resource that the plan calls *key*."""
        return {
            names.TAG_CLUSTER: self.name,
            names.TAG_UID: self.uid,
            names.TAG_ROLE: key,
            "Name": f"{self.name}-{key}",
        }

"""A bucket of a person's own, for images that outlive clusters."""

from clusterous_api.errors import UserError
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster.file.registry import BUCKET
from clusterous_cli.plan.kinds import files


def check_name(name: str) -> str:
    """Return *name*, if a bucket can be called so (without dots: they break TLS)."""
    if not BUCKET.fullmatch(name):
        raise UserError(
            f"{name!r} is no bucket's name: 3 to 63 lower-case letters, digits and hyphens, the"
            " first and the last no hyphen."
        )
    return name


def ensure(cloud: Aws, name: str) -> bool:
    """Let the bucket *name* be there, closed to the public; whether it was made now.

    UserError: it is somebody else's, or may not be used.
    """
    owner = {"Bucket": name, "ExpectedBucketOwner": cloud.account}
    where = files.placed(cloud.region)
    try:
        if cloud.find("s3", "head_bucket", **owner) is not None:
            return False
        made = cloud.attempt("s3", "create_bucket", "BucketAlreadyExists", Bucket=name, **where)
    except errors.Denied as error:
        raise UserError(f"{_others(name)} ({error.call} is refused.)") from error
    if made is None:
        raise UserError(_others(name))
    blocked = files.BLOCKED
    cloud.call("s3", "put_public_access_block", PublicAccessBlockConfiguration=blocked, **owner)
    return True


def _others(name: str) -> str:
    return (
        f"The bucket {name} is somebody else's, or you may not use it: names of buckets are one for"
        " the whole world. Take another."
    )

"""The account's image registry (ECR): what it has, and repositories made when needed."""

from collections.abc import Mapping

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import as_items


def has_image(cloud: Aws, repository: str, tag: str) -> bool:
    """Whether the image was pushed before; its tag is the hash of its content."""
    try:
        answer = cloud.call(
            "ecr", "describe_images", repositoryName=repository, imageIds=[{"imageTag": tag}]
        )
    except errors.NotFound:
        return False
    return bool(answer.get("imageDetails"))


def ensure_repository(cloud: Aws, who: Identity, repository: str, more: Mapping[str, str]) -> None:
    """Make the repository, with the cluster's tags, by which `destroy` finds it, and *more*.

    One that is there without them is somebody else's, whatever it is called.
    """
    tags = {**more, **who.tags(f"image-{repository.rpartition('/')[2]}")}
    try:
        cloud.call(
            "ecr",
            "create_repository",
            repositoryName=repository,
            imageTagMutability="IMMUTABLE",
            tags=as_items(tags),
        )
    except errors.AlreadyExists:
        _check_ours(cloud, who, repository)


def _check_ours(cloud: Aws, who: Identity, repository: str) -> None:
    arn = f"arn:{who.partition}:ecr:{who.region}:{who.account}:repository/{repository}"
    listed = cloud.call("ecr", "list_tags_for_resource", resourceArn=arn).get("tags", ())
    if {tag["Key"]: tag["Value"] for tag in listed}.get(names.TAG_UID) != who.uid:
        raise UserError(
            f"The account has an image repository {repository} that was not made for {who.name};"
            " nothing was pushed. Call the image otherwise, or remove that repository."
        )

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


def newest(cloud: Aws, repository: str, tag: str) -> str | None:
    """What an earlier run left under *repository*: the tag to pull, *tag* itself if it is there,
    else that of what was pushed last; None where there is nothing."""
    try:
        found = list(
            cloud.pages("ecr", "describe_images", "imageDetails", repositoryName=repository)
        )
    except errors.NotFound:
        return None
    tagged = [one for one in found if one.get("imageTags")]
    if any(tag in one["imageTags"] for one in tagged):
        return tag
    last = max(tagged, key=lambda one: one["imagePushedAt"], default=None)
    return None if last is None else str(sorted(last["imageTags"])[0])


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

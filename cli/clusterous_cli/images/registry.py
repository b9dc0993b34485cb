"""The account's image registry (ECR): what it has, and repositories made when needed."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import as_items, is_kept_from
from clusterous_cli.images.context import taken
from clusterous_cli.system import shell

USER: Final = "AWS"
# A tag that says what an image was made of never stands for another; NAME:TAG, as people call it,
# may (docs/adr/0022-images-by-content.md).
MUTABILITY: Final = "MUTABLE_WITH_EXCLUSION"
FIXED: Final = ({"filterType": "WILDCARD", "filter": f"{taken.PREFIX}*"},)
# ECR does not know what is in use: only what nothing can name goes by itself.
UNTAGGED_DAYS: Final = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An image of a repository: its digest, and all tags that stand for it."""

    digest: str
    tags: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return the tag that stands for nothing else, if it has one."""
        ours = (tag for tag in self.tags if tag.startswith(taken.PREFIX))
        return next(ours, self.tags[0])


def find(cloud: Aws, repository: str, tag: str) -> Known | None:
    """Return what *tag* stands for; None if there is no such image."""
    try:
        answer = cloud.call(
            "ecr", "describe_images", repositoryName=repository, imageIds=[{"imageTag": tag}]
        )
    except errors.NotFound:
        return None
    found = answer.get("imageDetails") or ()
    return next((known(one) for one in found), None)


def known(detail: Mapping[str, Any]) -> Known:
    """Read an image as ECR describes it."""
    return Known(digest=detail["imageDigest"], tags=tuple(detail.get("imageTags") or ()))


def password(region: str, profile: str | None) -> str:
    """Fetch a password that is good for the next 12 hours."""
    return shell.run(password_argv(region, profile), timeout=60).strip()


def password_argv(region: str, profile: str | None) -> list[str]:
    who = ["--profile", profile] if profile else []
    return ["aws", "ecr", "get-login-password", "--region", region, *who]


def newest(cloud: Aws, repository: str, tag: str) -> Known | None:
    """Return what an earlier run left under *repository*: what *tag* stands for, else what was
    pushed last; None where there is nothing."""
    try:
        found = cloud.pages("ecr", "describe_images", "imageDetails", repositoryName=repository)
        tagged = [one for one in found if one.get("imageTags")]
    except errors.NotFound:
        return None
    named = [one for one in tagged if tag in one["imageTags"]]
    last = max(named or tagged, key=lambda one: one["imagePushedAt"], default=None)
    return None if last is None else known(last)


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
            imageTagMutability=MUTABILITY,
            imageTagMutabilityExclusionFilters=list(FIXED),
            tags=as_items(tags),
        )
    except errors.AlreadyExists:
        _check_ours(cloud, who, repository, tags)
        if not _is_right(cloud, repository):
            _set_right(cloud, repository)
    else:
        _expire(cloud, repository)


def _check_ours(cloud: Aws, who: Identity, repository: str, ours: Mapping[str, str]) -> None:
    arn = f"arn:{who.partition}:ecr:{who.region}:{who.account}:repository/{repository}"
    listed = cloud.call("ecr", "list_tags_for_resource", resourceArn=arn).get("tags", ())
    tags = {tag["Key"]: tag["Value"] for tag in listed}
    if is_kept_from(tags, who):  # by a cluster of the same name, of before
        cloud.call("ecr", "tag_resource", resourceArn=arn, tags=as_items(ours))
        cloud.call("ecr", "untag_resource", resourceArn=arn, tagKeys=[names.TAG_KEPT])
    elif tags.get(names.TAG_UID) != who.uid:
        raise UserError(
            f"The account has an image repository {repository} that was not made for {who.name};"
            " nothing was pushed. Call the image otherwise, or remove that repository."
        )


def _is_right(cloud: Aws, repository: str) -> bool:
    described = cloud.call("ecr", "describe_repositories", repositoryNames=[repository])
    (found,) = described["repositories"]
    filters = found.get("imageTagMutabilityExclusionFilters") or ()
    return found["imageTagMutability"] == MUTABILITY and tuple(filters) == FIXED


def _set_right(cloud: Aws, repository: str) -> None:
    """Let tags move in a repository from before any could: one of ours has no other setting."""
    cloud.call(
        "ecr",
        "put_image_tag_mutability",
        repositoryName=repository,
        imageTagMutability=MUTABILITY,
        imageTagMutabilityExclusionFilters=list(FIXED),
    )
    _expire(cloud, repository)


def _expire(cloud: Aws, repository: str) -> None:
    """Let what nothing can name go; who may not say so pays a little for it, and that is all."""
    text = json.dumps({"rules": rules()})
    with suppress(errors.Denied):
        cloud.call(
            "ecr", "put_lifecycle_policy", repositoryName=repository, lifecyclePolicyText=text
        )


def rules() -> list[dict[str, Any]]:
    """Return what ECR may remove by itself: what has no tag, and caches of builds."""
    chosen: tuple[Mapping[str, Any], ...] = (
        {"tagStatus": "untagged"},
        {"tagStatus": "tagged", "tagPrefixList": [taken.CACHE]},
    )
    age = {"countType": "sinceImagePushed", "countUnit": "days", "countNumber": UNTAGGED_DAYS}
    return [
        {
            "rulePriority": number,
            "description": "clusterous: no image that a program may use",
            "selection": {**which, **age},
            "action": {"type": "expire"},
        }
        for number, which in enumerate(chosen, 1)
    ]

"""The repositories of images that `run` made: never wanted by create, but found by destroy."""

from typing import Any, Final

from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import belongs_to, is_ours, tags_of
from clusterous_cli.plan.kinds.cloud import Cloud, Site
from clusterous_cli.plan.kinds.kind import Found, Kind, Left, Scope


def _near(cloud: Cloud, who: Identity) -> list[tuple[str, dict[str, Any]]]:
    """List the repositories under the cluster's name, with their tags."""
    listed = cloud.pages("ecr", "describe_repositories", "repositories")
    mine = [one for one in listed if one["repositoryName"].startswith(who.repositories)]
    return [(one["repositoryName"], _tags(cloud, one["repositoryArn"])) for one in mine]


def _tags(cloud: Cloud, arn: str) -> dict[str, Any]:
    answer = cloud.call("ecr", "list_tags_for_resource", resourceArn=arn)
    return {"Tags": answer.get("tags", ())}


def ours(cloud: Cloud, who: Identity) -> list[str]:
    """List the repositories that were made for a cluster; others may be called like them."""
    return [name for name, tags in _near(cloud, who) if is_ours(tags, who)]


def _look(at: Scope) -> list[Found]:
    return [Found(kind=REPOSITORY, key=name, id=name) for name in ours(at.cloud, at.who)]


def _remove(to: Site, found: Found) -> None:
    to.cloud.call("ecr", "delete_repository", repositoryName=found.id, force=True)


def _walk(cloud: Cloud, who: Identity) -> list[Left]:
    return [
        Left(kind=REPOSITORY.noun, id=name, ours=True, hourly=None)
        for name, tags in _near(cloud, who)
        if belongs_to(tags_of(tags), who)
    ]


REPOSITORY: Final = Kind(
    name="image-repository",
    part="files",
    noun="image repository",
    deep=_look,
    remove=_remove,
    walked=_walk,
)

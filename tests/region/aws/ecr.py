"""ECR: repositories in moto, tokens of our own, images as the registry reports them."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from tests.region.aws import authorization, store
from tests.region.aws.keys import Identity
from tests.region.aws.policies import Access
from tests.region.aws.request import Answer, Request, document
from tests.region.aws.service import Service, ask_moto, json_answer
from tests.region.aws.world import World

_TOKEN_SECONDS: Final = 12 * 3600


def _read(request: Request) -> None:
    request.action = request.headers.get("x-amz-target", "").rpartition(".")[2]
    request.params = document(request)
    request.resource = request.params.get("repositoryName")


def _needs(world: World, request: Request) -> Sequence[Access]:
    action = f"ecr:{request.action}"
    if request.action in ("GetAuthorizationToken", "DescribeRegistry"):
        return (Access(action=action),)
    names = request.params.get("repositoryNames") or [request.params.get("repositoryName", "*")]
    context: dict[str, Any] = {
        f"aws:requesttag/{tag['Key'].lower()}": tag["Value"]
        for tag in request.params.get("tags", [])
    }
    needs = [
        Access(action=action, resource=_arn(world, request.region, name), context=context)
        for name in names
    ]
    if context and request.action == "CreateRepository":
        resource = _arn(world, request.region, names[0])
        needs.append(Access(action="ecr:TagResource", resource=resource, context=context))
    return needs


def _arn(world: World, region: str, name: str) -> str:
    return f"arn:aws:ecr:{region}:{world.settings.account}:repository/{name}"


def _act(world: World, request: Request) -> Answer:
    if request.action == "GetAuthorizationToken":
        return _authorization_token(world, request)
    with world.lock:
        world.timers.run_due()
        before = _images(request) if request.action in _DELETING else set()
        answer = ask_moto(world, request)
        after = _images(request) if request.action in _DELETING else set()
    for digest, tag in sorted(before - after):
        world.ecr_image_deleted(request.params["repositoryName"], digest, tag or None)
    return answer


_DELETING: Final = ("DeleteRepository", "BatchDeleteImage")


def _images(request: Request) -> set[tuple[str, str]]:
    """Return (digest, tag) of all images in the request's repository; a bare digest has no tag."""
    repository = store.ecr(request.region).repositories.get(request.params.get("repositoryName"))
    if repository is None:
        return set()
    found = {(image.get_image_digest(), "") for image in repository.images}
    return found | {(i.get_image_digest(), tag) for i in repository.images for tag in i.image_tags}


# --- tokens -----------------------------------------------------------------------------------


def _authorization_token(world: World, request: Request) -> Answer:
    assert request.identity is not None
    account = world.settings.account
    until = world.clock() + _TOKEN_SECONDS
    password = base64.b64encode(
        json.dumps(
            {
                "payload": secrets.token_urlsafe(600),
                "version": "2",
                "type": "DATA_KEY",
                "expiration": int(until),
            }
        ).encode()
    ).decode()
    world.ecr_tokens[password] = (request.identity, until)
    entry = {
        "authorizationToken": base64.b64encode(f"AWS:{password}".encode()).decode(),
        "expiresAt": round(until, 3),
        "proxyEndpoint": f"https://{account}.dkr.ecr.{request.region}.amazonaws.com",
    }
    return json_answer({"authorizationData": [entry]})


def caller(world: World, token: str) -> Identity | None:
    """Return who was given *token*, a password or the base64 of `AWS:password`, if it is good."""
    identity, until = world.ecr_tokens.get(_password(token), (None, 0.0))
    return identity if world.clock() < until else None


def _password(token: str) -> str:
    try:
        text = base64.b64decode(token, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return token
    return text.removeprefix("AWS:") if text.startswith("AWS:") else token


def allowed(world: World, token: str, action: str, repository: str) -> bool:
    identity = caller(world, token)
    resource = _arn(world, world.settings.region, repository)
    return identity is not None and authorization.allowed(
        world, identity, Access(action=f"ecr:{action}", resource=resource)
    )


# --- the registry's side ----------------------------------------------------------------------


def exists(world: World, name: str) -> bool:
    with world.lock:
        return name in store.ecr().repositories


def fixed_digest(world: World, repository: str, tag: str) -> str | None:
    """Return what *tag* stands for if it may stand for nothing else: where tags are immutable."""
    with world.lock:
        found = store.ecr().repositories[repository]
        if not _is_fixed(found, tag):
            return None
        held = (i.get_image_digest() for i in found.images if tag in i.image_tags)
        return next(held, None)


def _is_fixed(repository: Any, tag: str) -> bool:
    """Whether a tag of *repository* stays: filters name those for which its setting is reversed."""
    filters = repository.image_tag_mutability_exclusion_filters or ()
    excluded = any(fnmatchcase(tag, one["filter"]) for one in filters)
    return bool(repository.image_tag_mutability.startswith("IMMUTABLE") is not excluded)


def put_image(
    world: World, repository: str, tag: str | None, digest: str, manifest: bytes, media_type: str
) -> None:
    """Note what was pushed, so that DescribeImages and BatchGetImage show it. Repeatable."""
    with world.lock:
        backend = store.ecr()
        images = backend.repositories[repository].images
        for image in images:
            if tag in image.image_tags and image.get_image_digest() != digest:
                _untag(images, image, tag)
        same = next((i for i in images if i.get_image_digest() == digest), None)
        if same is None:
            backend.put_image(repository, manifest.decode(), tag, media_type, digest)
        elif tag and tag not in same.image_tags:
            same.update_tag(tag)
    world.changes.bump()


def _untag(images: list[Any], image: Any, tag: str | None) -> None:
    """A tag moves: the image that had it stays, untagged, as in ECR."""
    image.image_tags.remove(tag)
    image.image_tag = image.image_tags[0] if image.image_tags else None


SERVICE: Final = Service(read=_read, needs=_needs, act=_act)

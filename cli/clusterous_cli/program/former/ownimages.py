"""The person's own images: which are built here, on what, and which an earlier run left."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from clusterous_api.errors import UserError
from clusterous_cli.images import contexts
from clusterous_cli.images.assembly import references
from clusterous_cli.images.context import bases
from clusterous_cli.images.contexts import Build
from clusterous_cli.images.stock import places
from clusterous_cli.program import envfile
from clusterous_cli.program.program import Program
from clusterous_cli.reach.session import Session


def earlier(program: Program) -> tuple[str, ...]:
    """Return the images of the person's own that must be in the registry already.

    Of the list, each may build on those before it.
    """
    environment = program.environment
    if environment is None:
        return ()
    below = [
        base
        for number, item in enumerate(environment.images)
        for base in bases.of(program.builds[number].folder)
        if envfile.built_by(base, environment.images[:number]) is None
    ]
    named = [
        one.image
        for one in environment.components
        if one.image.startswith(bases.REGISTRY)
        and envfile.built_by(one.image, environment.images) is None
    ]
    return tuple(dict.fromkeys([*below, *named]))


def settled(program: Program, place: str, found: Mapping[str, str | None]) -> Program:
    """Return *program*, knowing what its images build on; *found* has those of `earlier`.

    They are named by a tag and by a digest: builders want the one, programs the other.
    One that nobody built (None) is an error.
    """
    if missing := [image for image, reference in found.items() if reference is None]:
        raise UserError(
            f"{', '.join(missing)}: nothing under environment.image builds it, and the registry has"
            " none from an earlier run. Nothing was started."
        )
    known = {image: reference for image, reference in found.items() if reference is not None}
    digests = {image: bases.by_digest(reference) for image, reference in known.items()}
    if program.environment is None:
        return program
    builds: list[Build] = []
    for build in program.builds:
        under = {}
        for base in bases.of(build.folder):
            item = next((one for one in builds if _is_called(one, base)), None)
            named = contexts.reference(place, item) if item else known[base]
            under[base] = bases.by_tag(named)
        builds.append(contexts.plan_build(build.title, build.folder, under) if under else build)
    return replace(program, builds=tuple(builds), earlier=tuple(digests.items()))


def _is_called(build: Build, image: str) -> bool:
    return envfile.tagged(build.title) == envfile.tagged(image.removeprefix(bases.REGISTRY))


def looked_up(program: Program, session: Session, tell: Callable[[str], None]) -> Program:
    """Return *program* as `settled` does, having asked the cluster's registry."""
    cluster = session.cluster
    kept = places.of_session(session, None)
    found: dict[str, str | None] = {}
    for image in earlier(program):
        name, _, tag = envfile.tagged(image.removeprefix(bases.REGISTRY)).partition(":")
        repository = f"{cluster.images}{name}"
        is_legal = references.own(f"{name}:{tag}")
        there = kept.newest(repository, tag) if is_legal else None
        where = f"{cluster.registry}/{repository}"
        found[image] = f"{where}:{there.name}@{there.digest}" if there else None
        if there and tag not in there.tags:
            tell(f"! {image} is not in the file: it is {there.name}, built last of {name}")
    return settled(program, cluster.place, found)

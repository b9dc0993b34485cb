"""What a file for `run` says: read, checked and completed here, before anything is created.

Two kinds of files are taken: manifests with one ClusterousApp, and environment files of the
predecessor. Both become a Program, and a Program becomes manifests.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from clusterous_api import models, names
from clusterous_api.errors import UserError
from clusterous_cli.data import transfer
from clusterous_cli.images import contexts
from clusterous_cli.images.context import ignore
from clusterous_cli.images.contexts import Build
from clusterous_cli.program import convert, envfile
from clusterous_cli.program.envfile import Environment
from clusterous_cli.program.former import absent
from clusterous_cli.program.former.variables import Values
from clusterous_cli.system import private, yamltree

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A file for `run`: either *environment* or *documents*; paths are relative to *folder*.

    *earlier* has the images of the person's own that nothing here builds, each with what stands
    for it in the registry.
    """

    folder: Path
    builds: tuple[Build, ...] = ()
    environment: Environment | None = None
    documents: tuple[Manifest, ...] = ()
    earlier: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        if self.environment is not None:
            return convert.dns_label(self.environment.name)
        return str(self.app["metadata"]["name"])

    @property
    def namespace(self) -> str:
        if self.environment is not None:
            return "default"
        return str(self.app["metadata"].get("namespace", "default"))

    @property
    def app(self) -> Manifest:
        return next(d for d in self.documents if d["kind"] == names.KIND)

    @property
    def copy(self) -> tuple[str, ...]:
        return self.environment.copy if self.environment else ()

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.environment.warnings if self.environment else ()


Permit = Callable[[Sequence[Path]], None]


def refuse(outside: Sequence[Path]) -> None:
    """Refuse a file that takes what is not its own."""
    raise UserError(f"{outside_words(outside)}\nNothing was started; --outside allows it.")


def outside_words(outside: Sequence[Path]) -> str:
    """Say what a file takes, and what that means."""
    listed = "\n".join(f"    {path}" for path in outside)
    return (
        "The file takes what lies outside of its own folder, or in hidden folders of your home:\n"
        f"{listed}\n"
        "  Its programs could read all of that, and send it anywhere."
    )


def read(
    path: Path, permit: Permit = refuse, *, values: Values | None = None, name: str | None = None
) -> Program:
    """The program in the file *path*; what is wrong with it, or missing beside it, is told.

    Whoever wrote the file chooses what its programs get. What is outside of the file's folder, by
    its path or by a link, is taken only if *permit* does not raise. *values* are for the variables
    of an environment file; a *name* goes before the file's own.
    """
    text = _text(path)
    documents = yamltree.load_all(text, str(path))
    if any(isinstance(d, dict) and ("apiVersion" in d or "kind" in d) for d in documents):
        if values:
            raise UserError(f"{path} is a {names.KIND}, which has no variables to give values for.")
        return _named(_from_manifests(documents, path, permit), name)
    environment = envfile.parse(text, str(path), values)
    return _named(_from_environment(environment, path.parent, permit), name)


def _named(program: Program, name: str | None) -> Program:
    """Give the program another name."""
    if name is None:
        return program
    if not re.fullmatch(envfile.NAME, name):
        raise UserError(f"--name {name!r}: only letters, digits, _ and - are allowed.")
    if program.environment is not None:
        return replace(program, environment=replace(program.environment, name=name))
    metadata = {**program.app["metadata"], "name": convert.dns_label(name)}
    documents = [{**d, "metadata": metadata} if d is program.app else d for d in program.documents]
    return replace(program, documents=tuple(documents))


def _check_inside(folder: Path, taken: Sequence[Path], permit: Permit) -> None:
    """Ask *permit* about what really lies outside of *folder*; a build's recipe counts, too.

    So does what is the person's own beside a file that lies in their home: settings and keys.
    """
    top, home = folder.resolve(), _home()
    recipes = [one / name for one in taken for name in (*ignore.RECIPES, *ignore.FILES)]
    real = [one.resolve() for one in (*taken, *recipes) if one.exists()]
    outside = [
        one
        for one in dict.fromkeys(real)
        if not one.is_relative_to(top) or (home is not None and _is_personal(one, top, home))
    ]
    if outside:
        permit([one for one in outside if not any(up in outside for up in one.parents)])


def _home() -> Path | None:
    try:
        return private.user_folder().resolve()
    except UserError:
        return None


def _is_personal(path: Path, top: Path, home: Path) -> bool:
    """Whether *path* is the *home* as a whole, or in a hidden part of it that *top* is not in."""
    if home.is_relative_to(path):
        return True
    if not path.is_relative_to(home):
        return False
    first = path.relative_to(home).parts[0]
    is_hidden = first.startswith(".") or first in NOT_SHOWN
    return is_hidden and not top.is_relative_to(home / first)


# Where programs of macOS and Ubuntu keep settings and keys, without a dot before it.
NOT_SHOWN: Final = frozenset({"Library", "snap"})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder; name the file in it.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _from_environment(environment: Environment, folder: Path, permit: Permit) -> Program:
    transfer.check_copy(folder, environment.copy)
    taken = [*environment.copy, *(item.folder for item in environment.images)]
    _check_inside(folder, [folder / one for one in taken], permit)
    builds = tuple(contexts.plan_build(one.name, folder / one.folder) for one in environment.images)
    lacks = absent.told(environment, [folder / one for one in environment.copy])
    environment = replace(environment, warnings=(*environment.warnings, *lacks))
    return Program(folder=folder, builds=builds, environment=environment)


def _from_manifests(documents: list[object], path: Path, permit: Permit) -> Program:
    manifests = [_manifest(document, path) for document in documents]
    apps = [m for m in manifests if m["kind"] == names.KIND]
    if len(apps) != 1:
        raise UserError(f"{path} has {len(apps) or 'no'} {names.KIND}; it must have one.")
    try:
        models.parse(apps[0])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: the {names.KIND} has something wrong: {error!r}.") from error
    folders = {n: path.parent / one for n, one in contexts.manifest_builds(apps[0]).items()}
    _check_inside(path.parent, list(folders.values()), permit)
    builds = tuple(contexts.plan_build(name, folder) for name, folder in folders.items())
    return Program(folder=path.parent, builds=builds, documents=tuple(manifests))


def _manifest(document: object, path: Path) -> Manifest:
    """A document with what every Kubernetes object has."""
    if not isinstance(document, dict):
        raise UserError(f"{path} has a document that is no mapping.")
    metadata = document.get("metadata")
    for key in ("apiVersion", "kind"):
        if not isinstance(document.get(key), str):
            raise UserError(f"{path} has a document without {key}.")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise UserError(f"{path}: a {document['kind']} has no metadata.name (as text).")
    if not isinstance(metadata.get("namespace", ""), str):
        raise UserError(f"{path}: metadata.namespace of a {document['kind']} must be text.")
    if not isinstance(metadata.get("annotations") or {}, dict):
        raise UserError(f"{path}: metadata.annotations of a {document['kind']} must be a mapping.")
    return document


def references(program: Program, place: str, digests: Mapping[str, str]) -> dict[str, str]:
    """Image as the file writes it → reference at *place*, for all that are built.

    *digests*, by titles, are those of the images that are there.
    """
    built = {b.title: contexts.reference(place, b, digests.get(b.title)) for b in program.builds}
    environment = program.environment
    if environment is None:
        return built
    named = {c.image: envfile.built_by(c.image, environment.images) for c in environment.components}
    return {
        **dict(program.earlier),
        **{image: built[item.name] for image, item in named.items() if item},
    }


def manifests(
    program: Program, machines: Mapping[str, convert.Machine], known: Mapping[str, str]
) -> tuple[list[Manifest], tuple[str, ...]]:
    """What to apply, the app last, and notes for the person; *known* are the built images."""
    if program.environment is not None:
        conversion = convert.convert(program.environment, machines, known)
        return [conversion.manifest], conversion.notes
    app = program.app
    finished = {**app, "spec": contexts.with_images(app["spec"], known)}
    others = [d for d in program.documents if d is not app]
    return [*others, finished], ()


def is_same(program: Program, running: Mapping[str, Any] | None, known: Mapping[str, str]) -> bool:
    """Whether the environment that runs was made of the very same file and images."""
    if program.environment is None or running is None:
        return False
    annotations = running["metadata"].get("annotations") or {}
    before = annotations.get(convert.ANNOTATION_SOURCE)
    return bool(before == convert.fingerprint(program.environment, known))


def check_name(program: Program, running: Mapping[str, Any] | None) -> None:
    """Refuse to change what another environment started whose name becomes the same label."""
    if program.environment is None or running is None:
        return
    before = (running["metadata"].get("annotations") or {}).get(convert.ANNOTATION_NAME)
    if before not in (None, program.environment.name):
        raise UserError(
            f"{program.name} runs already, and was started as {before}: on the cluster both names"
            f" are {program.name}. Give {program.environment.name} another name, or remove the"
            f" other first (clusterous kubectl delete capp {program.name})."
        )

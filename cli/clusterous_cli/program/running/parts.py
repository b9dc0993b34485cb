"""The components of what runs, by all the names that they have, and which of them is meant."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.reach.kube import Api, Object, apps_path

# What we call them, and not their authors.
_OURS: Final = (names.WORKERS,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A component of an app, by all the names that it has, and what its *spec* says of it."""

    namespace: str
    app: str
    title: str
    called: tuple[str, ...] = ()
    spec: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """How its author calls it."""
        return self.called[-1] if self.called else self.title


def parts(bodies: Iterable[Object]) -> list[Part]:
    """The components of all apps in *bodies*."""
    found = []
    for body in bodies:
        metadata, spec = body["metadata"], body.get("spec") or {}
        blocks = {title: spec[title] for title in (names.MASTER, names.WORKERS) if title in spec}
        blocks |= {one["name"]: one for one in spec.get("components") or ()}
        found += [
            Part(
                namespace=metadata.get("namespace", "default"),
                app=metadata["name"],
                title=title,
                called=(title, *(block.get("aliases") or ())),
                spec=block,
            )
            for title, block in blocks.items()
        ]
    return found


def listed(api: Api) -> list[Part]:
    """The components of all apps of the cluster."""
    return parts(api.items(apps_path()))


def of(there: Iterable[Part], app: str | None) -> list[Part]:
    """Those of *app* (None: of any), which may be named with its namespace."""
    return [one for one in there if app in (None, one.app, f"{one.namespace}/{one.app}")]


def meant(there: Iterable[Part], component: str, app: str | None = None) -> list[Part]:
    """Those that are called *component*: by a name of their own before one of ours."""
    found = [one for one in of(there, app) if component in one.called]
    own = [one for one in found if component in one.called[1:] or one.title not in _OURS]
    return own or found


def is_called(body: Object, app: str | None) -> bool:
    """Whether *app* names the app in *body*, with its namespace or without."""
    name, namespace = body["metadata"]["name"], body["metadata"].get("namespace", "default")
    return app in (name, f"{namespace}/{name}")


def one_of(
    there: Sequence[Part], component: str, app: str | None = None, *, verb: str = "shell"
) -> Part:
    """The one component of those *there* that is called *component*, in *app* or in any."""
    found = meant(there, component, app)
    if len(found) == 1:
        return found[0]
    if not found:
        known = ", ".join(dict.fromkeys(one.name for one in there)) or "none"
        where = f" of {app}" if app else ""
        raise UserError(f"There is no component {component}{where} (there are: {known}).")
    shown = ", ".join(f"clusterous {verb} {one.app} {component}" for one in found)
    raise UserError(f"Several programs have a component {component}: {shown}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """An app, and those of its components that are meant: all, or the one that was named."""

    body: Object
    parts: Sequence[Part]
    is_named: bool


def chosen(bodies: Sequence[Object], words: Sequence[str], verb: str) -> Chosen:
    """What [APP] [COMPONENT] mean among the apps in *bodies*.

    One word is an app where one is called so, else a component. Without a word it is the only app.
    """
    there = parts(bodies)
    word, component = (*words, None, None)[:2]
    if word is not None and not of(there, word) and not meant(there, word):
        from clusterous_cli.program.convert import dns_label  # not on the way of TAB

        word = dns_label(word)  # as its file has it
    if word is not None and component is None and not of(there, word):
        word, component = None, word
    if component is not None:
        part = one_of(there, component, word, verb=verb)
        (body,) = _called(bodies, f"{part.namespace}/{part.app}")
        return Chosen(body=body, parts=[part], is_named=True)
    found = list(bodies) if word is None else _called(bodies, word)
    if not found:
        raise UserError("There is no app on the cluster; `clusterous run FILE` starts one.")
    if len(found) > 1:
        shown = ", ".join(dict.fromkeys(f"{one.namespace}/{one.app}" for one in parts(found)))
        raise UserError(f"There are several apps: {shown}. Name one of them.")
    return Chosen(body=found[0], parts=parts(found), is_named=False)


def _called(bodies: Iterable[Object], app: str) -> list[Object]:
    return [one for one in bodies if is_called(one, app)]

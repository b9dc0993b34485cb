"""Every small fault that could be put into a module, as values. Pure.

mutmut says what may be wrong with an expression; what it does not know stands here: an entry of a
dict or list that is left out (a parameter of a call, a rule), a condition that says the contrary, a
filter or a step that is missing. Sentences for people are left alone.
"""

import ast
import difflib
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A module with one thing wrong; *removed* and *added* are the lines that differ."""

    id: str
    module: str
    scope: str
    operator: str
    line: int
    removed: str
    added: str
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """Where in a module something may be *wrong*, and in which way."""

    id: str
    scope: str
    operator: str
    line: int
    node: cst.CSTNode = field(repr=False)
    wrong: cst.CSTNode = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module and all that may be wrong in it."""

    path: str
    code: str = field(repr=False)
    tree: cst.Module = field(repr=False)
    places: tuple[Place, ...] = field(repr=False)

    def chosen(self, count: int, seed: int) -> list[Fault]:
        """Choose *count* faults, of each kind about as many.

        By what each is, not by its place in a list: a change elsewhere leaves the choice as it was.
        """
        many = Counter(one.operator for one in self.places)

        def turn(one: Place) -> float:
            digest = hashlib.sha256(f"{seed} {one.id}".encode()).digest()
            chance = (int.from_bytes(digest[:8], "big") + 1) / (2**64 + 1)
            return -math.log(chance) * many[one.operator]

        faults: list[Fault] = []
        codes = {_meaning(self.code)}
        for place in sorted(self.places, key=turn):
            code = _replaced(self.tree, place)
            if len(faults) < count and code is not None and _meaning(code) not in codes:
                codes.add(_meaning(code))
                faults.append(self._fault(place, code))
            if len(faults) == count:
                break
        return faults

    def _fault(self, place: Place, code: str) -> Fault:
        removed, added = difference(self.code, code)
        return Fault(
            id=place.id,
            module=self.path,
            scope=place.scope,
            operator=place.operator,
            line=place.line,
            removed=removed,
            added=added,
            code=code,
        )


def module(path: str, code: str) -> Module:
    """Find all that may be wrong in the *code* of a module."""
    wrapper = MetadataWrapper(cst.parse_module(code), unsafe_skip_copy=True)
    finder = _Finder()
    wrapper.visit(finder)
    seen: Counter[tuple[str, ...]] = Counter()
    places = []
    for scope, operator, line, node, wrong in finder.found:
        spelled = wrapper.module.code_for_node(node), wrapper.module.code_for_node(wrong)
        told = (path, scope, operator, *spelled)
        digest = hashlib.sha256("\0".join((*told, str(seen[told]))).encode())
        seen[told] += 1
        places.append(
            Place(
                id=digest.hexdigest()[:12],
                scope=scope,
                operator=operator,
                line=line,
                node=node,
                wrong=wrong,
            )
        )
    return Module(path=path, code=code, tree=wrapper.module, places=tuple(places))


def shares(sizes: dict[str, int], count: int) -> dict[str, int]:
    """Part *count* among modules by their sizes, to each at least a few."""
    least = min(4, count // len(sizes))
    left, whole = count - least * len(sizes), sum(sizes.values())
    exact = {name: left * size / whole for name, size in sizes.items()}
    parts = {name: least + int(share) for name, share in exact.items()}
    by_rest = sorted(exact, key=lambda name: exact[name] % 1, reverse=True)
    for name in by_rest[: count - sum(parts.values())]:
        parts[name] += 1
    return parts


def _meaning(code: str) -> str:
    return ast.dump(ast.parse(code))


def _replaced(tree: cst.Module, place: Place) -> str | None:
    """Return the code with the fault, unless that is no Python."""
    try:
        code = str(tree.deep_replace(place.node, place.wrong).code)
        compile(code, "fault", "exec")
    except (cst.CSTValidationError, SyntaxError, TypeError):
        return None
    return code


def difference(before: str, after: str) -> tuple[str, str]:
    """Return the lines that are only in the one, and only in the other."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0))[3:]
    removed = (line[1:].strip() for line in lines if line.startswith("-"))
    added = (line[1:].strip() for line in lines if line.startswith("+"))
    return "\n".join(removed), "\n".join(added)


# What is not code that runs, or is the shape of a value and no decision.
_PASSED_OVER: Final = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom, cst.Assert)
_Wrong = Callable[[Any], Iterable[cst.CSTNode]]


class _Finder(cst.CSTVisitor):  # type: ignore[misc]  # not there when types are checked
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, int, cst.CSTNode, cst.CSTNode]] = []
        self._scope: list[str] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, _PASSED_OVER) or _decides_nothing(node):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._scope.append(node.name.value)
        for kind, operator in (*mutation_operators, *_OURS):
            if isinstance(node, kind):
                name = operator.__name__.removeprefix("operator_").strip("_")
                at = self.get_metadata(PositionProvider, node, None)
                line = at.start.line if at is not None else 0
                for wrong in operator(node):
                    self.found.append((".".join(self._scope), name, line, node, wrong))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            self._scope.pop()


def _decides_nothing(node: cst.CSTNode) -> bool:
    """Tell whether it is words for people, or says only what cannot be otherwise."""
    match node:
        case cst.SimpleString(value=value):
            return " " in value or '"""' in value
        case cst.Arg(keyword=cst.Name(value="strict")):  # zip: the lengths are the same
            return True
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))]):
            is_type = name[0].isupper() and not name.isupper()
            return bool(name.startswith("__") or is_type)
        case _:
            return False


def _contrary(node: cst.If | cst.CompIf) -> Iterator[cst.CSTNode]:
    test = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    yield node.with_changes(test=cst.UnaryOperation(operator=cst.Not(), expression=test))


def _no_filter(node: cst.CompFor) -> Iterator[cst.CSTNode]:
    for one in node.ifs:
        yield node.with_changes(ifs=[other for other in node.ifs if other is not one])


def _entry_left_out(node: cst.Dict | cst.List | cst.Set | cst.Tuple) -> Iterator[cst.CSTNode]:
    if not isinstance(node, cst.Dict | cst.List) and len(node.elements) < 2 + (not node.lpar):
        return
    for one in node.elements:
        kept = [other for other in node.elements if other is not one]
        if isinstance(node, cst.Tuple) and len(kept) == 1:
            kept = [kept[0].with_changes(comma=cst.Comma())]
        yield node.with_changes(elements=kept)


def _step_left_out(node: cst.SimpleStatementLine) -> Iterator[cst.CSTNode]:
    match node.body:
        case [cst.Expr(value=cst.Call() | cst.Await())] | [cst.AugAssign()]:
            yield node.with_changes(body=[cst.Pass()])
        case _:
            pass


_OURS: Final[tuple[tuple[Any, _Wrong], ...]] = (
    (cst.If, _contrary),
    (cst.CompIf, _contrary),
    (cst.CompFor, _no_filter),
    (cst.Dict, _entry_left_out),
    (cst.List, _entry_left_out),
    (cst.Set, _entry_left_out),
    (cst.Tuple, _entry_left_out),
    (cst.SimpleStatementLine, _step_left_out),
)

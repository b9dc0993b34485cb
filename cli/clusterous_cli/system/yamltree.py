"""YAML with line numbers: walks the nodes of a document and gathers everything that is wrong."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import yaml

from clusterous_api.errors import UserError

# A manifest has a few hundred; etcd takes no object of more than 1.5 MiB.
MOST_NODES = 100_000

# All that PyYAML raises over some text. Beside errors of its own that is what Python says of a
# value that is not of the kind that its tag names (`!!bool maybe`, `!!int ''`), of a date such as
# 2001-99-99, of the escape of a character that there is not, of a mapping as a key.
UNREADABLE: Final = (
    *(yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError),
    *(TypeError, ValueError),
)
# No program is given such text, no file called so, no API told it: it ends at the first of them,
# and the others are halves of a character.
_NO_TEXT: Final = re.compile(r"[\0\ud800-\udfff]")

Entries = Mapping[str, tuple[yaml.Node, yaml.Node]]

_KINDS = {
    "str": "text",
    "int": "a number",
    "float": "a number",
    "bool": "yes or no",
    "null": "null",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"{self.line}:{self.column}  {self.text}"


class FileMistakes(UserError):
    """Everything that is wrong with a file, one line each."""

    def __init__(self, source: str, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda m: (m.line, m.column)))
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        lines = [f"{source}:{mistake}" for mistake in self.mistakes]
        super().__init__("\n".join([*lines, f"{count}, nothing was started."]))


class _Loader(yaml.SafeLoader):
    """Takes a date for text, as Kubernetes' own programs do: JSON has none."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


# Of YAML's own kinds of values, those that JSON has, too.
_OF_JSON = frozenset({"str", "int", "float", "bool", "null", "seq", "map", "merge"})


def compose(text: str, source: str) -> yaml.Node | None:
    """The node tree of the one document in *text*; None if it is empty."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except UNREADABLE as error:
        raise _not_yaml(source, error) from error
    _check_text(root, source)
    return root


def load_all(text: str, source: str) -> list[object]:
    """Every document of *text* as plain values, empty ones left out."""
    try:
        for root in yaml.compose_all(text, Loader=_Loader):
            if root is not None and _spelled_out(root, {}) > MOST_NODES:
                raise _refused(source, f"spelled out, its aliases are over {MOST_NODES} nodes")
            _check_json(root, source, set())
            _check_text(root, source)
        return [d for d in yaml.load_all(text, Loader=_Loader) if d is not None]
    except UNREADABLE as error:
        raise _not_yaml(source, error) from error


def _check_text(root: yaml.Node | None, source: str) -> None:
    """Refuse what YAML can spell and nobody can be given as text."""
    mistakes = [
        Mistake(
            line=node.start_mark.line + 1,
            column=node.start_mark.column + 1,
            text="it has a character that no text can have (\\0, or half of one)",
        )
        for node in _nodes(root)
        if isinstance(node, yaml.ScalarNode) and _NO_TEXT.search(str(node.value))
    ]
    if mistakes:
        raise FileMistakes(source, mistakes)


def _nodes(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """Each node under *root*, and itself, once."""
    seen, ahead = set(), [] if root is None else [root]
    while ahead:
        node = ahead.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            ahead += [one for pair in node.value for one in pair]
        elif isinstance(node, yaml.SequenceNode):
            ahead += node.value


def _check_json(node: yaml.Node | None, source: str, seen: set[int]) -> None:
    """Refuse what cannot be sent to Kubernetes: it is told in JSON."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    word = str(node.value).lower() if isinstance(node, yaml.ScalarNode) else ""
    told = node.tag.rpartition(":")[2] if node.tag.startswith("tag:yaml.org,2002:") else node.tag
    if told not in _OF_JSON or (told == "float" and word.endswith((".nan", ".inf"))):
        mark, what = node.start_mark, word if told == "float" else f"a value of the kind {told}"
        text = f"{what} is not known to Kubernetes; write it as text, in quotes"
        raise FileMistakes(source, [Mistake(line=mark.line + 1, column=mark.column + 1, text=text)])
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _check_json(key, source, seen)
            _check_json(value, source, seen)
    elif isinstance(node, yaml.SequenceNode):
        for one in node.value:
            _check_json(one, source, seen)


def _spelled_out(node: yaml.Node, known: dict[int, int]) -> int:
    """How many nodes *node* has once every alias is written out; one that holds itself: too many.

    A few lines of aliases of aliases become gigabytes when they are copied.
    """
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = MOST_NODES + 1  # as long as we are inside of it
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        inner = [one for pair in node.value for one in pair]
    elif isinstance(node, yaml.SequenceNode):
        inner = list(node.value)
    known[id(node)] = 1 + sum(_spelled_out(one, known) for one in inner)
    return known[id(node)]


def is_null(node: yaml.Node) -> bool:
    return node.tag == "tag:yaml.org,2002:null"


def kind(node: yaml.Node) -> str:
    """What the node is, for messages."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return _KINDS.get(node.tag.rsplit(":", 1)[-1], "something else")


def meant(word: str, known: Sequence[str]) -> str:
    """ "; did you mean …?" where one of *known* is near, else what there is."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are {', '.join(known)}" if known else ""


_MERGE = "tag:yaml.org,2002:merge"


@dataclass(slots=True)
class Reader:
    """Turns nodes into values; what does not fit is noted with its place, and None comes back.

    A key that stands twice in a mapping is a mistake, or, where *last_counts*, told.
    """

    mistakes: list[Mistake] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    last_counts: bool = False
    # What was merged already, by the node's id; None while it is being read.
    merged: dict[int, Entries | None] = field(default_factory=dict)

    def wrong(self, node: yaml.Node, text: str) -> None:
        mark = node.start_mark
        self.mistakes.append(Mistake(line=mark.line + 1, column=mark.column + 1, text=text))

    def warn(self, node: yaml.Node, text: str) -> None:
        self.warnings.append(f"line {node.start_mark.line + 1}: {text}")

    def stands_for(self, key: str, node: yaml.Node, where: str) -> yaml.Node | None:
        """Return the node that *node*, the value of *key* in *where*, stands for; None if none."""
        return node

    def entries(self, node: yaml.Node, where: str) -> Entries:
        """Key → (key node, value node) of a mapping."""
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for name, (key, value) in self._pairs(node, where).items():
            meant = self.stands_for(name, value, where)
            if meant is not None:
                found[name] = (key, meant)
        return found

    def _pairs(self, node: yaml.Node, where: str) -> Entries:
        """What a mapping has: its own keys, then what YAML's merge key brings in."""
        if not isinstance(node, yaml.MappingNode):
            self.wrong(node, f"{where} must be a mapping of keys to values, not {kind(node)}")
            return {}
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.wrong(key, f"a key of {where} must be plain text")
            elif key.tag == _MERGE:
                merged |= self._merged(value, where)
            elif key.value in own and not self.last_counts:
                self.wrong(key, f"{where} has {key.value} twice")
            else:
                if key.value in own:
                    self.warn(key, f"{where} has {key.value} twice; this one, the last, counts")
                own[key.value] = (key, value)
        return {**{name: pair for name, pair in merged.items() if name not in own}, **own}

    def _merged(self, node: yaml.Node, where: str) -> Entries:
        """The keys that `<<: *base` or `<<: [*one, *other]` brings in; the first of a list wins."""
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(item, yaml.MappingNode):
                self.wrong(item, f"{where}: << takes a mapping or a list of them, not {kind(item)}")
                continue
            if id(item) not in self.merged:
                self.merged[id(item)] = None
                self.merged[id(item)] = self._pairs(item, where)
            inner = self.merged[id(item)]
            if inner is None:
                self.wrong(item, f"{where}: << leads back to where it stands")
                continue
            found = {**inner, **found}
        return found

    def known(self, node: yaml.Node, allowed: Sequence[str], where: str) -> dict[str, yaml.Node]:
        """The values of the *allowed* keys; other keys and values of null are mistakes."""
        values = {}
        for name, (key, value) in self.entries(node, where or "the file").items():
            path = f"{where}.{name}" if where else name
            if name not in allowed:
                self.wrong(key, f"{path} is not a key here{meant(name, allowed)}")
            elif is_null(value):
                self.wrong(value, f"{path} has no value; give one or leave it out")
            else:
                values[name] = value
        return values

    def items(self, node: yaml.Node, where: str) -> Sequence[yaml.Node]:
        if isinstance(node, yaml.SequenceNode):
            return self._elements(node, where)
        self.wrong(node, f"{where} must be a list, not {kind(node)}")
        return []

    def _elements(self, node: yaml.SequenceNode, where: str) -> list[yaml.Node]:
        meant = [self.stands_for(f"[{i}]", item, where) for i, item in enumerate(node.value)]
        return [item for item in meant if item is not None]

    def text(self, node: yaml.Node, where: str) -> str | None:
        """A YAML string; a number or a boolean is told to be put in quotes."""
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str":
            return str(node.value)
        quotes = f'; write "{node.value}"' if isinstance(node, yaml.ScalarNode) else ""
        self.wrong(node, f"{where} must be text, not {kind(node)}{quotes}")
        return None

    def texts(self, node: yaml.Node, where: str) -> tuple[str, ...]:
        found = [self.text(item, f"{where}[{i}]") for i, item in enumerate(self.items(node, where))]
        return tuple(text for text in found if text is not None)

    def words(self, node: yaml.Node, where: str) -> Sequence[tuple[yaml.Node, str]]:
        """Values separated by commas, or a list of them, as they stand in the file.

        The file's own characters are taken, not YAML's value: 8080:50 without quotes would be
        a number to the base of 60.
        """
        found = []
        items = self._elements(node, where) if isinstance(node, yaml.SequenceNode) else [node]
        for item in items:
            if isinstance(item, yaml.ScalarNode):
                found += [(item, word.strip()) for word in item.value.split(",") if word.strip()]
            else:
                self.wrong(item, f"{where} must be text or a list of texts, not {kind(item)}")
        return found

    def port(self, node: yaml.Node, word: str, where: str) -> int | None:
        if re.fullmatch(r"[0-9]{1,5}", word) and 1 <= int(word) <= 65535:
            return int(word)
        self.wrong(node, f"{where}: {word or 'nothing'} is not a port (1 to 65535)")
        return None


def _not_yaml(source: str, error: Exception) -> FileMistakes:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return _refused(source, error.problem or error.context or "it cannot be read", line, column)
    if isinstance(error, RecursionError):
        return _refused(source, "nested too deep")
    said = (str(error) or type(error).__name__).splitlines()[0]
    is_yaml = isinstance(error, yaml.YAMLError)
    return _refused(source, said if is_yaml else f"a value in it cannot be read ({said})")


def _refused(source: str, what: str, line: int = 1, column: int = 1) -> FileMistakes:
    mistake = Mistake(line=line, column=column, text=f"this is not YAML: {what}")
    return FileMistakes(source, [mistake])

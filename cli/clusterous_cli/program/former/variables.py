"""The `$variables` of the predecessor's files, and the values for them. Pure.

A value stands for a whole scalar: `$name`, or `$name-N` for a number less N. What a shell is to
read (`cmd`), and what is told to people (`message`), stays as it is written.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import yaml

from clusterous_api.errors import UserError
from clusterous_cli.system.yamltree import Reader, compose, kind, meant

# As YAML reads a value: the kind matters, a cpu is no text.
Values = Mapping[str, yaml.ScalarNode]

NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
VARIABLE: Final = re.compile(rf"\$({NAME})(?:\s*-\s*([0-9]{{1,9}}))?")
LITERAL: Final = frozenset({"cmd", "message"})
# The section whose variables are for `create`: `run` finds the machines there.
CLUSTER: Final = "cluster"
_STR: Final = "tag:yaml.org,2002:str"
_INT: Final = "tag:yaml.org,2002:int"


def given(words: Sequence[str]) -> dict[str, yaml.ScalarNode]:
    """Read what `--set` was given: NAME=VALUE, the value as YAML has it; the last counts."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not re.fullmatch(NAME, name):
            raise UserError(f"--set {word}: it takes NAME=VALUE, such as --set workers=4.")
        node = compose(value, f"--set {name}") if value.strip() else yaml.ScalarNode(_STR, "")
        if not isinstance(node, yaml.ScalarNode) or node.tag.endswith((":null", ":merge")):
            node = yaml.ScalarNode(_STR, value)
        found[name] = node
    return found


@dataclass(slots=True)
class VariableReader(Reader):
    """Puts *values* in the places of variables; *asked* gathers those that were met.

    With *whole*, also the machines must be known (for `create`).
    """

    values: Values = field(default_factory=dict)
    whole: bool = False
    asked: dict[str, yaml.Node] = field(default_factory=dict)

    def stands_for(self, key: str, node: yaml.Node, where: str) -> yaml.Node | None:
        """Return what stands for *node*; a variable without a value is a mistake."""
        is_text = isinstance(node, yaml.ScalarNode) and node.tag == _STR
        found = VARIABLE.fullmatch(node.value.strip()) if is_text and key not in LITERAL else None
        if found is None:
            return node
        name, less = found.groups()
        self.asked.setdefault(name, node)
        if name in self.values:
            return self._put(node, f"{where}.{key}", name, less)
        if where.partition(".")[0] == CLUSTER and not self.whole:
            return node
        how = "give one under parameters" if self.whole else f"say --set {name}=…"
        self.wrong(node, f"{where}.{key} is ${name}, which has no value; {how}")
        return None

    def _put(self, node: yaml.Node, where: str, name: str, less: str | None) -> yaml.Node | None:
        value = self.values[name]
        tag, text = value.tag, value.value
        if less is not None:
            if tag != _INT or not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
                words = f"{where} subtracts from ${name}, which must be a whole number above 0"
                self.wrong(node, f"{words}, not {kind(value)} ({text})")
                return None
            text = str(int(text) - int(less))
        return yaml.ScalarNode(tag, text, node.start_mark, node.end_mark)

    def spare(self, root: yaml.Node, also: Sequence[str] = ()) -> None:
        """Tell values that nothing asks for; those called *also* may be given all the same."""
        known = [*self.asked, *also]
        for name in self.values:
            if name not in known:
                hint = meant(name, known) or "; there are no variables in it"
                self.wrong(root, f"a value is given for ${name}, which the file does not use{hint}")

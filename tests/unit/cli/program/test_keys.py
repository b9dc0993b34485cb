"""Every key of the predecessor's environment file: accepted with its meaning, refused, or told."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterous_cli.program import envfile
from clusterous_cli.program.envfile import COMPONENT_KEYS, Environment
from clusterous_cli.program.former import variables
from clusterous_cli.system.yamltree import FileMistakes

TABLE: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    Path(__file__).with_name("keys.yaml").read_text()
)
BASE = {"machine": "master", "cpu": "auto", "image": "python"}
ROWS = [
    pytest.param(row, id=f"{heading.partition(' ')[0]}-{number}")
    for heading, rows in TABLE.items()
    for number, row in enumerate(rows, 1)
]


def written(row: dict[str, Any]) -> str:
    """The file that a row writes."""
    if "file" in row:
        return str(row["file"])
    added = [line for line in str(row.get("component", "")).splitlines() if line]
    keys = {line.partition(":")[0] for line in added}
    lines = [f"{key}: {value}" for key, value in BASE.items() if key not in keys] + added
    web = "\n".join(f"      {line}" for line in lines)
    beside = str(row.get("environment", ""))
    others = ""
    if beside.startswith("components: {"):
        beside, others = "", f"    {beside.removeprefix('components: {').removesuffix('}')}\n"
    if others.strip().startswith("web:"):
        web = ""
    named = f"    web:\n{web}\n" if web else ""
    cluster = f"cluster: {row['cluster']}\n" if "cluster" in row else ""
    more = f"  {beside}\n" if beside else ""
    return f"name: x\n{cluster}environment:\n  components:\n{named}{others}{more}"


def read(row: dict[str, Any]) -> Environment:
    return envfile.parse(written(row), "f", variables.given(row.get("values", ())))


@pytest.mark.parametrize("row", ROWS)
def test_a_key_means_what_it_meant(row: dict[str, Any]) -> None:
    if "refused" in row:
        with pytest.raises(FileMistakes) as caught:
            read(row)
        assert any(row["refused"] in str(one) for one in caught.value.mistakes), caught.value
        return
    found = read(row)
    for warning in [row["told"]] if "told" in row else ():
        assert any(warning in one for one in found.warnings), found.warnings
    for attribute, value in row.get("means", {}).items():
        owner = found if hasattr(found, attribute) else found.components[0]
        seen = getattr(owner, attribute)
        assert str(seen) == str(value), attribute


def test_the_table_has_every_key_and_every_chapter() -> None:
    text = "".join(written(row) for rows in TABLE.values() for row in rows)
    others = ("name:", "environment:", "cluster:", "copy:", "image:", "components:", "type:")
    more = ("expose_tunnel:", "service:", "message:", "dockerfile:", "image_name:", "count:")

    assert all(f"{key}:" in text for key in COMPONENT_KEYS)
    assert all(key in text for key in (*others, *more))
    assert [heading.partition(" ")[0] for heading in TABLE] == [f"1.{n}" for n in range(1, 10)]
    assert all(
        len({"means", "refused", "told"} & row.keys()) == 1 for r in TABLE.values() for row in r
    )

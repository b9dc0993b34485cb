"""How faults are tried and judged. That the tests of the product notice them is `make mutants`."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mutants import copies, named, rooms, survivors
from tests.mutants.earlier import Earlier


def test_each_fault_with_a_name_can_still_be_put_in() -> None:
    for one in named.all_of_them():
        code = named.code(one)

        assert code != (copies.ROOT / one.module).read_text()
        compile(code, one.module, "exec")


def test_a_named_fault_that_has_no_place_any_more_is_told() -> None:
    moved = named.Named(name="x", module="m.py", right="a = 1", wrong="a = 2", tests=())

    with pytest.raises(ValueError, match=r"named\.toml: x: not once in m\.py: a = 1"):
        moved.put_into("a = 1\na = 1\n")


@pytest.mark.parametrize("module", rooms.MODULES)
def test_modules_and_their_tests_are_there(module: str) -> None:
    asked = [one for stage in rooms.MODULES[module] for one in stage]

    assert (copies.ROOT / module).is_file()
    for one in asked:
        assert (copies.ROOT / one.removeprefix("--ignore=").split("::")[0]).exists()


def result(verdict: str, id: str = "a1", **more: Any) -> dict[str, Any]:
    fault = {"id": id, "module": "m.py", "line": 3, "operator": "number"}
    return {**fault, "removed": "x = 1", "added": "x = 2", "verdict": verdict, **more}


def test_what_lives_on_without_a_reason_is_told() -> None:
    results = [result("survived"), *[result("killed")] * 9]

    assert survivors.wrong(results, [], {"a1": "the same for everybody"}) == []
    assert survivors.wrong(results, [], {}) == [
        "survived, with no reason in survivors.toml: a1 m.py:3 number: x = 1 -> x = 2"
    ]


def test_more_than_a_tenth_is_too_many_whatever_the_reasons() -> None:
    results = [result("survived"), *[result("killed")] * 8]

    assert survivors.wrong(results, [], {"a1": "why"}) == ["1 of 9 survived: more than 10 %"]


def test_a_run_that_was_cut_short_is_gone_on_with(tmp_path: Path) -> None:
    lines = tmp_path / "build" / "mutants.lines"
    first, fault, named_one = (
        Earlier(lines, "this code"),
        {"id": "a1"},
        {"name": "the volume is open"},
    )
    first.add(result("killed"))
    first.add({**named_one, "verdict": "killed"})
    with lines.open("a") as file:
        file.write('{"id": "b2", "verd')

    again = Earlier(lines, "this code")

    assert (again.of(fault), again.of({"id": "b2"})) == (result("killed"), None)
    assert again.of(named_one) == {**named_one, "verdict": "killed"}
    assert Earlier(lines, "this code").of(fault) == result("killed")
    assert Earlier(lines, "other code").of(fault) is None
    assert Earlier(lines, "this code").of(fault) is None


def test_no_fault_with_a_name_may_live_on() -> None:
    alive = {"name": "the volume is open", "verdict": "survived"}

    said = survivors.wrong([], [alive], {})

    assert said == ["survived, though it has a name: the volume is open"]


def test_each_reason_is_of_one_fault() -> None:
    listed = survivors.FILE.read_text().count("[[survivor]]")

    assert len(survivors.reasons()) == listed


TESTS = """
import product, time
def test_right(): assert product.VALUE == 1
def test_ends():
    while product.VALUE == 3: pass
def test_wakes(): time.sleep(0 if product.VALUE == 1 else 1000)
"""


LONG = copies.Bound(cpu=30.0, wall=300.0)


def test_a_fork_says_what_failed_and_a_fault_is_gone_after_it(tmp_path: Path) -> None:
    (tmp_path / "product.py").write_text("VALUE = 1\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text("")
    code = f"""
import sys
sys.path.insert(0, {str(copies.ROOT)!r})
from tests.mutants import warm
warm.OTHERS = ()
warm.main()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        copy = copies.Copy(folder=tmp_path, process=process)
        said = [copy.ask(("test_it.py",), LONG)]
        for value in (2, 1):
            with copy.wrong("product.py", f"VALUE = {value}\n"):
                said.append(copy.ask(("test_it.py",), LONG))
        with copy.wrong("product.py", "VALUE = 3\n"):
            said.append(copy.ask(("test_it.py::test_ends",), copies.Bound(cpu=1.0, wall=60.0)))
            said.append(copy.ask(("test_it.py::test_wakes",), copies.Bound(cpu=30.0, wall=3.0)))
        said.append(copy.ask(("test_it.py",), LONG))

    assert [(one["code"], one["failed"]) for one in said] == [
        (0, ""),
        (1, "test_it.py::test_right"),
        (0, ""),
        (None, "takes for ever"),
        (None, "takes for ever"),
        (0, ""),
    ]

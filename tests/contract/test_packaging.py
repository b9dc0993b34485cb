"""The layout's traps: what would hide the standard library, or be missing where it is installed."""

import sys
import tomllib
from pathlib import Path
from typing import Any

from release import locks

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("crds/clusterous_api", "operator/clusterous_operator", "cli/clusterous_cli")


def test_the_operator_folder_does_not_hide_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not (ROOT / "operator.py").exists()


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]

    assert [path for path in modules if path.stem in sys.stdlib_module_names] == []


def test_all_packages_are_in_the_wheel_and_typed() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert set(wheel["packages"]) == set(PACKAGES)
    assert all((ROOT / package / "py.typed").exists() for package in PACKAGES)


def test_the_operators_image_gets_what_the_lock_has_for_it() -> None:
    assert locks.OPERATOR.read_text() == locks.operator_lock(), "run make lock"


def test_kubernetes_comes_with_the_project_and_not_into_the_operators_image() -> None:
    assert any(line.startswith("kubernetes>") for line in PROJECT["project"]["dependencies"])
    assert "kopf" in locks.operator_closure()
    assert "kubernetes" not in locks.operator_closure()


def test_tests_are_no_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []

"""Which modules get faults, and which tests are asked for each: the nearest first.

Tests that take a control plane or a region are not asked: what only they notice is noticed late.
"""

from pathlib import Path
from typing import Final

Stages = tuple[tuple[str, ...], ...]

_ROOT: Final = Path(__file__).parents[2]
_OPERATOR: Final = "operator/clusterous_operator"
_CLI: Final = "cli/clusterous_cli"
_OF_OPERATOR: Final = "tests/unit/operator"
_OF_CLI: Final = "tests/unit/cli"
GOLDEN: Final = "tests/functional/test_golden.py"

# All that is left when the nearest are content; what searches long comes last.
_SLOW: Final = (
    f"{_OF_OPERATOR}/capacity/test_sizing_search.py",
    f"{_OF_OPERATOR}/status/test_status_agrees.py",
)
_OPERATORS_REST: Final = (
    (_OF_OPERATOR, *(f"--ignore={one}" for one in _SLOW)),
    ("tests/contract/test_crd_matches_models.py", "tests/contract/test_scaling_page.py",
     "tests/contract/test_status_docs.py", "tests/chaos/test_decisions.py", _SLOW[1]),
)  # fmt: skip
_LIFE: Final = "tests/functional/test_create_destroy.py"
# Rooms below the plan's do not know it (pyproject.toml has the layers): nothing there notices.
_OF_PLANS_USERS: Final = tuple(
    f"{_OF_CLI}/{room}" for room in ("checks", "commands", "images", "output", "terminal")
)
_SHUT_OUT: Final = f"{_LIFE}::test_an_address_that_was_allowed_before_is_shut_out"
_GROWN: Final = f"{_LIFE}::test_more_workers_are_added_and_the_others_kept"
_AGAIN: Final = f"{_LIFE}::test_a_second_create_changes_nothing"
_FOREIGN: Final = f"{_LIFE}::test_something_foreign_in_the_network_is_named"
_ADDONS: Final = "tests/functional/test_addons.py"
_OF_KUBERNETES: Final = "tests/functional/test_made_by_kubernetes.py"
_VOLUME: Final = "tests/functional/test_volume.py"
_PLANS_LIVES: Final = (
    _AGAIN,
    _SHUT_OUT,
    _GROWN,
    _FOREIGN,
    f"{_LIFE}::test_another_clusters_things_are_left_alone",
    _ADDONS,
    "tests/functional/test_new_kind.py",
    "tests/functional/test_whose.py",
)
# What notices faults of a module that nothing nearer does: some of those first, or others.
_PLANS_NEXT: Final = {
    "access": (_AGAIN, _SHUT_OUT),
    "addons": (_ADDONS,),
    "homes": (_AGAIN,),
    "images": ("tests/functional/test_bucket_of_images.py",),
    "kubernetes/balancers": (_OF_KUBERNETES,),
    "kubernetes/claims": (_OF_KUBERNETES,),
    "kubernetes/marks": (_OF_KUBERNETES,),
    "machines": (_SHUT_OUT, _GROWN),
    "network": (_AGAIN, _FOREIGN),
    "volume/attachment": (_VOLUME,),
    "volume/ebs": (_VOLUME,),
    "volume/efs": (_VOLUME,),
    "volume/keeping": (_VOLUME,),
    "volume/note": (_VOLUME,),
}
_PROGRAMS_REST: Final = (
    (_OF_CLI, "tests/contract/test_environment_files.py"),
    ("tests/functional/test_run.py",),
)


def _there(room: str) -> list[str]:
    """Return the names of the modules of a room and of those in it."""
    found = (_ROOT / room).rglob("[a-z]*.py")
    return sorted(str(path.relative_to(_ROOT / room).with_suffix("")) for path in found)


def _operator(room: str, *names: str, also: tuple[str, ...] = ()) -> dict[str, Stages]:
    """Return the modules of a room: those of these *names*, or all."""
    near = (f"{_OF_OPERATOR}/{room}", *(f"{_OF_OPERATOR}/{one}" for one in also))
    near += (f"--ignore={_SLOW[1]}",)
    chosen = names or _there(f"{_OPERATOR}/{room}")
    return {f"{_OPERATOR}/{room}/{name}.py": (near, *_OPERATORS_REST) for name in chosen}


def _plan(name: str) -> Stages:
    """Return who is asked of a module of the plan: the calls of a create before longer lives."""
    near = _PLANS_NEXT.get(name, ())
    rest = tuple(one for one in _PLANS_LIVES if one not in near)
    return ((f"{_OF_CLI}/plan",), (GOLDEN,), _OF_PLANS_USERS, *((near,) if near else ()), rest)


MODULES: Final[dict[str, Stages]] = {
    f"{_CLI}/plan/planner.py": _plan("planner"),
    **{f"{_CLI}/plan/kinds/{name}.py": _plan(name) for name in _there(f"{_CLI}/plan/kinds")},
    **{
        f"{_CLI}/program/{name}.py": ((f"{_OF_CLI}/program/test_{name}.py",), *_PROGRAMS_REST)
        for name in ("envfile", "convert")
    },
    **{
        f"{_OPERATOR}/capacity/{name}.py": (
            (f"{_OF_OPERATOR}/capacity/test_sizing.py",),
            (f"{_OF_OPERATOR}/capacity", f"--ignore={_SLOW[0]}"),
            *_OPERATORS_REST,
            (_SLOW[0],),
        )
        for name in ("sizing", "board")
    },
    **_operator("objects", "failure", also=("decisions",)),
    **_operator("leaderelection", "lease"),
    **_operator("decisions"),
    **_operator("status"),
}

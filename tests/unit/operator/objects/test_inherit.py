"""Labels and annotations that children get: those on the lists, none that another tool minds."""

import pytest

from clusterous_api.errors import UserError
from clusterous_operator.controller import settings
from clusterous_operator.objects import inherit
from clusterous_operator.objects.inherit import Inherit

OBEYED = {"clusterous.io/resume": "1", "clusterous.io/begin-empty-after": "pvc-1"}
METADATA = {
    "labels": {"team": "blue", "app.kubernetes.io/instance": "git"},
    "annotations": {"cost": "7", **OBEYED, "kubectl.kubernetes.io/x": "y"},
}


def test_only_what_is_on_the_lists_is_kept() -> None:
    chosen = Inherit(labels=frozenset({"team"}), annotations=frozenset({"cost"}))

    assert chosen.labels_of(METADATA) == {"team": "blue"}
    assert chosen.annotations_of(METADATA) == {"cost": "7", **OBEYED}
    assert Inherit().labels_of(METADATA) == {}


@pytest.mark.parametrize(
    "key",
    [
        "argocd.argoproj.io/tracking-id",
        "app.kubernetes.io/instance",
        "kustomize.toolkit.fluxcd.io/name",
        "helm.sh/chart",
        "kubectl.kubernetes.io/last-applied-configuration",
        "clusterous.io/app",
    ],
)
def test_marks_of_other_tools_are_refused_at_the_start(key: str) -> None:
    with pytest.raises(UserError, match=f"--inherit-labels names {key}"):
        settings.read({}, [f"--inherit-labels=team,{key}"])


def test_reads_the_lists() -> None:
    chosen = settings.read({}, ["--inherit-labels=team, cost-center", "--inherit-annotations=a"])

    assert chosen.inherit == Inherit(
        labels=frozenset({"team", "cost-center"}), annotations=frozenset({"a"})
    )
    assert inherit.keys("inherit-labels", "") == frozenset()

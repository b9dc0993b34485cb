"""The builder on the cluster: where it goes, how much it may use, and what it may do."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from clusterous_cli.addons import builder
from clusterous_cli.addons.builder import GIB, Room
from clusterous_cli.cluster.file import registry


def node(memory: str = "4Gi", disk: str = "18Gi", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "one", "labels": {}},
        "spec": spec,
        "status": {
            "allocatable": {"memory": memory, "ephemeral-storage": disk},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def controller(**given: str) -> dict[str, Any]:
    taint = {"key": names.CONTROL_PLANE_TAINT, "effect": "NoSchedule"}
    made = node(**given, taints=[taint])
    return {**made, "metadata": {"name": "c", "labels": {names.LABEL_CONTROL_PLANE: "true"}}}


def master() -> dict[str, Any]:
    return node(taints=[{"key": names.MASTER_TAINT, "effect": "NoSchedule"}])


def tainted() -> dict[str, Any]:
    return node(taints=[{"key": "gpu", "effect": "NoSchedule"}])


def silent() -> dict[str, Any]:
    made = node()
    made["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    return made


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param(
            [controller(), node(), node("7Gi", "40Gi")], (2 * GIB, 9 * GIB, False), id="smallest"
        ),
        pytest.param([controller()], (2 * GIB, 9 * GIB, True), id="the controller alone"),
        pytest.param(
            [controller(), tainted(), node(unschedulable=True), silent()],
            (2 * GIB, 9 * GIB, True),
            id="no other can",
        ),
        pytest.param([controller(), master()], (2 * GIB, 9 * GIB, False), id="the master's"),
        pytest.param([node("64Gi", "900Gi")], (4 * GIB, 40 * GIB, False), id="at most"),
        pytest.param([node("512Mi", "1Gi")], (GIB // 2, 2 * GIB, False), id="at least"),
        pytest.param([tainted(), silent()], None, id="none can"),
        pytest.param([], None, id="no nodes"),
    ],
)
def test_a_builder_has_half_of_the_smallest_node_that_can_have_it(
    nodes: list[dict[str, Any]], expected: tuple[int, int, bool] | None
) -> None:
    found = builder.room(nodes)

    told = None if found is None else (found.memory, found.disk, found.on_controller)
    assert told == expected


def pod(*, on_controller: bool = False) -> dict[str, Any]:
    where = Room(memory=2 * GIB, disk=9 * GIB, on_controller=on_controller)
    spec: dict[str, Any] = builder.job(where, builder.IMAGE)["spec"]["template"]["spec"]
    return spec


def test_it_is_nobody_with_rights() -> None:
    spec = pod()
    (container,) = spec["containers"]

    assert spec["securityContext"]["runAsUser"] == 1000
    assert spec["securityContext"]["runAsNonRoot"]
    assert "securityContext" not in container  # neither privileged, nor with capabilities
    assert not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
    assert not any("hostPath" in volume for volume in spec["volumes"])
    assert spec["automountServiceAccountToken"] is False
    assert not spec["enableServiceLinks"]


def test_what_it_fills_has_bounds_and_it_keeps_less() -> None:
    spec = pod()
    (container,) = spec["containers"]

    assert all(volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"])
    assert {one["mountPath"] for one in container["volumeMounts"]} == {
        *(builder.STATE, builder.WORK, builder.SECRETS)
    }
    kept = int(container["command"][-1].partition(",")[0])
    assert 0 < kept * 10**6 < 9 * GIB
    assert container["resources"] == {
        "requests": {"cpu": "0", "memory": "0"},
        "limits": {"memory": str(2 * GIB)},
    }


def test_the_controller_has_it_only_where_no_other_can() -> None:
    (term,) = pod()["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    alone = pod(on_controller=True)

    assert term["matchExpressions"] == [
        {"key": names.LABEL_CONTROL_PLANE, "operator": "DoesNotExist"}
    ]
    assert "affinity" not in alone
    assert names.CONTROL_PLANE_TAINT in [one["key"] for one in alone["tolerations"]]


# A runc whose container ends at once, and leaves a process that holds its output.
LEAVING = """\
#!/bin/sh
echo "$@" >"${0%/*}/told"
[ "$2" = run ] || exit 0
setsid sh -c 'sleep 300 & echo $! >"$1"; echo $$ >"$2"; cat; echo said' sh "${0%/*}/left" "$4" | cat
exit 3
"""


def test_what_a_step_leaves_running_ends_with_it(tmp_path: Path) -> None:
    for name, text in (("runc", builder.RUNC), ("buildkit-runc", LEAVING)):
        (tmp_path / name).write_text(text.replace(builder.WORK, str(tmp_path)))
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}

    done = subprocess.run(
        [tmp_path / "runc", "--log=x", "run", "--bundle", "a b", "id"],
        env=env, input="heard\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = (tmp_path / "told").read_text().split()
    subprocess.run([tmp_path / "runc", "--version"], env=env, check=True)

    assert (done.returncode, done.stdout, done.stderr) == (3, "heard\nsaid\n", "")
    assert [*told[:3], *told[4:]] == ["--log=x", "run", "--pid-file", "--bundle", "a", "b", "id"]
    assert not alive(int((tmp_path / "left").read_text()))
    assert not list(tmp_path.glob("step.*"))
    assert (tmp_path / "told").read_text() == "--version\n"


def test_what_kubernetes_makes_of_the_command_is_what_is_meant() -> None:
    (container,) = pod()["containers"]
    said = container["command"][2]

    assert re.sub(r"\$(\$|\([A-Za-z_]+\))", "$", said) == builder.MAIN
    assert "$$" in said


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_nobody_reaches_it_and_it_forgets_itself() -> None:
    where = Room(memory=GIB, disk=GIB, on_controller=False)
    space, policy, job = builder.manifests(where, builder.IMAGE)
    assert "hostAliases" not in job["spec"]["template"]["spec"]

    assert space["metadata"]["name"] == builder.SPACE != names.NAMESPACE
    assert policy["spec"]["ingress"] == []
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["ttlSecondsAfterFinished"] > 0
    assert {one["metadata"].get("namespace", builder.SPACE) for one in (policy, job)} == {
        builder.SPACE
    }


def test_a_builder_pushes_to_the_clusters_own_registry_by_its_name() -> None:
    where = builder.room([node()])
    assert where is not None

    job = builder.manifests(where, builder.IMAGE, with_registry=True)[-1]

    aliases = job["spec"]["template"]["spec"]["hostAliases"]
    assert aliases == [{"ip": registry.WRITE, "hostnames": ["registry"]}]

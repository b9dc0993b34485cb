"""What an app wants: pods, services and volumes as the documentation promises them."""

from typing import Any

import pytest

from clusterous_api import models, names
from clusterous_api.errors import UserError
from clusterous_api.models import App
from clusterous_operator import manifests
from clusterous_operator.manifests import Facts, Manifest
from tests.unit.operator.making import MASTER, make_app, make_body

READY = Facts(addresses={"master": "10.43.0.9"}, replicas={"master": 1, "workers": 2})
EFS = {"nfs": {"server": "10.0.0.5", "path": "/"}}


def wanted(app: App, facts: Facts = READY) -> dict[tuple[str, str], Manifest]:
    return {(one["kind"], one["metadata"]["name"]): one for one in manifests.desired(app, facts)}


def pod_of(app: App, component: str = names.MASTER, facts: Facts = READY) -> dict[str, Any]:
    found = app.component(component)
    assert found is not None
    return manifests.pod_template(app, found, facts)


def test_makes_a_deployment_a_service_and_a_claim() -> None:
    assert set(wanted(make_app())) == {
        ("PersistentVolumeClaim", "sim-data"),
        ("Service", "sim-master"),
        ("Deployment", "sim-master"),
    }


def test_workloads_wait_for_the_addresses_of_all_services() -> None:
    found = wanted(make_app(), Facts(replicas={"master": 1}))

    assert ("Deployment", "sim-master") not in found


def test_everything_but_data_belongs_to_the_app() -> None:
    owned = {
        kind
        for (kind, _), one in wanted(make_app()).items()
        if "ownerReferences" in one["metadata"]
    }

    assert owned == {"Deployment", "Service"}


def test_components_know_each_other_by_short_and_legacy_names() -> None:
    assert pod_of(make_app())["spec"]["hostAliases"] == [
        {"ip": "10.43.0.9", "hostnames": ["master", "sim-master", "master.marathon.mesos"]}
    ]


def test_a_component_is_reached_under_further_names() -> None:
    ports = [{"name": "p", "port": 7000}]
    app = make_app(workers={"ports": ports, "aliases": ["shard", "my.db"]})
    facts = Facts(addresses={"master": "10.43.0.9", "workers": "10.43.0.8"}, replicas={"master": 1})

    (_, workers) = pod_of(app, facts=facts)["spec"]["hostAliases"]

    assert workers["hostnames"] == [
        *("workers", "sim-workers", "workers.marathon.mesos"),
        *("shard", "shard.marathon.mesos", "my.db", "my.db.marathon.mesos"),
    ]
    # Its address is known by all of them: no further Service is needed.
    assert [key for key in wanted(app, facts) if key[0] == "Service"] == [
        ("Service", "sim-master"),
        ("Service", "sim-workers"),
    ]


@pytest.mark.parametrize("ports", [[], [{"name": "p", "port": 7000}]])
def test_what_is_asked_for_itself_has_a_service_without_an_address(ports: list[Any]) -> None:
    app = make_app(workers={"headless": True, "aliases": ["engine"], "ports": ports})
    found = wanted(app)

    for name in ("sim-workers", "sim-engine"):
        spec = found["Service", name]["spec"]
        assert spec["clusterIP"] == "None"
        assert spec["selector"] == names.selector("sim", "workers")
        assert [one["port"] for one in spec.get("ports", ())] == [one["port"] for one in ports]
    # Nothing waits for an address that there will not be, and its pods are looked for by DNS.
    assert ("Deployment", "sim-workers") in found
    assert pod_of(app)["spec"]["dnsConfig"] == {"searches": ["sim.lab.clusterous.cluster.local"]}
    assert {name for kind, name in manifests.kept(app, READY) if kind == "Service"} == {
        *("sim-master", "sim-workers", "sim-engine"),
    }


def test_dns_holds_no_name_that_is_too_long_or_has_a_dot() -> None:
    app = make_app(workers={"headless": True, "aliases": ["a.b", "x" * 60]})

    services = [name for kind, name in wanted(app) if kind == "Service"]

    assert services == ["sim-master", "sim-workers"]


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        ({"aliases": ["master"]}, "workers is to be called master, as another component is"),
        ({"aliases": ["db"]}, "side and workers are both to be called db"),
    ],
)
def test_no_two_components_have_one_name(workers: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        make_app(workers=workers, components=[{"name": "side", "aliases": ["db"]}])


def test_tells_each_component_who_and_where_it_is() -> None:
    env = pod_of(make_app(workers={}), names.WORKERS)["spec"]["containers"][0]["env"]

    assert {item["name"]: item["value"] for item in env} == {
        "CLUSTEROUS_APP": "sim",
        "CLUSTEROUS_COMPONENT": "workers",
        "CLUSTEROUS_MASTER_HOST": "sim-master",
    }


def test_the_users_variable_wins() -> None:
    app = make_app(master={"env": [{"name": "CLUSTEROUS_APP", "value": "mine"}]})

    env = pod_of(app)["spec"]["containers"][0]["env"]

    assert [item["value"] for item in env if item["name"] == "CLUSTEROUS_APP"] == ["mine"]


def test_the_volume_is_mounted_at_home_data() -> None:
    spec = pod_of(make_app(sharedVolume={"subPath": "runs"}))["spec"]

    assert spec["containers"][0]["volumeMounts"] == [
        {"name": "data", "mountPath": "/home/data", "subPath": "runs"}
    ]
    assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "sim-data"}


def test_pods_get_no_rights_that_they_do_not_need() -> None:
    spec = pod_of(make_app())["spec"]

    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["containers"][0]["securityContext"] == {"allowPrivilegeEscalation": False}


def test_patience_with_silent_nodes_is_kubernetes_own_or_the_users() -> None:
    theirs = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 99}
    app = make_app(master={"template": {"spec": {"tolerations": [theirs]}}})

    (ours,) = pod_of(make_app())["spec"]["tolerations"]
    assert ours["key"] == names.MASTER_TAINT
    assert pod_of(app)["spec"]["tolerations"] == [theirs]


def test_a_worker_goes_wherever_no_taint_keeps_it_away() -> None:
    spec = pod_of(make_app(master={"placement": {"role": "worker", "pool": "large"}}))["spec"]

    assert "affinity" not in spec
    assert spec["nodeSelector"] == {"clusterous.io.node-restriction.kubernetes.io/pool": "large"}


def test_the_overlay_cannot_take_our_labels_away() -> None:
    labels = {names.LABEL_APP: "other", "team": "x"}
    app = make_app(master={"template": {"metadata": {"labels": labels}}})

    found = pod_of(app)["metadata"]["labels"]

    assert (found[names.LABEL_APP], found["team"]) == ("sim", "x")


def test_the_controller_is_tolerated_by_role() -> None:
    spec = pod_of(make_app(master={"placement": {"role": "controller"}}))["spec"]

    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    control_plane = {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}
    assert terms == {"nodeSelectorTerms": [{"matchExpressions": [control_plane]}]}
    assert names.CONTROL_PLANE_TAINT in {one["key"] for one in spec["tolerations"]}


MASTERS = {"key": names.MASTER_TAINT, "operator": "Exists", "effect": "NoSchedule"}


@pytest.mark.parametrize("run", ["Service", "Batch"])
def test_a_master_wishes_for_the_machine_of_masters_and_needs_it_not(run: str) -> None:
    spec = pod_of(make_app(run=run))["spec"]

    affinity = spec["affinity"]["nodeAffinity"]
    (wish,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    pool = {"key": names.LABEL_POOL, "operator": "In", "values": ["master"]}
    assert wish["preference"] == {"matchExpressions": [pool]}
    assert "requiredDuringSchedulingIgnoredDuringExecution" not in affinity
    assert spec["tolerations"] == [MASTERS]
    assert "nodeSelector" not in spec


@pytest.mark.parametrize(
    "placement", [{"role": "worker"}, {"pool": "cpu"}, {"nodeSelector": {"disk": "ssd"}}]
)
def test_a_master_that_is_placed_is_there_and_not_on_the_machine_of_masters(
    placement: dict[str, Any],
) -> None:
    spec = pod_of(make_app(master={"placement": placement}))["spec"]

    assert "affinity" not in spec
    assert spec["tolerations"] == []


def test_others_are_on_the_machine_of_masters_only_by_its_name() -> None:
    placed = {"name": "db", "placement": {"pool": "master"}}
    app = make_app(workers={"replicas": 1}, components=[placed, {"name": "web"}])
    db, *others = (pod_of(app, name)["spec"] for name in ("db", "web", names.WORKERS))

    assert db["tolerations"] == [MASTERS]
    assert db["nodeSelector"] == {names.LABEL_POOL: "master"}
    assert all(one["tolerations"] == [] and "affinity" not in one for one in others)


def test_masters_are_never_two_workers_roll() -> None:
    found = wanted(make_app(workers={"replicas": 2}))

    assert found["Deployment", "sim-master"]["spec"]["strategy"] == {"type": "Recreate"}
    assert "strategy" not in found["Deployment", "sim-workers"]["spec"]


def test_a_batch_master_is_a_job() -> None:
    found = wanted(make_app(run="Batch"))

    assert found["Job", "sim-master"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert ("Deployment", "sim-master") not in found


def test_a_master_without_ports_is_found_by_its_name() -> None:
    found = wanted(make_app(master={}))

    assert found["Service", "sim-master"]["spec"]["clusterIP"] == "None"


def test_a_component_without_ports_has_no_service() -> None:
    assert ("Service", "sim-workers") not in wanted(make_app(workers={}))


def test_the_clusters_own_volume_may_be_a_folder_of_the_nodes() -> None:
    folder = {"hostPath": {"path": names.VOLUME_GATE}}
    facts = Facts(addresses={"master": "10.43.0.9"}, on_cluster_volume=True, cluster_volume=folder)
    (volume,) = [one for one in wanted(make_app(), facts).values()
                 if one["kind"] == "PersistentVolume"]  # fmt: skip

    # Where the folder is not there, for the volume is not, the kubelet starts no pod.
    assert volume["spec"]["hostPath"] == {"path": names.VOLUME_GATE, "type": "Directory"}
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert not volume["spec"].keys() & {"nfs", "mountOptions", "nodeAffinity"}


def test_the_clusters_own_volume_is_nfs_for_the_whole_namespace() -> None:
    found = wanted(make_app(), Facts(on_cluster_volume=True, cluster_volume=EFS))

    volume = found["PersistentVolume", "clusterous.lab"]
    assert volume["spec"]["nfs"] == {"server": "10.0.0.5", "path": "/"}
    assert "noresvport" in volume["spec"]["mountOptions"]
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert volume["spec"]["claimRef"]["name"] == names.CLUSTER_CLAIM
    assert names.LABEL_APP not in volume["metadata"]["labels"]
    assert (
        found["PersistentVolumeClaim", names.CLUSTER_CLAIM]["spec"]["volumeName"]
        == "clusterous.lab"
    )


@pytest.mark.parametrize(
    ("configured", "has_own", "has_shared", "told"),
    [
        pytest.param(False, False, False, False, id="no cluster volume"),
        pytest.param(True, False, False, True, id="a cluster volume"),
        pytest.param(True, True, False, False, id="began before there was one"),
        pytest.param(False, False, True, True, id="its configuration vanished"),
    ],
)
def test_an_app_stays_with_the_volume_it_began_with(
    configured: bool, has_own: bool, has_shared: bool, told: bool
) -> None:
    found = manifests.on_cluster_volume(
        configured=configured, has_own=has_own, has_shared=has_shared
    )

    assert found is told


@pytest.mark.parametrize(
    ("single_node", "mode"), [(True, "ReadWriteOnce"), (False, "ReadWriteMany")]
)
def test_a_new_claim_is_shared_between_nodes_where_there_are_several(
    single_node: bool, mode: str
) -> None:
    claim = wanted(make_app(), Facts(single_node=single_node))["PersistentVolumeClaim", "sim-data"]

    assert claim["spec"] == {
        "accessModes": [mode],
        "resources": {"requests": {"storage": "20Gi"}},
    }


def test_a_claim_of_the_users_is_only_mounted() -> None:
    app = make_app(sharedVolume={"claimName": "mine"})

    assert not any(kind.startswith("Persistent") for kind, _ in wanted(app))
    assert manifests.claim_name(app, READY) == "mine"


@pytest.mark.parametrize(
    ("region", "server"),
    [
        ("eu-west-1", "fs-1.efs.eu-west-1.amazonaws.com"),
        ("cn-north-1", "fs-1.efs.cn-north-1.amazonaws.com.cn"),
        ("eusc-de-east-1", "fs-1.efs.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_an_efs_is_found_by_its_name_in_the_region(region: str, server: str) -> None:
    app = make_app(sharedVolume={"existing": {"efs": {"fileSystemId": "fs-1"}}})

    volume = wanted(app, Facts(region=region))["PersistentVolume", "clusterous.lab.sim"]

    assert volume["spec"]["nfs"]["server"] == server


def test_an_efs_without_address_is_refused_in_words() -> None:
    app = make_app(sharedVolume={"existing": {"efs": {"fileSystemId": "fs-1"}}})

    with pytest.raises(UserError, match=r"efs\.server"):
        wanted(app, Facts())


def test_what_is_kept_is_what_is_wanted() -> None:
    app = make_app(master=MASTER, workers={})
    children = {key for key in wanted(app) if not key[0].startswith("Persistent")}

    assert manifests.kept(app, READY) == children


# What a spec may ask for beyond that.


def test_nothing_is_added_where_nothing_is_asked_for() -> None:
    pod = pod_of(make_app())
    job = wanted(make_app(run="Batch", batch={}))["Job", "sim-master"]["spec"]

    assert "annotations" not in pod["metadata"]
    assert set(pod["metadata"]["labels"]) == {
        names.LABEL_APP,
        names.LABEL_COMPONENT,
        names.LABEL_MANAGED_BY,
    }
    assert set(pod["spec"]) == {
        "enableServiceLinks",
        "automountServiceAccountToken",
        "securityContext",
        "containers",
        "volumes",
        "tolerations",
        "affinity",
        "hostAliases",
    }
    assert set(job) == {
        "parallelism",
        "completions",
        "backoffLimit",
        "suspend",
        "podFailurePolicy",
        "template",
    }


def test_placement_reaches_the_pod() -> None:
    placement = {
        "role": "controller",
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "spread": ["Zone"],
        "priorityClassName": "high",
    }
    spec = pod_of(make_app(master={"placement": placement}))["spec"]

    keys = [one["key"] for one in spec["tolerations"]]
    assert keys[:2] == [names.CONTROL_PLANE_TAINT, "gpu"]
    assert spec["priorityClassName"] == "high"
    assert spec["topologySpreadConstraints"] == [
        {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": names.selector("sim", "master")},
        }
    ]


def test_who_the_program_runs_as() -> None:
    app = make_app(
        imagePullSecrets=[{"name": "registry"}],
        sharedVolume={"fsGroup": 2000},
        master={"securityContext": {"runAsUser": 1000}},
        workers={"securityContext": {"fsGroup": 3000}},
    )

    master, workers = (pod_of(app, name)["spec"] for name in (names.MASTER, names.WORKERS))

    assert master["imagePullSecrets"] == [{"name": "registry"}]
    assert master["securityContext"] == {
        "seccompProfile": {"type": "RuntimeDefault"},
        "fsGroupChangePolicy": "OnRootMismatch",
        "fsGroup": 2000,
        "runAsUser": 1000,
    }
    assert workers["securityContext"]["fsGroup"] == 3000


@pytest.mark.parametrize(
    ("logging", "labels"),
    [
        pytest.param({}, {"logging": "true", "log-format": "text"}, id="as usual"),
        pytest.param(
            {"enabled": False, "format": "JSON"},
            {"logging": "false", "log-format": "json"},
            id="not",
        ),
    ],
)
def test_the_log_pipeline_is_told(logging: dict[str, Any], labels: dict[str, str]) -> None:
    found = pod_of(make_app(logging=logging))["metadata"]["labels"]

    assert {f"clusterous.io/{key}": value for key, value in labels.items()}.items() <= found.items()


@pytest.mark.parametrize(
    ("drain", "hook"),
    [
        pytest.param(
            {"httpGet": {"port": 80, "path": "/end"}},
            {"httpGet": {"port": 80, "path": "/end"}},
            id="http",
        ),
        pytest.param(
            {"exec": {"command": ["end", "now"]}}, {"exec": {"command": ["end", "now"]}}, id="exec"
        ),
    ],
)
def test_a_pod_is_asked_to_finish(drain: dict[str, Any], hook: dict[str, Any]) -> None:
    spec = pod_of(make_app(master={"drain": {**drain, "deadlineSeconds": 60}}))["spec"]

    assert spec["containers"][0]["lifecycle"] == {"preStop": hook}
    assert spec["terminationGracePeriodSeconds"] > 60


def test_the_users_overlay_has_the_last_word() -> None:
    drain = {"exec": {"command": ["end"]}}
    overlay = {"spec": {"terminationGracePeriodSeconds": 5, "priorityClassName": "theirs"}}
    master = {"drain": drain, "placement": {"priorityClassName": "ours"}, "template": overlay}
    spec = pod_of(make_app(master=master))["spec"]

    assert spec["terminationGracePeriodSeconds"] == 5
    assert spec["priorityClassName"] == "theirs"


# Said also where nobody asks for it, so that `kubectl rollout pause` is put back.
ROLLS = {"paused": False}


@pytest.mark.parametrize(
    ("component", "strategy", "found"),
    [
        pytest.param("master", {}, {"strategy": {"type": "Recreate"}, **ROLLS}, id="master"),
        pytest.param(
            "master",
            {"paused": True},
            {"strategy": {"type": "Recreate"}, "paused": True},
            id="paused master",
        ),
        pytest.param("workers", {}, ROLLS, id="as Deployments do"),
        pytest.param(
            "workers", {"type": "RollingUpdate"}, ROLLS, id="the default, as the API sets it"
        ),
        pytest.param(
            "workers",
            {"maxSurge": 0, "maxUnavailable": "10%"},
            {
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "10%"},
                },
                **ROLLS,
            },
            id="shares",
        ),
        pytest.param(
            "workers",
            {"type": "Recreate"},
            {"strategy": {"type": "Recreate", "rollingUpdate": None}, **ROLLS},
            id="all at once",
        ),
    ],
)
def test_a_change_reaches_the_pods_as_told(
    component: str, strategy: dict[str, Any], found: dict[str, Any]
) -> None:
    number = {"replicas": 2} if component == "workers" else {}
    told = {component: {**MASTER, **number, "strategy": strategy}}
    app = make_app(**({"workers": {"replicas": 2}} | told))

    spec = wanted(app, READY_TWO)["Deployment", f"sim-{component}"]["spec"]

    assert {key: spec[key] for key in ("strategy", "paused") if key in spec} == found


@pytest.mark.parametrize(
    ("strategy", "found"),
    [
        pytest.param({}, {"maxSurge": 0, "maxUnavailable": "25%"}, id="there is no room for more"),
        pytest.param({"maxSurge": 1}, {"maxSurge": 1}, id="the user knows better"),
    ],
)
def test_what_fills_the_cluster_makes_room_for_its_own_update(
    strategy: dict[str, Any], found: dict[str, Any]
) -> None:
    app = make_app(workers={**MASTER, "strategy": strategy})

    spec = wanted(app, READY_TWO)["Deployment", "sim-workers"]["spec"]

    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": found}


READY_TWO = Facts(
    addresses={"master": "10.43.0.9", "workers": "10.43.0.10"},
    replicas={"master": 1, "workers": 2},
)


def native(*rules: dict[str, Any]) -> Any:
    """Return the rules of a Job's own, without the first, which every Job has."""
    given = {"failurePolicy": {"rules": list(rules)}} if rules else {}
    app = make_app(run="Batch", **given)
    first, *rest = wanted(app)["Job", "sim-master"]["spec"]["podFailurePolicy"]["rules"]
    on = [{"type": "DisruptionTarget", "status": "True"}]
    assert first == {"action": "Ignore", "onPodConditions": on}
    return rest


def test_what_the_cluster_does_to_a_pod_is_no_try_of_its_program() -> None:
    assert native() == []
    assert native({"action": "Fail", "exitCodes": [143]}) == [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [143]}}
    ]


def test_a_job_does_itself_what_it_can_about_exit_codes() -> None:
    found = native(
        {"action": "RestartGroup", "exitCodes": [3]},
        {"action": "Ignore", "exitCodes": [5, 3, 4]},
        {"action": "Fail", "exitCodes": [9], "components": ["workers"]},
        {"action": "Fail", "exitCodes": [8, 5]},
    )

    assert found == [
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [4, 5]}},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [8]}},
    ]


def test_a_code_may_not_fail_a_job_that_an_earlier_rule_may_start_again() -> None:
    by_reason = {"action": "RestartGroup", "reasons": ["OOMKilled"]}

    assert native(by_reason, {"action": "Fail", "exitCodes": [137]}) == []


def test_a_new_attempt_is_another_pod_and_another_run_of_a_job() -> None:
    again = Facts(addresses=READY.addresses, replicas=READY.replicas, attempts={"master": 2})
    app, job = make_app(), make_app(run="Batch")

    assert pod_of(app, facts=again)["metadata"]["annotations"] == {"clusterous.io/restarts": "2"}
    first, second = (wanted(job, facts)["Job", "sim-master"] for facts in (READY, again))
    key = names.ANNOTATION_RUN
    assert first["metadata"]["annotations"][key] != second["metadata"]["annotations"][key]


def test_the_run_of_a_job_is_what_it_was_before_there_were_policies() -> None:
    """Were it another, an operator of a newer release would run all batches again."""
    job = wanted(make_app(run="Batch"))["Job", "sim-master"]

    assert job["metadata"]["annotations"][names.ANNOTATION_RUN] == "a0fbecce13a7a400"


def test_children_inherit_what_the_reader_kept() -> None:
    body = make_body(master=MASTER)
    body["metadata"] |= {
        "labels": {"team": "blue"},
        "annotations": {"cost": "7", names.ANNOTATION_RESUME: "1"},
    }
    found = wanted(models.parse(body))

    pod = found["Deployment", "sim-master"]["spec"]["template"]
    claim = found["PersistentVolumeClaim", "sim-data"]
    for one in (pod, claim, found["Service", "sim-master"], found["Deployment", "sim-master"]):
        assert one["metadata"]["labels"]["team"] == "blue"
        assert one["metadata"]["annotations"]["cost"] == "7"
        assert names.ANNOTATION_RESUME not in one["metadata"]["annotations"]


def test_nothing_but_data_is_wanted_of_what_was_cleared_away() -> None:
    gone = Facts(cleared=True)

    assert {kind for kind, _ in wanted(make_app(), gone)} == {"PersistentVolumeClaim"}
    assert manifests.kept(make_app(), gone) == frozenset()


@pytest.mark.parametrize(
    "source",
    [
        pytest.param({"nfs": {"server": "10.0.0.5"}}, id="nfs"),
        pytest.param({"efs": {"fileSystemId": "fs-0123456789abcdef0", "server": "a"}}, id="efs"),
        pytest.param(None, id="the cluster's own"),
    ],
)
def test_what_programs_write_makes_nobody_root_on_a_machine(source: dict[str, Any] | None) -> None:
    app = make_app() if source is None else make_app(sharedVolume={"existing": source})
    facts = Facts(on_cluster_volume=source is None, cluster_volume=EFS)
    (volume,) = [one for one in wanted(app, facts).values() if one["kind"] == "PersistentVolume"]

    assert {"nosuid", "nodev"} <= set(volume["spec"]["mountOptions"])

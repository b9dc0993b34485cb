"""The chart of central logging: clean, whole for each store, and closed to whom it is not for."""

import base64
import functools
import re
import subprocess
from typing import Any

import pytest
import yaml

from clusterous_api import names
from tests.contract import charting

Object = dict[str, Any]

SPACE = "clusterous-logging"
LIGHT = ()
EFK = ("store=efk",)
# In the form that klog documents: a letter, month and day, time, thread, file and line.
KLOG: dict[str, str | None] = {
    'E1130 10:00:00.123456     512 kubelet.go:2626] "Housekeeping took too long"': "error",
    'W1130 10:00:00.123456     512 warnings.go:70] "ERROR is but a word here"': "warn",
    'I1130 10:00:00.123456       1 server.go:677] "Version info" version="v1.35.1"': "info",
    "F1130 10:00:00.123456       1 run.go:72] command failed": "fatal",
    "E113 10:00:00.123456 too short": None,
    "EOF1130 10:00:00.123456 is no head": None,
}
YOURS = ("store=yours", "yours.url=https://logs.example.org:9200", "yours.secret=mine")
OPEN = (*YOURS, "yours.flavor=opensearch", "yours.ownAuthority=true")
SYSTEM = ("level=2",)
STORES = [
    pytest.param(LIGHT, id="light"),
    pytest.param((*LIGHT, *SYSTEM), id="light, system"),
    pytest.param(EFK, id="efk"),
    pytest.param((*EFK, *SYSTEM), id="efk, system"),
    pytest.param(YOURS, id="an Elasticsearch of yours"),
    pytest.param(OPEN, id="an OpenSearch of yours"),
]


@functools.cache
def render(*values: str) -> list[Object]:
    return charting.render(*values, chart=charting.LOGGING, namespace=SPACE)


def one(manifests: list[Object], kind: str, name: str) -> Object:
    (found,) = [
        each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name
    ]
    return found


def pods(manifests: list[Object]) -> dict[str, Object]:
    """Return the templates of pods by the component that they are."""
    return {
        each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"][
            "template"
        ]
        for each in manifests
        if each["kind"] in ("Deployment", "DaemonSet", "StatefulSet", "Job")
    }


def containers_of(pod: Object) -> list[Object]:
    return [*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())]


def containers(manifests: list[Object]) -> list[Object]:
    return [one for pod in pods(manifests).values() for one in containers_of(pod)]


def config(manifests: list[Object], component: str) -> Object:
    """Return the configuration of a collector of OpenTelemetry."""
    data = one(manifests, "ConfigMap", f"clusterous-logs-{component}")["data"]
    read: Object = yaml.safe_load(data["collector.yaml"])
    return read


def test_passes_helms_own_check() -> None:
    command = [charting.helm(), "lint", "--strict", str(charting.LOGGING)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("values", "why"),
    [
        pytest.param(("store=loki",), "store", id="another store"),
        pytest.param(("level=3",), "level", id="another level"),
        pytest.param(("sizeGiB=0",), "sizeGiB", id="no room"),
        pytest.param(("retention=7d",), "retention", id="a key that is none"),
        pytest.param(("store=yours",), "url", id="no place"),
        pytest.param(("store=yours", "yours.url=https://x.org/path", "yours.secret=m"), "url"),
        pytest.param(("store=yours", "yours.url=https://x.org"), "secret", id="no login"),
        pytest.param(("pages={10.42.0.0/16}",), "pages", id="the pod network"),
    ],
)
def test_refuses_values_that_it_cannot_use(values: tuple[str, ...], why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        render(*values)


@pytest.mark.parametrize("values", STORES)
def test_is_whole_for_each_store(values: tuple[str, ...]) -> None:
    manifests = render(*values)

    expected = {"collector", "syslog", *({"store"} if "store=" not in str(values) else {"setup"})}
    expected |= {"events"} if "level=2" in values else set()
    assert set(pods(manifests)) == expected
    configs = {
        each["metadata"]["name"]: each["data"] for each in manifests if each["kind"] == "ConfigMap"
    }
    for pod in pods(manifests).values():
        for volume in pod["spec"]["volumes"]:
            if "configMap" in volume:
                assert volume["configMap"]["name"] in configs
        mounted = {mount["name"] for each in containers_of(pod) for mount in each["volumeMounts"]}
        assert mounted <= {one["name"] for one in pod["spec"]["volumes"]} | {"data"}
    policies = {each["metadata"]["name"] for each in manifests if each["kind"] == "NetworkPolicy"}
    assert {"clusterous-logs-collector", "central-logging"} <= policies


@pytest.mark.parametrize("values", STORES)
def test_selectors_find_the_pods(values: tuple[str, ...]) -> None:
    manifests = render(*values)

    for each in manifests:
        if each["kind"] in ("Deployment", "DaemonSet", "StatefulSet"):
            wanted = each["spec"]["selector"]["matchLabels"]
            assert wanted.items() <= each["spec"]["template"]["metadata"]["labels"].items()
        if each["kind"] == "Service":
            found = [
                pod
                for pod in pods(manifests).values()
                if each["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
            ]
            assert len(found) == 1
    components = {"collector", "syslog", "setup"} & set(pods(manifests))
    for each in manifests:
        if each["kind"] == "NetworkPolicy":
            chosen = each["spec"]["podSelector"]["matchLabels"].get("app.kubernetes.io/component")
            assert chosen in (None, "store", *components)


@pytest.mark.parametrize("values", STORES)
def test_is_confined(values: tuple[str, ...]) -> None:
    manifests = render(*values)

    for pod in pods(manifests).values():
        assert "hostNetwork" not in pod["spec"]
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(manifests):
        rights = container["securityContext"]
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["capabilities"]["drop"] == ["ALL"]
        assert "memory" in container["resources"]["limits"]
    hosts = {
        volume["hostPath"]["path"]
        for pod in pods(manifests).values()
        for volume in pod["spec"]["volumes"]
        if "hostPath" in volume
    }
    assert "/" not in hosts or "level=2" in values


def test_the_roles_read_pods_and_no_more() -> None:
    rules = [each["rules"] for each in render() if each["kind"] in ("ClusterRole", "Role")]

    assert rules == [
        [
            {
                "apiGroups": [""],
                "resources": ["pods", "namespaces"],
                "verbs": ["get", "list", "watch"],
            }
        ]
    ]


# -- whose a record is ----------------------------------------------------------------------


def test_the_pods_of_every_app_are_collected_unless_it_says_no() -> None:
    read = config(render(), "collector")

    labels = read["processors"]["k8s_attributes"]["extract"]["labels"]
    assert {one["tag_name"]: one["key"] for one in labels} == {
        "app": names.LABEL_APP,
        "component": names.LABEL_COMPONENT,
        "logging": names.LABEL_LOGGING,
    }
    assert read["processors"]["filter/apps"]["log_conditions"] == [
        'resource.attributes["logging"] == "false"',
        'resource.attributes["app"] == nil',
    ]


def test_the_second_level_takes_the_system_along() -> None:
    first, second = config(render(), "collector"), config(render(*SYSTEM), "collector")

    assert "/var/log/pods/kube-system_*/*/*" in first["receivers"]["file_log/pods"]["exclude"]
    assert "journald" not in first["receivers"]
    assert "kube-system" not in str(second["receivers"]["file_log/pods"]["exclude"])
    journal = second["receivers"]["journald"]
    assert (journal["root_path"], journal["journalctl_path"]) == ("/host", "/usr/bin/journalctl")
    (container,) = pods(render(*SYSTEM))["collector"]["spec"]["containers"]
    assert container["securityContext"]["capabilities"]["add"] == ["SYS_CHROOT"]


@pytest.mark.parametrize("values", STORES)
def test_nothing_collects_what_it_says_itself(values: tuple[str, ...]) -> None:
    data = one(render(*values), "ConfigMap", "clusterous-logs-collector")["data"]

    assert "clusterous-logs-*" in str(data)
    assert all(
        each["metadata"]["name"].startswith("clusterous-logs-")
        for each in render(*values)
        if each["kind"] in ("Deployment", "DaemonSet", "StatefulSet", "Job")
        and each["metadata"]["name"] != "cluster-events"
    )


def test_events_are_said_by_one_reader_whose_words_are_collected() -> None:
    assert "cluster-events" not in str(render())

    manifests = render(*SYSTEM)

    spec = one(manifests, "Deployment", "cluster-events")["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    read = config(manifests, "collector")
    assert f"|{SPACE})$" in read["processors"]["filter/apps"]["log_conditions"][1]
    assert "cluster-events" not in str(read["receivers"]["file_log/pods"]["exclude"])
    (role,) = [each for each in manifests if each["kind"] == "Role"]
    named = [rule.get("resourceNames") for rule in role["rules"]]
    assert named == [["clusterous-logs-events"], None]
    assert role["rules"][1]["verbs"] == ["create"]


# -- what is lost, and when -----------------------------------------------------------------


@pytest.mark.parametrize("component", ["collector", "syslog"])
def test_what_the_store_does_not_take_waits_on_the_disk(component: str) -> None:
    read = config(render(), component)

    exporter = read["exporters"]["otlp_http/store"]
    assert exporter["retry_on_failure"]["max_elapsed_time"] == 0
    assert exporter["retry_on_failure"]["max_interval"] == "5s"
    queue = exporter["sending_queue"]
    assert (queue["storage"], queue["block_on_overflow"]) == ("file_storage/queue", True)
    for name, receiver in read["receivers"].items():
        assert receiver["retry_on_failure"] == {"enabled": True, "max_elapsed_time": 0}, name


def test_a_checkpoint_that_broke_with_its_machine_is_begun_anew() -> None:
    for component in ("collector", "syslog"):
        extensions = config(render(), component)["extensions"]
        stored = [one for name, one in extensions.items() if name.startswith("file_storage")]
        assert stored
        assert all(one["recreate"] is True for one in stored)


def test_the_store_keeps_days_and_its_volume_from_being_full() -> None:
    manifests = render("sizeGiB=10", "retentionDays=3")

    store = one(manifests, "StatefulSet", "clusterous-logs-store")["spec"]
    (container,) = store["template"]["spec"]["containers"]
    assert "-retentionPeriod=3d" in container["args"]
    assert "-retention.maxDiskSpaceUsageBytes=8192MiB" in container["args"]
    assert "-inmemoryDataFlushInterval=1s" in container["args"]
    (claim,) = store["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "10Gi"}
    assert "storageClassName" not in claim["spec"]


# -- syslog ---------------------------------------------------------------------------------


@pytest.mark.parametrize("values", STORES)
def test_a_line_by_syslog_is_whose_address_it_comes_from(values: tuple[str, ...]) -> None:
    manifests = render(*values)

    service = one(manifests, "Service", "central-logging")["spec"]
    assert "type" not in service
    assert {(port["port"], port["protocol"]) for port in service["ports"]} == {
        (5514, "TCP"),
        (5514, "UDP"),
    }
    read = config(manifests, "syslog")
    attributes = read["processors"]["k8s_attributes"]
    assert "filter" not in attributes, "the pods of all nodes"
    assert attributes["pod_association"] == [
        {"sources": [{"from": "resource_attribute", "name": "k8s.pod.ip"}]}
    ]
    # An address that another pod takes over is that one's at once. Without pods nobody is known.
    assert attributes["pod_delete_grace_period"] == "0s"
    assert attributes["wait_for_metadata"] is True
    told = {each["tag_name"]: each["key"] for each in attributes["extract"]["labels"]}
    assert told == {"app": names.LABEL_APP, "component": names.LABEL_COMPONENT}
    for protocol in ("tcp", "udp"):
        receiver = read["receivers"][f"{protocol}_log"]
        assert receiver["add_attributes"] is True
        moved = [each for each in receiver["operators"] if each.get("id") == "sender"]
        assert moved[0]["from"] == 'attributes["net.peer.ip"]'
        assert moved[0]["to"] == 'resource["k8s.pod.ip"]'
    chain = read["service"]["pipelines"]["logs"]["processors"]
    assert chain.index("k8s_attributes") == 1, "at receipt, before anything waits"
    (nobody, *_) = read["processors"]["resource/sender"]["attributes"]
    assert nobody == {"key": "app", "value": "unknown", "action": "insert"}


LINES = {
    "<13>1 2026-11-30T10:00:00.5+09:00 host sim 17 - - a line": "a line",
    '<13>1 2026-11-30T10:00:00Z host sim - ID [x@1 k="v"] told': "told",
    "<13>1 - - - - - -": None,
    "<13>Nov 30 10:00:00 host sim: a line": "a line",
    "<13>Nov  3 10:00:00 host sim[17]: a line": "a line",
    "<13>2026-11-30T10:00:00.5+09:00 host sim: a line": "a line",
    "83 <13>1 2026-11-30T10:00:00Z host sim - - - counted": "counted",
    "83 <13>Nov 30 10:00:00 host sim: counted": "counted",
    "<13>no header at all": None,
    "without a priority": None,
}


@pytest.mark.parametrize("line", LINES)
def test_each_dialect_of_syslog_is_read(line: str) -> None:
    operators = config(render(), "syslog")["receivers"]["tcp_log"]["operators"]
    named = {each.get("id"): each for each in operators}
    routes = named["dialect"]["routes"]

    way = next(
        (
            route["output"]
            for route in routes
            if re.search(re.findall("`(.*)`", route["expr"])[0], line)
        ),
        None,
    )
    found = re.search(named[way]["regex"], line) if way else None

    assert (found["text"] if found else None) == LINES[line]
    # What is in no form goes on as it is, whole.
    assert all(named[each]["on_error"] == "send_quiet" for each in ("rfc5424", "rfc3164"))
    assert named["dialect"]["default"] == "peer"


# -- what is one record ---------------------------------------------------------------------


def operators() -> dict[str, Object]:
    found = config(render(), "collector")["receivers"]["file_log/pods"]["operators"]
    return {each["id"]: each for each in found}


@pytest.mark.parametrize(
    ("line", "part", "text"),
    [
        ("2026-11-30T10:00:00.123456789Z stdout F a line", "F", "a line"),
        ("2026-11-30T19:00:00.123456789+09:00 stderr P half", "P", "half"),
        ("2026-11-30T10:00:00Z stdout F   indented ", "F", "  indented "),
        ("2026-11-30T10:00:00Z stdout F ", "F", ""),
        ("2026-11-30T10:00:00Z stdout F", "F", ""),
    ],
)
def test_a_line_of_the_runtime_is_read_in_any_zone(line: str, part: str, text: str) -> None:
    read = operators()["line"]

    found = re.search(read["regex"], line)

    assert found is not None
    assert (found["part"], found["text"]) == (part, text)
    assert read["timestamp"]["layout"].endswith("Z07:00")


@pytest.mark.parametrize(("line", "level"), KLOG.items())
@pytest.mark.parametrize("receiver", ["journald", "file_log/pods"])
def test_what_kubernetes_says_of_a_line_is_its_level(
    receiver: str, line: str, level: str | None
) -> None:
    known = config(render(*SYSTEM), "collector")["receivers"][receiver]["operators"]
    ids = [each["id"] for each in known]

    found = [
        each["value"]
        for each in known
        if each["id"].startswith("klog-") and re.search(re.findall("`(.*)`", each["if"])[0], line)
    ]

    assert found == ([level] if level else [])
    assert all(each["field"] == "attributes.level" for each in known if "klog-" in each["id"])
    # After what a journal says of itself, before the first word that is found in a line.
    first, last = ids.index("klog-error"), max(n for n, one in enumerate(ids) if "klog-" in one)
    assert ("priority" not in ids) or ids.index("priority") < first
    assert ("words" not in ids) or last < ids.index("words")
    assert ("message" not in ids) or last < ids.index("message"), "it is its body from then on"


def test_a_stream_is_one_containers_alone() -> None:
    known = operators()

    assert "resource.uid" in known["source"]["value"]
    assert "attributes.stream" in known["source"]["value"]
    joining = [each for each in known.values() if each["type"] == "recombine"]
    assert [each["id"] for each in joining] == ["parts", "java", "traces", "chains"]
    assert all(each["source_identifier"] == "attributes.source" for each in joining)
    # What matches nothing is not held for what may come.
    assert all(known[name]["max_unmatched_batch_size"] == 1 for name in ("java", "traces"))


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (
            "/var/log/pods/lab_sim-workers-x_0a1b-2c/workers/3.log",
            ("lab", "sim-workers-x", "0a1b-2c", "workers", "3"),
        ),
        (
            "/var/log/pods/lab_sim.x_0a1b/my.container/0.log.20261130-101500",
            ("lab", "sim.x", "0a1b", "my.container", "0"),
        ),
    ],
)
def test_a_files_path_says_whose_it_is(path: str, told: tuple[str, ...]) -> None:
    found = re.search(operators()["path"]["regex"], path)

    assert found is not None
    assert tuple(found[key] for key in ("namespace", "pod", "uid", "container", "restart")) == told


# -- who gets in ----------------------------------------------------------------------------


def admitted(manifests: list[Object], policy: str) -> list[Object]:
    (rule,) = one(manifests, "NetworkPolicy", policy)["spec"]["ingress"]
    found: list[Object] = rule.get("from", [])
    return found


def test_the_store_is_for_its_collectors_and_the_page_for_the_controllers_alone() -> None:
    closed, opened = render(), render("pages={10.42.0.0/32,10.42.0.1/32}")

    (collectors,) = admitted(closed, "clusterous-logs-store")
    chosen = {each["key"]: each["values"] for each in collectors["podSelector"]["matchExpressions"]}
    assert chosen["app.kubernetes.io/component"] == ["collector", "syslog"]
    assert admitted(opened, "clusterous-logs-store")[1:] == [
        {"ipBlock": {"cidr": "10.42.0.0/32"}},
        {"ipBlock": {"cidr": "10.42.0.1/32"}},
    ]


def test_ecks_operator_is_known_by_the_label_that_every_namespace_bears() -> None:
    found = admitted(render(*EFK), "clusterous-logs-elasticsearch")

    spaces = [each["namespaceSelector"] for each in found if "namespaceSelector" in each]
    assert spaces == [{"matchLabels": {"kubernetes.io/metadata.name": "elastic-system"}}]


@pytest.mark.parametrize("values", [LIGHT, EFK])
def test_a_store_of_ours_has_a_password(values: tuple[str, ...]) -> None:
    manifests = render(*values)

    said = one(manifests, "Secret", "clusterous-logs-auth")["stringData"]
    assert len(said["password"]) == 32
    told = base64.b64decode(said["authorization"].removeprefix("Basic ")).decode()
    assert told == f"{said['username']}:{said['password']}"


def test_a_secret_of_yours_takes_the_place_of_ours() -> None:
    manifests = render("existingSecret=mine")

    assert [each for each in manifests if each["kind"] == "Secret"] == []
    assert "mine" in str(one(manifests, "StatefulSet", "clusterous-logs-store"))


def test_of_a_store_of_yours_nothing_is_on_the_cluster() -> None:
    manifests = render(*YOURS)

    kinds = {each["kind"] for each in manifests}
    assert kinds.isdisjoint({"Secret", "StatefulSet", "Elasticsearch", "Kibana"})
    assert {
        env["valueFrom"]["secretKeyRef"]["name"]
        for container in containers(manifests)
        for env in container.get("env", ())
        if "secretKeyRef" in env.get("valueFrom", {})
    } == {"mine"}


# -- Elasticsearch and its like -------------------------------------------------------------


def test_elasticsearch_is_one_node_on_a_disk_of_its_own() -> None:
    spec = one(render(*EFK), "Elasticsearch", "clusterous")["spec"]

    (nodes,) = spec["nodeSets"]
    assert nodes["count"] == 1
    assert nodes["config"]["node.store.allow_mmap"] is False
    assert nodes["config"]["action.auto_create_index"].startswith("-clusterous-logs,")
    (container,) = nodes["podTemplate"]["spec"]["containers"]
    assert container["resources"]["requests"]["memory"] == "2Gi"
    kibana = one(render(*EFK), "Kibana", "clusterous")["spec"]
    assert kibana["elasticsearchRef"] == {"name": "clusterous"}
    assert "tls" not in kibana.get("http", {}), "ECK's own, which is on"


def setup(manifests: list[Object], name: str) -> Any:
    text = one(manifests, "ConfigMap", "clusterous-logs-setup")["data"][name]
    return yaml.safe_load(text) if name.endswith(".json") else text


@pytest.mark.parametrize(
    ("values", "kind", "lifecycle"),
    [
        pytest.param(EFK, "flattened", "clusterous-logs", id="efk"),
        pytest.param(YOURS, "flattened", "clusterous-logs", id="an Elasticsearch of yours"),
        pytest.param(OPEN, "flat_object", None, id="an OpenSearch of yours"),
    ],
)
def test_what_programs_say_is_under_one_field_and_makes_no_other(
    values: tuple[str, ...], kind: str, lifecycle: str | None
) -> None:
    manifests = render(*values)

    template = setup(manifests, "template.json")["template"]
    assert template["mappings"]["dynamic"] is False
    assert template["mappings"]["properties"]["fields"]["type"] == kind
    assert template["settings"].get("index.lifecycle.name") == lifecycle
    assert ("_ilm" in setup(manifests, "setup.sh")) is (lifecycle is not None)


def test_an_index_is_deleted_when_its_newest_record_is_as_old_as_was_asked() -> None:
    policy = setup(render(*EFK, "retentionDays=7"), "lifecycle.json")["policy"]["phases"]

    assert policy["hot"]["actions"]["rollover"]["max_age"] == "1d"
    assert policy["delete"]["min_age"] == "7d"


def test_collectors_wait_for_the_template() -> None:
    (wait,) = pods(render(*EFK))["collector"]["spec"]["initContainers"]

    assert wait["command"] == ["sh", "/setup/wait.sh"]
    script = setup(render(*EFK), "setup.sh")
    assert script.index("_index_template/") < script.index("_data_stream/")


def test_another_template_is_another_job() -> None:
    values = ((*EFK,), (*EFK, "level=2"), (*EFK, "retentionDays=8"))
    jobs = [
        each["metadata"]["name"]
        for chosen in values
        for each in render(*chosen)
        if each["kind"] == "Job"
    ]

    assert jobs[0] == jobs[1] != jobs[2]

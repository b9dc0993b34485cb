"""Environment → ClusterousApp: components, shares of nodes, ports, names."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterous_api import models
from clusterous_api.errors import UserError
from clusterous_cli.program import convert, envfile
from clusterous_cli.program.convert import Machine
from clusterous_cli.program.envfile import Component, Environment, Port, Tunnel

GIB = 1 << 30
MACHINES = {
    "master": Machine(nodes=1, cpu_millis=2000, free_millis=1700, free_bytes=3 * GIB),
    "worker": Machine(nodes=3, cpu_millis=4000, free_millis=3900, free_bytes=12 * GIB),
}


def component(name: str, machine: str = "master", **changes: Any) -> Component:
    values: dict[str, Any] = {"image": "python", "cpu": "auto", **changes}
    return Component(name=name, machine=machine, **values)


def converted(*components: Component, **more: Any) -> dict[str, Any]:
    environment = Environment(name="app", components=components, **more)
    return convert.convert(environment, MACHINES, {}).manifest


def test_what_is_for_masters_is_on_workers_where_there_is_no_machine_for_them() -> None:
    here = Environment(
        name="app", components=(component("m", cpu=1), component("w", "worker", cpu=1))
    )
    machines = {"worker": MACHINES["worker"]}

    spec = convert.convert(here, machines, {}).manifest["spec"]

    both = [
        *spec.get("components", ()),
        *(spec[one] for one in ("master", "workers") if one in spec),
    ]
    assert [one["placement"] for one in both] == [{"role": "worker"}] * 2
    # What was run before is known by the file, wherever it ran.
    sources = {convert.convert(here, one, {}).manifest["metadata"]["annotations"][
        convert.ANNOTATION_SOURCE] for one in (machines, MACHINES)}  # fmt: skip
    assert len(sources) == 1


def test_nothing_is_on_the_controller_that_does_not_name_it() -> None:
    assert convert.placement("controller") == {"role": "controller"}
    assert convert.placement("master") == {"pool": "master"}
    assert convert.placement("worker") == {"role": "worker"}


def notes(*components: Component) -> tuple[str, ...]:
    return convert.convert(Environment(name="a", components=components), MACHINES, {}).notes


def test_converts_the_example() -> None:
    path = Path(__file__).parents[4] / "examples/montecarlo/environment.yml"
    environment = envfile.parse(path.read_text(), "f")
    image = "registry.example/reef/montecarlo:src-1"

    app = convert.convert(environment, MACHINES, {"registry:5000/montecarlo:v1": image}).manifest

    assert app["spec"] == {
        "run": "Service",
        "master": {
            "image": image,
            "placement": {"pool": "master"},
            "resources": {
                "requests": {"cpu": "1700m", "memory": "3072Mi"},
                "limits": {"memory": "3072Mi"},
            },
            "command": ["/bin/sh", "-c", "python -m montecarlo.master --stay"],
            "ports": [{"name": "p8080", "port": 8080, "targetPort": 8080}],
        },
        "workers": {
            "image": image,
            "placement": {"role": "worker"},
            "resources": {
                "requests": {"cpu": "480m", "memory": "1536Mi"},
                "limits": {"memory": "1536Mi"},
            },
            "command": ["/bin/sh", "-c", "python -m montecarlo.worker"],
            "headless": True,
            "aliases": ["worker"],
            "dependsOn": [{"name": "master", "until": "Ready"}],
        },
        "expose": [
            {
                "name": "master-8080",
                "component": "master",
                "port": "p8080",
                "localPort": 8080,
                "message": "The job page: {url}",
            }
        ],
    }
    assert models.parse(app).name == "montecarlo"


def test_others_than_master_and_workers_have_their_names() -> None:
    found = converted(component("master"), component("worker", "worker"), component("Big_Ones"))

    assert set(found["spec"]) == {"run", "master", "workers", "components"}
    assert [one["name"] for one in found["spec"]["components"]] == ["big-ones"]


def test_what_it_makes_is_what_the_crd_knows() -> None:
    crd = yaml.safe_load((Path(__file__).parents[4] / "crds/clusterousapps.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    app = converted(
        component("master", ports=(Port(host=80, container=81),), cmd="x"),
        component("db", host_network=True, depends=("master",), count=2),
        component("engine", "worker", cpu=1.0, count="auto"),
        tunnels=(Tunnel(local=1, component="db", remote=2, message="m"),),
    )

    assert unknown(app, schema) == []


def unknown(value: Any, schema: dict[str, Any], path: str = "") -> list[str]:
    """The keys in *value* that the schema does not know."""
    if schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema:
        return []
    if isinstance(value, list):
        return [found for item in value for found in unknown(item, schema["items"], path)]
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    known = schema["properties"]
    strangers = [f"{path}.{key}" for key in value if key not in known]
    deeper = [unknown(value[key], known[key], f"{path}.{key}") for key in value if key in known]
    return strangers + [found for one in deeper for found in one]


@pytest.mark.parametrize(
    ("components", "titles"),
    [
        pytest.param([("master", 1), ("worker", "auto")], ["master", "workers"], id="usual"),
        pytest.param([("web", 1), ("engine", "auto")], ["web", "workers"], id="one-that-fills"),
        pytest.param([("master", 1), ("worker", 3)], ["master", "workers"], id="fixed-workers"),
        pytest.param(
            [("worker", 1), ("engine", "auto")], ["worker", "workers"], id="filling-goes-first"
        ),
        pytest.param([("a", "auto"), ("b", "auto")], ["workers", "b"], id="two-that-fill"),
        pytest.param([("My_DB", 1), ("my.db", 1)], ["my-db", "my-db-2"], id="legal-names"),
        pytest.param([("3d", 1)], ["x3d"], id="begins-with-a-letter"),
        pytest.param([("master", 2)], ["master-2"], id="several-masters"),
        pytest.param([("workers", 1), ("e", "auto")], ["workers", "e"], id="called-so"),
        pytest.param([("My_DB", 1), ("my-db", 1)], ["my-db-2", "my-db"], id="nobody-elses-name"),
    ],
)
def test_names_the_components(components: list[tuple[str, Any]], titles: list[str]) -> None:
    given = [component(name, count=count, cpu=1.0) for name, count in components]

    assert list(convert.component_titles(given).values()) == titles


def test_titles_fit_the_crd() -> None:
    given = [component(f"a-very-long-name-of-a-component-{n}") for n in range(16)]

    titles = convert.component_titles(given).values()
    assert len(set(titles)) == 16
    assert all(len(title) <= 20 for title in titles)


def test_shares_a_machine_between_its_components() -> None:
    spec = converted(component("master"), component("db"))["spec"]

    half = {"cpu": "850m", "memory": "1536Mi"}
    assert spec["master"]["resources"]["requests"] == half
    assert spec["components"][0]["resources"]["requests"] == half


@pytest.mark.parametrize(
    ("cpu", "millis", "memory"),
    [
        pytest.param(1.0, "970m", "3072Mi", id="a-little-smaller-but-still-four"),
        pytest.param(4.0, "3900m", "12288Mi", id="the-whole-node"),
        pytest.param(1.5, "1500m", "4608Mi", id="with-rest"),
        pytest.param(0.25, "240m", "768Mi", id="sixteen"),
    ],
)
def test_sizes_what_fills_as_the_predecessor_did(cpu: float, millis: str, memory: str) -> None:
    workers = converted(component("engine", "worker", cpu=cpu, count="auto"))["spec"]["workers"]

    assert workers["resources"]["requests"] == {"cpu": millis, "memory": memory}
    assert "replicas" not in workers


def test_a_second_component_that_fills_its_machines_goes_on_doing_so() -> None:
    spec = converted(
        component("a", "worker", cpu=1.0, count="auto"), component("b", cpu=1.0, count="auto")
    )["spec"]

    assert spec["components"][0]["fill"] is True
    assert "replicas" not in spec["components"][0]


def test_fixed_counts_stay() -> None:
    spec = converted(component("worker", "worker", cpu=1.0, count=3), component("db", count=2))

    assert spec["spec"]["workers"]["replicas"] == 3
    assert spec["spec"]["components"][0]["replicas"] == 2


def test_refuses_more_cpu_than_a_node_has() -> None:
    with pytest.raises(UserError, match=r"wants 4\.5 CPUs, but a node of worker has only 4"):
        converted(component("engine", "worker", cpu=4.5, count="auto"))


def test_refuses_a_machine_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"no such node \(it has: master, worker\)"):
        converted(component("engine", "spark"))


@pytest.mark.parametrize("pool", ["big-ones", "Big_Ones"])
def test_a_pool_is_a_machine_too(pool: str) -> None:
    environment = Environment(name="a", components=(component("x", "Big_Ones"),))
    machines = {pool: MACHINES["worker"]}

    app = convert.convert(environment, machines, {}).manifest

    assert app["spec"]["components"][0]["placement"] == {"pool": "big-ones"}


def test_keeps_the_host_port_for_callers() -> None:
    ports = (Port(host=31080, container=8888),)
    block = converted(component("master", ports=ports))["spec"]["master"]

    assert block["ports"] == [{"name": "p31080", "port": 31080, "targetPort": 8888}]


def test_a_component_on_the_hosts_network_opens_what_tunnels_lead_to() -> None:
    spec = converted(
        component("master", host_network=True),
        tunnels=(Tunnel(local=7000, component="master", remote=9000),),
    )["spec"]

    assert spec["master"]["template"]["spec"]["hostNetwork"] is True
    assert spec["master"]["ports"] == [{"name": "p9000", "port": 9000}]
    assert spec["expose"][0] == {
        "name": "master-7000",
        "component": "master",
        "port": "p9000",
        "localPort": 7000,
    }


def test_a_component_on_the_hosts_network_opens_none_of_anothers_ports() -> None:
    spec = converted(
        component("master", host_network=True),
        component("page", host_network=True),
        tunnels=(
            Tunnel(local=7000, component="master", remote=9000),
            Tunnel(local=7001, component="page", remote=9001),
        ),
    )["spec"]

    assert spec["master"]["ports"] == [{"name": "p9000", "port": 9000}]
    assert spec["components"][0]["ports"] == [{"name": "p9001", "port": 9001}]


def test_without_a_command_the_image_decides() -> None:
    assert "command" not in converted(component("master"))["spec"]["master"]


def test_says_what_is_not_as_it_was() -> None:
    told = notes(
        component("engine", "worker", cpu=1.5, count="auto", ports=(Port(host=1, container=1),)),
        component("My_DB"),
        component("a.b"),
    )

    assert told == (
        "engine leaves 1 CPUs of each node idle",
        "My_DB is reached as my-db inside the app",
        "a.b is reached as a-b inside the app: a-a.b is too long, or has a dot in it",
    )


def named(*components: Component) -> dict[str, list[str]]:
    """The names under which each component is reached, by its own."""
    spec = converted(*components)["spec"]
    blocks = {one["name"]: one for one in spec.get("components", ())}
    blocks |= {title: spec[title] for title in ("master", "workers") if title in spec}
    titles = convert.component_titles(components)
    return {name: [title, *blocks[title].get("aliases", ())] for name, title in titles.items()}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"name": "shard", "cpu": 1.0, "count": "auto"}, id="fills-its-machines"),
        pytest.param({"name": "master", "count": 2}, id="several-masters"),
        pytest.param({"name": "message-exchange-front"}, id="long"),
        pytest.param({"name": "x" * 63}, id="longest"),
        pytest.param({"name": "workers"}, id="as-ours"),
        pytest.param({"name": "db.main", "ports": (Port(host=1, container=1),)}, id="with-a-dot"),
        pytest.param({"name": "9lives"}, id="begins-with-a-digit"),
    ],
)
def test_each_component_is_reached_under_its_own_name(changes: dict[str, Any]) -> None:
    one = component(**{"machine": "worker", **changes})

    assert one.name in named(one, component("other", cpu=1.0, count=3))[one.name]


@pytest.mark.parametrize(
    ("changes", "headless"),
    [
        pytest.param({"host_network": True}, True, id="on-the-nodes-network"),
        pytest.param({}, True, id="without-ports"),
        pytest.param({"ports": (Port(host=80, container=81),)}, False, id="with-ports"),
    ],
)
def test_who_lists_no_ports_is_reached_at_all_of_them(
    changes: dict[str, Any], headless: bool
) -> None:
    block = converted(component("master", **changes))["spec"]["master"]

    assert block.get("headless", False) is headless


# Kubernetes' expansion (third_party/forked/golang/expansion/expand.go), with the pod's variables.
def expanded(text: str, variables: dict[str, str]) -> str:
    out, data, cursor = bytearray(), text.encode(), 0
    while cursor < len(data):
        char = data[cursor : cursor + 1]
        following = data[cursor + 1 :]
        cursor += 1
        if char != b"$" or not following:
            out += char
        elif following[:1] == b"$":
            out += b"$"
            cursor += 1
        elif following[:1] == b"(":
            end = following.find(b")")
            if end < 0:
                out += b"$("
                cursor += 1
            else:
                name = following[1:end].decode()
                out += variables.get(name, f"$({name})").encode()
                cursor += end + 1
        else:
            out += b"$" + chr(following[0]).encode()  # a byte for a letter, as Go's string() does
            cursor += 1
    return out.decode(errors="replace")


@pytest.mark.parametrize(
    ("cmd", "written"),
    [
        ("echo $$ > pid.$$", "echo $$$$ > pid.$$$$"),
        ("echo $(hostname)", "echo $$(hostname)"),
        ('sh -c "echo $HOME \\$x"', 'sh -c "echo $HOME \\$x"'),
        ("$", "$"),
    ],
)
def test_a_command_is_run_word_for_word(cmd: str, written: str) -> None:
    block = converted(component("master", cmd=cmd))["spec"]["master"]

    assert block["command"] == ["/bin/sh", "-c", written]


@settings(deadline=None)
@given(st.text(alphabet="$(){}abHOSTNAME \"'é\U0001f40b\n\\", max_size=40))
def test_any_command_is_run_word_for_word(cmd: str) -> None:
    assert expanded(convert.verbatim(cmd), {"HOSTNAME": "x", "a": "y", "": "z"}) == cmd


def test_a_tunnel_leads_to_whoever_listens_on_the_machine() -> None:
    spec = converted(
        component("page"),
        component("db", ports=(Port(host=6379, container=6379),)),
        component("far", "worker", ports=(Port(host=9000, container=9000),)),
        component("open", host_network=True),
        tunnels=tuple(
            Tunnel(local=local, component=name, remote=remote)
            for local, name, remote in (
                (1, "page", 6379),
                (2, "page", 2000),
                (3, "far", 6379),
                (4, "open", 7100),
            )
        ),
    )["spec"]

    opened = {one["localPort"]: (one["component"], one["port"]) for one in spec["expose"]}
    # Nobody listens at 6379 on the machine of far: that tunnel was dead, and is left out.
    assert opened == {1: ("db", "p6379"), 2: ("open", "p2000"), 4: ("open", "p7100")}
    (block,) = [one for one in spec["components"] if one["name"] == "open"]
    assert [one["port"] for one in block["ports"]] == [2000, 7100]


def test_the_fingerprint_does_not_depend_on_the_size_of_the_cluster() -> None:
    environment = Environment(name="a", components=(component("master"),))
    bigger = {"master": Machine(nodes=9, cpu_millis=8000, free_millis=8000, free_bytes=GIB)}

    first = convert.convert(environment, MACHINES, {}).manifest["metadata"]["annotations"]
    second = convert.convert(environment, bigger, {}).manifest["metadata"]["annotations"]

    assert first == second
    assert convert.fingerprint(environment, {"x": "y"}) != convert.fingerprint(environment, {})


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("tile-render", "tile-render"),
        ("Tile_Render", "tile-render"),
        ("9lives", "x9lives"),
        ("__", "x"),
        ("a" * 41, f"{'a' * 33}-"),
    ],
)
def test_makes_dns_labels(text: str, label: str) -> None:
    made = convert.dns_label(text)

    assert made.startswith(label)
    assert len(made) <= 40

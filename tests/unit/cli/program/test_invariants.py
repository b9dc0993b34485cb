"""What holds of every environment file that is read, whatever is in it: as an app, and as text."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterous_api import models, names
from clusterous_api.errors import UserError
from clusterous_cli.program import convert, envfile
from clusterous_cli.program.convert import Machine
from tests.unit.cli.program.test_convert import expanded, unknown

CRD = yaml.safe_load((Path(__file__).parents[4] / "crds/clusterousapps.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
SPEC = SCHEMA["properties"]["spec"]["properties"]

# As people call them, and as they should not.
NAMES = st.sampled_from(
    [
        *("master", "worker", "workers", "controller", "notebook", "engine", "db.main", "My_DB"),
        *("my-db", "9lives", "message-exchange-front", "message-exchange-back", "x" * 70, "a.b.c"),
    ]
)
GROUPS = ("master", "worker", "cpu_worker")
MACHINES = st.fixed_dictionaries(
    {
        name: st.builds(
            Machine,
            nodes=st.integers(1, 5),
            cpu_millis=st.sampled_from([1000, 2000, 4000, 16000]),
            free_millis=st.sampled_from([700, 900, 1000]),
            free_bytes=st.integers(1 << 28, 1 << 34),
        )
        for name in ("master", "worker", "cpu-worker")
    }
)


@st.composite
def components(draw: st.DrawFn) -> dict[str, Any]:
    """Components of which those on one machine are all of one kind."""
    found: dict[str, Any] = {}
    kinds = {group: draw(st.booleans()) for group in GROUPS}
    for name in draw(st.lists(NAMES, unique=True, min_size=1, max_size=8)):
        machine = draw(st.sampled_from(GROUPS))
        one: dict[str, Any] = {"machine": machine, "image": "python:3.11"}
        if kinds[machine]:
            one |= {"cpu": "auto"}
            if draw(st.booleans()):
                one["count"] = draw(st.integers(1, 3))
        else:
            one |= {"cpu": draw(st.sampled_from([0.1, 0.25, 0.5, 1])), "count": "auto"}
        network = draw(st.sampled_from(["none", "host", "ports"]))
        if network == "host":
            one["docker_network"] = draw(st.sampled_from(["host", "Host"]))
        elif network == "ports":
            ports = draw(st.lists(st.integers(1, 65535), unique=True, min_size=1, max_size=4))
            one["ports"] = ",".join(f"{port}:{port % 100 + 1}" for port in ports)
        if draw(st.booleans()):
            one["cmd"] = draw(st.text(alphabet="$(){}aHOME 'é\n", max_size=12))
        if found and draw(st.booleans()):
            one["depends"] = ", ".join(draw(st.lists(st.sampled_from(list(found)), max_size=3)))
        found[name] = one
    return found


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    there = draw(components())
    locals_ = draw(st.lists(st.integers(1, 65535), unique=True, max_size=4))
    ports = [int(p.partition(":")[0]) for c in there.values() for p in _ports(c)]
    tunnels = [
        {"service": f"{local}:{draw(st.sampled_from(list(there)))}:{draw(_remote(ports))}"}
        for local in locals_
    ]
    body: dict[str, Any] = {"components": there, "expose_tunnel": tunnels}
    return {"name": draw(st.sampled_from(["reef", "Handed_Over", "x" * 60])), "environment": body}


def _ports(component: dict[str, Any]) -> list[str]:
    return str(component["ports"]).split(",") if "ports" in component else []


def _remote(ports: list[int]) -> st.SearchStrategy[int]:
    return st.sampled_from([*ports, 4242])


def blocks(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {title: spec[title] for title in (names.MASTER, names.WORKERS) if title in spec}
    return found | {one["name"]: one for one in spec.get("components", ())}


@settings(deadline=None, max_examples=150)
@given(documents(), MACHINES)
def test_what_a_file_becomes_is_an_app_that_means_the_same(
    document: dict[str, Any], machines: dict[str, Machine]
) -> None:
    environment = envfile.parse(yaml.safe_dump(document), "f")
    made = convert.convert(environment, machines, {})
    app = made.manifest
    titles = convert.component_titles(environment.components)
    there = blocks(app["spec"])

    # It is one that operator and API server take.
    parsed = models.parse(app)
    assert unknown(app, SCHEMA) == []
    pattern = SPEC["components"]["items"]["properties"]["name"]["pattern"]
    alias = SPEC["master"]["properties"]["aliases"]["items"]
    for title, block in there.items():
        assert re.fullmatch(pattern, title)
        assert len(title) <= 20
        for name in block.get("aliases", ()):
            assert re.fullmatch(alias["pattern"], name)
            assert len(name) <= alias["maxLength"]
        ports = [one["name"] for one in block.get("ports", ())]
        assert len(set(ports)) == len(ports)
        assert all(len(one) <= 15 for one in ports)
    assert len(app["metadata"]["name"]) <= 40

    # Nobody is left out, and no two have one name.
    assert sorted(there) == sorted(titles.values())
    reached = Counter(name for t, block in there.items() for name in (t, *block.get("aliases", ())))
    assert set(reached.values()) == {1}
    for component in environment.components:
        block = there[titles[component.name]]
        if component.name == convert.called(component.name):
            assert component.name in (titles[component.name], *block.get("aliases", ()))
        assert block.get("headless", False) is not bool(component.ports)
        assert [p["port"] for p in block.get("ports", ()) if component.ports] == [
            p.host for p in component.ports
        ]
        assert [need["name"] for need in block.get("dependsOn", ())] == [
            titles[other] for other in component.depends
        ]
        if component.cmd is not None:
            assert expanded(block["command"][2], {"HOME": "/", "a": "x"}) == component.cmd

    # What tunnels lead to is on the machine that was named.
    placed = {one.name: one.machine for one in environment.components}
    own = {title: name for name, title in titles.items()}
    for exposed in parsed.expose:
        tunnel = next(t for t in environment.tunnels if t.local == exposed.local_port)
        assert placed[own[exposed.component]] == placed[tunnel.component]
        assert exposed.port == tunnel.remote

    # Whatever fills a machine fits on it.
    for component in environment.components:
        machine = machines[component.machine.replace("_", "-")]
        block = there[titles[component.name]]
        millis = int(block["resources"]["requests"]["cpu"].removesuffix("m"))
        if component.count == "auto":
            assert "replicas" not in block
            per_node = machine.cpu_millis // round(float(component.cpu) * 1000)
            assert millis * per_node <= max(machine.free_millis, 10 * per_node)
        here = [c for c in environment.components if c.machine == component.machine]
        if component.cpu == "auto":
            assert millis * len(here) <= machine.free_millis

    # It is the same each time, and knows the file again whatever the cluster's size.
    assert convert.convert(environment, machines, {}) == made


@settings(deadline=None, max_examples=60)
@given(documents(), st.data())
def test_a_damaged_file_is_read_or_refused(document: dict[str, Any], data: st.DataObject) -> None:
    text = yaml.safe_dump(document)
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 30))
    put = data.draw(
        st.sampled_from(["", "<<: *x", "&x ", "*x", "$v", "[", ": ", "\n- ", "é", "\t"])
    )
    damaged = text[:start] + put + text[start + length :]
    machine = Machine(nodes=1, cpu_millis=2000, free_millis=1800, free_bytes=1 << 30)
    try:
        environment = envfile.parse(damaged, "f")
        convert.convert(environment, dict.fromkeys(("master", "worker", "cpu-worker"), machine), {})
    except UserError as error:
        assert "nothing was started" in str(error).lower()  # noqa: PT017

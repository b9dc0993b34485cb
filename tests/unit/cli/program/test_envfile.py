"""The predecessor's environment files: what is accepted, what is refused, and how it is told."""

import string
from pathlib import Path
from textwrap import dedent, indent

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterous_cli.program import envfile
from clusterous_cli.program.envfile import BuildImage, Component, Group, Port, Tunnel
from clusterous_cli.system.yamltree import FileMistakes

COMPLETE = """
name: tile-render
cluster:
  hub:
    type: $hub_type
    count: 1
  farm:
    type: $farm_type
    count: $farm_total-1
environment:
  copy:
    - "scenes/"
  image:
    - dockerfile: "docker/tiler"
      image_name: "tiler:r3"
  components:
    broker:
      machine: hub
      cpu: auto
      image: rabbitmq
      ports: "5672,18080:15672"
    view:
      machine: hub
      cpu: auto
      depends: broker
      image: registry:5000/tiler:r3
      cmd: "python /home/data/scenes/view.py"
      docker_network: host
    tile:
      machine: farm
      cpu: 0.25
      count: auto
      depends: broker, view
      image: registry:5000/tiler:r3
  expose_tunnel:
    - service: 7000:view:7000
      message: "Open {url}"
    - service: 9672:broker:18080
"""


def one_component(*lines: str, more: str = "") -> str:
    """A file with one component `web`, whose keys are *lines*."""
    body = indent("\n".join(lines), " " * 6)
    return f"name: x\nenvironment:\n  components:\n    web:\n{body}\n{indent(dedent(more), '  ')}"


BASE = ("machine: master", "cpu: auto", "image: python")


def component(*lines: str) -> Component:
    return envfile.parse(one_component(*BASE, *lines), "f").components[0]


def mistakes(text: str) -> list[str]:
    with pytest.raises(FileMistakes) as caught:
        envfile.parse(text, "f")
    return [str(mistake) for mistake in caught.value.mistakes]


def test_reads_a_complete_file() -> None:
    environment = envfile.parse(COMPLETE, "tiles.yml")

    assert environment.name == "tile-render"
    assert environment.copy == ("scenes/",)
    assert environment.images == (BuildImage(name="tiler:r3", folder="docker/tiler"),)
    assert environment.groups == (
        Group(name="hub", type="$hub_type", count="1"),
        Group(name="farm", type="$farm_type", count="$farm_total-1"),
    )
    assert environment.tunnels == (
        Tunnel(local=7000, component="view", remote=7000, message="Open {url}"),
        Tunnel(local=9672, component="broker", remote=18080),
    )
    assert environment.warnings == ()


def test_reads_the_components_of_a_complete_file() -> None:
    broker, view, tile = envfile.parse(COMPLETE, "tiles.yml").components

    assert broker.ports == (Port(host=5672, container=5672), Port(host=18080, container=15672))
    assert broker.count == 1
    assert view.host_network
    assert view.cmd == "python /home/data/scenes/view.py"
    assert tile == Component(
        name="tile",
        machine="farm",
        cpu=0.25,
        count="auto",
        depends=("broker", "view"),
        image="registry:5000/tiler:r3",
    )


def test_reads_the_example() -> None:
    path = Path(__file__).parents[4] / "examples/montecarlo/environment.yml"

    assert [c.name for c in envfile.parse(path.read_text(), "f").components] == ["master", "worker"]


@pytest.mark.parametrize(
    ("line", "ports"),
    [
        pytest.param('ports: "8080"', [(8080, 8080)], id="one"),
        pytest.param("ports: 8080", [(8080, 8080)], id="a-number"),
        pytest.param("ports: 8080:50", [(8080, 50)], id="not-base-60"),
        pytest.param('ports: "31080:8888"', [(31080, 8888)], id="host-first"),
        pytest.param("ports: 31000, 31001 ,31002:1", [(31000,) * 2, (31001,) * 2, (31002, 1)]),
        pytest.param("ports: [8080, '81:82']", [(8080, 8080), (81, 82)], id="a-list"),
        pytest.param('ports: ""', [], id="empty"),
    ],
)
def test_reads_ports(line: str, ports: list[tuple[int, int]]) -> None:
    assert [(p.host, p.container) for p in component(line).ports] == ports


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(("count: 3",), (3, "auto"), id="count-with-cpu-auto"),
        pytest.param((), (1, "auto"), id="count-absent"),
    ],
)
def test_reads_count(lines: tuple[str, ...], expected: tuple[object, object]) -> None:
    found = component(*lines)

    assert (found.count, found.cpu) == expected


@pytest.mark.parametrize("word", ["host", "HOST", "Host"])
def test_takes_the_docker_network_in_any_case(word: str) -> None:
    assert component(f"docker_network: {word}").host_network


def test_takes_a_command_that_is_null() -> None:
    assert component("cmd:").cmd is None


@pytest.mark.parametrize("written", ["depends: a, b", "depends: a,b", "depends: [a, b]"])
def test_reads_depends(written: str) -> None:
    others = "".join(f"    {n}: {{machine: m, cpu: auto, image: i}}\n" for n in "ab")
    text = one_component(*BASE, written) + others

    assert envfile.parse(text, "f").components[0].depends == ("a", "b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "1:1  the file is empty", id="empty"),
        pytest.param("- a", "1:1  the file must be a mapping of keys to values, not a list"),
        pytest.param("a: [", "this is not YAML", id="broken"),
        pytest.param("name: 12", '1:7  name must be text, not a number; write "12"', id="number"),
        pytest.param("environment: {components: {}}", "1:1  name is missing", id="no-name"),
        pytest.param("name: x", "1:1  there is no environment section", id="no-environment"),
        pytest.param("name: a b\nenvironment: {components: {}}", "1:7  name 'a b'", id="name"),
        pytest.param("name: x\nenvironment:", "2:13  environment has no value", id="null"),
        pytest.param(
            "name: x\nenviroment: {}",
            "2:1  enviroment is not a key here; did you mean environment?",
        ),
        pytest.param(
            "name: x\nenvironment: {components: {}, images: []}",
            "2:31  environment.images is not a key here; did you mean image?",
        ),
        pytest.param("name: x\nenvironment: {}", "2:14  environment.components is missing"),
        pytest.param(
            "name: x\nenvironment: {components: {}, copy: in/}", "environment.copy must be a list"
        ),
        pytest.param(
            "name: x\nenvironment: {components: {}, copy: [3]}", "environment.copy[0] must be text"
        ),
        *(
            pytest.param(
                f"name: x\nenvironment: {{components: {{}}, copy: [{folder}]}}",
                "has no name of its own",
            )
            for folder in ("/", "//", '""', "/.")
        ),
        pytest.param(
            "name: x\nenvironment: {components: {}, image: [{dockerfile: a}]}",
            "environment.image[0].image_name is missing",
        ),
        pytest.param(
            "name: x\nenvironment: {components: {}, image: [{dockerfile: a, image_name: b/c}]}",
            "is not NAME or NAME:TAG",
        ),
        pytest.param(
            "name: x\ncluster: {a: {type: b, size: 3}}\nenvironment: {components: {}}",
            "2:24  cluster.a.size is not a key here",
        ),
        pytest.param(
            "name: x\ncluster: {a: {type: b, count: -3}}\nenvironment: {components: {}}",
            "cluster.a.count must be a number",
        ),
    ],
)
def test_refuses_a_file(text: str, expected: str) -> None:
    assert any(expected in told for told in mistakes(text))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(("cpu: auto", "image: i"), "web.machine is missing", id="no-machine"),
        pytest.param(("machine: m", "image: i"), "web.cpu is missing", id="no-cpu"),
        pytest.param(("machine: m", "cpu: auto"), "web.image is missing", id="no-image"),
        pytest.param((*BASE[:1], "cpu: half", BASE[2]), "web.cpu must be auto or a number"),
        pytest.param((*BASE[:1], "cpu: $cpus", BASE[2]), "web.cpu is $cpus, which has no value"),
        pytest.param((*BASE[:1], "cpu: 0", BASE[2]), "web.cpu must be auto or a number above 0"),
        pytest.param((*BASE[:1], "cpu: yes", BASE[2]), "web.cpu must be auto or a number"),
        pytest.param((*BASE[:1], "cpu: .inf", BASE[2]), "web.cpu must be auto or a number"),
        pytest.param((*BASE[:1], "cpu: '2'", BASE[2]), "web.cpu must be auto or a number"),
        pytest.param((*BASE, "count: 0"), "web.count must be auto or a whole number"),
        pytest.param((*BASE, "count: -1"), "web.count must be auto or a whole number"),
        pytest.param((*BASE, "count: 1.5"), "web.count must be auto or a whole number"),
        pytest.param((*BASE, "count: true"), "web.count must be auto or a whole number"),
        pytest.param((*BASE, "count: auto"), "cpu and count are both auto"),
        pytest.param((*BASE, "cmd: 3"), 'web.cmd must be text, not a number; write "3"'),
        pytest.param((*BASE, "ports: '80:90:100'"), "web.ports: 90:100 is not a port"),
        pytest.param((*BASE, "ports: '70000'"), "web.ports: 70000 is not a port"),
        pytest.param((*BASE, "ports: http"), "web.ports: http is not a port"),
        pytest.param((*BASE, "ports: ':80'"), "web.ports: nothing is not a port"),
        pytest.param((*BASE, "ports: '80, 80:81'"), "web.ports has the host port 80 twice"),
        pytest.param((*BASE, "ports: {80: 80}"), "web.ports must be text or a list of texts"),
        pytest.param((*BASE, "ports:"), "web.ports has no value"),
        pytest.param((*BASE, "docker_network: none"), "must be bridge or host, not 'none'"),
        pytest.param(
            (*BASE, "docker_network: host", "ports: '80'"), "host and ports exclude each other"
        ),
        pytest.param((*BASE, "attach_volume: maybe"), "web.attach_volume must be yes or no"),
        pytest.param((*BASE, "depends: nobody"), "web.depends: there is no nobody"),
        pytest.param((*BASE, "depends: wbe"), "there is no wbe; did you mean web?"),
        pytest.param((*BASE, "depends: web"), "web → web: these depend on each other"),
    ],
)
def test_refuses_a_component(lines: tuple[str, ...], expected: str) -> None:
    assert any(expected in told for told in mistakes(one_component(*lines)))


@pytest.mark.parametrize(
    ("tunnel", "expected"),
    [
        pytest.param("{message: hello}", "expose_tunnel.service is missing", id="no-service"),
        pytest.param('{service: "8080"}', "must be LOCAL:COMPONENT:REMOTE", id="one-part"),
        pytest.param("{service: [80]}", "must be LOCAL:COMPONENT:REMOTE", id="list"),
        pytest.param('{service: "x:web:80"}', "x is not a port", id="local-port"),
        pytest.param('{service: "80:web:y"}', "y is not a port", id="remote-port"),
        pytest.param('{service: "80:wbe:80"}', "no component wbe; did you mean web?", id="typo"),
        pytest.param("[3]", "must be a mapping", id="number"),
        pytest.param(
            '[{service: "80:web:8080"}, {service: "80:web:8080"}]',
            "uses the local port 80 twice",
            id="twice",
        ),
    ],
)
def test_refuses_a_tunnel(tunnel: str, expected: str) -> None:
    text = one_component(*BASE, "ports: '8080:80'", more=f"expose_tunnel: {tunnel}")

    assert any(expected in told for told in mistakes(text))


def test_refuses_both_kinds_of_cpu_on_one_machine() -> None:
    text = one_component(*BASE) + "    b: {machine: master, cpu: 1, image: i}\n"

    assert "the two do not mix on one machine" in mistakes(text)[0]


def test_refuses_a_circle() -> None:
    text = one_component(*BASE, "depends: b") + (
        "    b: {machine: m, cpu: 1, image: i, depends: c}\n"
        "    c: {machine: m, cpu: 1, image: i, depends: web}\n"
    )

    assert "web → b → c → web: these depend on each other" in mistakes(text)[0]


def test_tells_all_mistakes_at_once_with_their_places() -> None:
    text = "name: 1\nenvironment:\n  coppy: []\n  components:\n    web: {machine: 3, cpu: x}\n"

    with pytest.raises(FileMistakes) as caught:
        envfile.parse(text, "reef.yml")

    assert str(caught.value).splitlines() == [
        'reef.yml:1:7  name must be text, not a number; write "1"',
        "reef.yml:3:3  environment.coppy is not a key here; did you mean copy?",
        "reef.yml:5:10  web.image is missing",
        "3 mistakes, nothing was started.",
    ]
    assert caught.value.exit_code == 2


def test_warns_of_what_the_predecessor_ignored() -> None:
    text = one_component(*BASE, "prots: '80'", "attach_volume: no")

    assert envfile.parse(text, "f").warnings == (
        "line 8: web.prots is not a key of a component and is ignored; did you mean ports?",
        "line 9: web.attach_volume: the shared volume is mounted all the same",
    )


@pytest.mark.parametrize(
    ("image", "built"),
    [
        pytest.param("registry:5000/tool:v1", True, id="same-tag"),
        pytest.param("registry:5000/tool:v2", False, id="other-tag"),
        pytest.param("registry:5000/plain", True, id="no-tag"),
        pytest.param("registry:5000/plain:latest", True, id="latest"),
        pytest.param("python:3.11", False, id="from-the-hub"),
        pytest.param("plain", False, id="of-that-name-from-the-hub"),
    ],
)
def test_finds_what_builds_an_image(image: str, built: bool) -> None:
    images = [BuildImage(name="tool:v1", folder="a"), BuildImage(name="plain", folder="b")]

    assert (envfile.built_by(image, images) is not None) is built


def is_understood(text: str) -> bool:
    """Read or refused with a reason; anything else is a traceback."""
    try:
        envfile.parse(text, "f")
    except FileMistakes as error:
        return bool(error.mistakes)
    return True


@settings(deadline=None)
@given(st.text(alphabet=string.printable, max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert is_understood(text)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3)
)
KEYS = st.sampled_from(
    [*envfile.COMPONENT_KEYS, "name", "environment", "components", "expose_tunnel", "service"]
)
SHAPES = st.recursive(VALUES, lambda inner: st.dictionaries(KEYS, inner, max_size=6), max_leaves=12)


@settings(deadline=None)
@given(st.fixed_dictionaries({"name": st.just("x"), "environment": SHAPES}, optional={"c": SHAPES}))
def test_any_document_is_read_or_refused(document: dict[str, object]) -> None:
    assert is_understood(yaml.safe_dump(document))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(envfile.COMPONENT_KEYS), VALUES))
def test_any_component_is_read_or_refused(component: dict[str, object]) -> None:
    whole = {"name": "x", "environment": {"components": {"web": {**component}}}}

    assert is_understood(yaml.safe_dump(whole))


@settings(deadline=None)
@given(st.integers(0, len(COMPLETE)), st.integers(0, 40), st.text(max_size=5))
def test_a_damaged_file_is_read_or_refused(start: int, length: int, put: str) -> None:
    assert is_understood(COMPLETE[:start] + put + COMPLETE[start + length :])

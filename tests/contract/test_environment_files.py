"""The page about the predecessor's files names every key that is read, and its example works."""

import re
from pathlib import Path

from clusterous_cli.program import convert, envfile
from clusterous_cli.program.former import clusterfile

PAGE = (Path(__file__).parents[2] / "docs/environment-files.md").read_text()
KEYS = re.findall(r"^\| `([a-z_.]+)` \|", PAGE, re.MULTILINE)
EXAMPLE = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
MACHINE = convert.Machine(nodes=2, cpu_millis=4000, free_millis=3800, free_bytes=8 << 30)


def test_the_page_names_every_key() -> None:
    others = {"name", "environment.copy", "environment.image", "expose_tunnel", "cluster"}

    assert set(KEYS) == {*envfile.COMPONENT_KEYS, *others, *clusterfile.KEYS}


def test_the_example_becomes_an_app_without_a_warning() -> None:
    environment = envfile.parse(EXAMPLE, "montecarlo.yaml")
    made = convert.convert(environment, {"master": MACHINE, "worker": MACHINE}, {})

    assert environment.warnings == ()
    assert made.manifest["metadata"]["name"] == "montecarlo"
    assert made.manifest["spec"]["workers"]["dependsOn"] == [{"name": "master", "until": "Ready"}]
    assert made.manifest["spec"]["expose"][0]["localPort"] == 8080

"""Every example is what its README says: both forms run the same images, built of its folder."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from clusterous_api import names
from clusterous_cli.images import contexts
from clusterous_cli.images.context import recipe
from clusterous_cli.program import envfile
from tests.examples.programs import PROGRAMS
from tests.region.parts import packages

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(path.parent.name for path in EXAMPLES.glob("*/environment.yml"))
CRD = yaml.safe_load((EXAMPLES.parent / "crds/clusterousapps.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

each = pytest.mark.parametrize("name", FOLDERS)


def manifest(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / name / "app.yaml").read_text())
    return found


def environment(name: str) -> envfile.Environment:
    return envfile.parse((EXAMPLES / name / "environment.yml").read_text(), name)


@each
def test_both_forms_are_right_and_one_program(name: str) -> None:
    app, environ = manifest(name), environment(name)

    jsonschema.validate(app, SCHEMA)
    assert environ.warnings == ()
    assert app["metadata"]["name"] == environ.name == name
    exposed = {one["localPort"]: one["message"] for one in app["spec"].get("expose", ())}
    assert exposed == {one.local: one.message for one in environ.tunnels}


@each
def test_both_forms_build_the_same_folder(name: str) -> None:
    folders = set(contexts.manifest_builds(manifest(name)).values())

    assert folders == {image.folder for image in environment(name).images} == {"image/"}
    assert recipe.find(EXAMPLES / name / "image")


@each
def test_the_page_of_examples_names_it(name: str) -> None:
    assert f"]({name}" in (EXAMPLES / "README.md").read_text()


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_a_lock_has_what_the_example_asks_for(name: str) -> None:
    asked = (EXAMPLES / name / "image/requirements.txt").read_text().split()

    pins = packages.pins(packages.lock(name).read_text())

    assert {re.sub(r"\[.*\]", "", one) for one in asked} <= set(pins)


def test_two_notebooks_in_one_browser_share_no_cookie() -> None:
    """It knows `localhost` as one site whatever the port; what tells servers apart is a path."""
    spec = manifest("jupyter")["spec"]
    (lab,) = [one for one in environment("jupyter").components if one.name == "notebook"]
    commands = [spec["master"]["command"][-1], lab.cmd]

    for command in commands:
        assert f'--ServerApp.base_url="/${names.ENV_APP}/"' in command
    assert [one["message"].split()[1] for one in spec["expose"]] == ["{url}/jupyter/lab"]


@pytest.mark.parametrize("component", ["master", "workers"])
def test_what_rays_store_needs_is_there_and_as_large_as_its_memory(component: str) -> None:
    spec = manifest("ray")["spec"][component]
    laid_over = spec["template"]["spec"]

    (container,) = laid_over["containers"]
    assert container["name"] == component  # the program's own container
    (mount,) = container["volumeMounts"]
    assert mount["mountPath"] == "/dev/shm"
    # Without a size of its own: then the kubelet takes the pod's limit of memory.
    assert laid_over["volumes"] == [{"name": mount["name"], "emptyDir": {"medium": "Memory"}}]
    assert "memory" in spec["resources"]["limits"]


def test_examples_with_packages_are_run() -> None:
    asking = {path.parents[1].name for path in EXAMPLES.glob("*/image/requirements.txt")}

    assert asking == set(PROGRAMS) == set(packages.EXAMPLES)

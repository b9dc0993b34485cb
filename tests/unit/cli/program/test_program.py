"""Files for `run`: what is taken, what is refused before anything is started."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusterous_api.errors import UserError
from clusterous_cli.program import convert, program
from clusterous_cli.program.convert import Machine

EXAMPLE = Path(__file__).parents[4] / "examples/montecarlo"
MACHINES = {
    name: Machine(nodes=1, cpu_millis=2000, free_millis=1800, free_bytes=1 << 30)
    for name in ("master", "worker")
}
APP: dict[str, Any] = {
    "apiVersion": "clusterous.io/v1",
    "kind": "ClusterousApp",
    "metadata": {"name": "reef", "annotations": {"clusterous.io/build.tool": "image"}},
    "spec": {"image": "tool", "master": {}},
}
ENVIRONMENT = """
name: reef
environment:
  copy: [inputs]
  image: [{dockerfile: image/, image_name: "tool:v1"}]
  components:
    web: {machine: master, cpu: auto, image: "registry:5000/tool:v1"}
    db: {machine: master, cpu: auto, image: redis}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "image").mkdir()
    (tmp_path / "image/Containerfile").write_text("FROM scratch\n")
    return tmp_path


def written(folder: Path, *documents: object) -> Path:
    path = folder / "program.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return path


def test_reads_both_forms_of_the_example() -> None:
    app = program.read(EXAMPLE / "app.yaml")
    environment = program.read(EXAMPLE / "environment.yml")

    assert app.name == environment.name == "montecarlo"
    assert [b.tag for b in app.builds] == [b.tag for b in environment.builds]
    assert environment.copy == ("inputs/",)


def test_an_environment_becomes_one_app(folder: Path) -> None:
    path = folder / "reef.yml"
    path.write_text(ENVIRONMENT)
    what = program.read(path)
    known = program.references(what, "r.example/clusterous/c/", {})

    (app,), notes = program.manifests(what, MACHINES, known)

    reference = f"r.example/clusterous/c/tool:{what.builds[0].tag}"
    assert [c["image"] for c in app["spec"]["components"]] == [reference, "redis"]
    assert notes == ()
    assert program.is_same(what, app, known)
    assert not program.is_same(what, app, {"registry:5000/tool:v1": "another"})
    assert not program.is_same(what, None, known)


def test_a_manifest_is_applied_after_what_stands_beside_it(folder: Path) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "spec": "tool"}
    what = program.read(written(folder, APP, secret))

    documents, _ = program.manifests(
        what, {}, program.references(what, "r.example/clusterous/c/", {})
    )

    assert [d["kind"] for d in documents] == ["Secret", "ClusterousApp"]
    assert documents[1]["spec"]["image"] == f"r.example/clusterous/c/tool:{what.builds[0].tag}"
    assert not program.is_same(what, documents[1], {})


def test_two_images_may_differ_in_their_tag_only(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other/Dockerfile").write_text("FROM other\n")
    path = folder / "reef.yml"
    path.write_text(
        ENVIRONMENT.replace("redis", "'registry:5000/tool:v2'").replace(
            "image: [{", 'image: [{dockerfile: other, image_name: "tool:v2"}, {'
        )
    )

    what = program.read(path)

    assert len(set(program.references(what, "r/clusterous/c/", {}).values())) == 2


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        pytest.param([{"kind": "ClusterousApp"}], "a document without apiVersion", id="version"),
        pytest.param([{**APP, "metadata": {}}], "no metadata.name", id="no-name"),
        pytest.param([{**APP, "metadata": {"name": 3}}], "no metadata.name", id="number"),
        pytest.param([APP, APP], "has 2 ClusterousApp", id="two"),
        pytest.param([{**APP, "kind": "Deployment"}], "has no ClusterousApp", id="none"),
        pytest.param([APP, [1]], "a document that is no mapping", id="list"),
        pytest.param([{**APP, "spec": {"master": 3}}], "something wrong", id="wrong-type"),
        pytest.param([{**APP, "spec": {}}], "no component", id="empty"),
        pytest.param([{**APP, "spec": {"master": {}}}], "master has no image", id="no-image"),
        pytest.param(
            [{**APP, "metadata": {"name": "x", "annotations": {"clusterous.io/build.a": "no"}}}],
            "There is no folder",
            id="no-folder",
        ),
    ],
)
def test_refuses_manifests(folder: Path, documents: list[object], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        program.read(written(folder, *documents))


def test_refuses_a_copy_that_is_not_there(folder: Path) -> None:
    (folder / "inputs").rmdir()
    path = folder / "reef.yml"
    path.write_text(ENVIRONMENT)

    with pytest.raises(UserError, match=r"copy: there is no folder .*inputs; nothing was started"):
        program.read(path)


@pytest.mark.parametrize(
    ("name", "expected"), [("nothing.yml", "There is no file"), (".", "is a folder")]
)
def test_refuses_what_is_no_file(folder: Path, name: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        program.read(folder / name)


def test_refuses_what_is_no_text(folder: Path) -> None:
    path = folder / "x.yml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(UserError, match="cannot be read"):
        program.read(path)


KEYS = (
    *("apiVersion", "kind", "metadata", "name", "spec", "image", "master", "workers"),
    *("components", "expose", "ports", "dependsOn", "sharedVolume", "annotations"),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=15,
)


def is_understood(path: Path) -> bool:
    try:
        program.read(path)
    except UserError:
        return True
    return True


def test_annotations_that_are_no_mapping_are_refused(folder: Path) -> None:
    document = {**APP, "metadata": {"name": "reef", "annotations": True}}

    with pytest.raises(UserError, match="annotations of a ClusterousApp must be a mapping"):
        program.read(written(folder, document))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(VALUES, VALUES)
def test_any_manifest_is_read_or_refused(folder: Path, spec: object, metadata: object) -> None:
    for document in ({**APP, "spec": spec}, {**APP, "metadata": metadata}, spec):
        assert is_understood(written(folder, document))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(folder: Path, text: str) -> None:
    path = folder / "any.yml"
    path.write_text(text, encoding="utf-8", errors="replace")

    assert is_understood(path)


def test_names_are_legal_whatever_the_file_says(folder: Path) -> None:
    path = folder / "reef.yml"
    path.write_text(ENVIRONMENT.replace("name: reef", "name: Reef_2016"))

    assert program.read(path).name == convert.dns_label("Reef_2016") == "reef-2016"


# -- what a file may take -------------------------------------------------------------------

OUTSIDE_COPY = """
name: reef
environment:
  copy: [COPY]
  components: {web: {machine: master, cpu: auto, image: redis}}
"""


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder beside that of the file."""
    secret = tmp_path / "home/.aws"
    secret.mkdir(parents=True)
    (secret / "credentials").write_text("key")
    (secret / "Containerfile").write_text("FROM scratch\n")
    return secret


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    downloads = tmp_path / "home/Downloads"
    (downloads / "image").mkdir(parents=True)
    return downloads


@pytest.mark.parametrize("way", ["up", "absolute", "link", "link-with-slash", "link-above"])
def test_a_file_takes_nothing_that_lies_beside_it(secret: Path, downloads: Path, way: str) -> None:
    (downloads / "inputs").symlink_to(secret)
    (downloads / "up").symlink_to(secret.parent)
    item = {
        "up": "../.aws",
        "absolute": str(secret),
        "link": "inputs",
        "link-with-slash": "inputs/",
        "link-above": "up/.aws",
    }[way]
    path = downloads / "reef.yml"
    path.write_text(OUTSIDE_COPY.replace("COPY", item))

    with pytest.raises(UserError, match="outside of its own folder") as caught:
        program.read(path)

    assert str(secret) in str(caught.value)
    assert "--outside" in str(caught.value)


@pytest.mark.parametrize("item", [".aws", "./x/../.aws/", "link", "../home"])
def test_a_file_in_ones_home_takes_no_settings_and_keys(
    secret: Path, monkeypatch: pytest.MonkeyPatch, item: str
) -> None:
    home = secret.parent
    monkeypatch.setenv("HOME", str(home))
    (home / "link").symlink_to(".aws")
    (home / "x").mkdir()
    path = home / "reef.yml"
    path.write_text(OUTSIDE_COPY.replace("COPY", item))

    with pytest.raises(UserError, match="hidden folders of your home"):
        program.read(path)


@pytest.mark.parametrize("item", ["Library/Keychains", "Library", "snap/firefox/common"])
def test_a_file_in_ones_home_takes_nothing_that_programs_keep_there(
    secret: Path, monkeypatch: pytest.MonkeyPatch, item: str
) -> None:
    home = secret.parent
    monkeypatch.setenv("HOME", str(home))
    (home / item).mkdir(parents=True)
    path = home / "reef.yml"
    path.write_text(OUTSIDE_COPY.replace("COPY", item))

    with pytest.raises(UserError, match="hidden folders of your home"):
        program.read(path)


@pytest.mark.parametrize("place", ["home/work", "home/.cache/work", "elsewhere/.hidden"])
def test_what_is_the_files_own_is_not_asked_about_in_ones_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / place
    (folder / ".inputs").mkdir(parents=True)
    path = folder / "reef.yml"
    path.write_text(OUTSIDE_COPY.replace("COPY", ".inputs"))

    assert program.read(path).copy == (".inputs",)


@pytest.mark.parametrize("way", ["environment", "annotation", "recipe", "ignore"])
def test_no_image_is_built_from_what_lies_beside_the_file(
    secret: Path, downloads: Path, way: str
) -> None:
    image = downloads / "image"
    (image / "Containerfile").write_text("FROM scratch\n")
    asked: list[Path] = []
    folder = "../.aws" if way in ("environment", "annotation") else "image"
    if way == "recipe":
        (image / "Containerfile").unlink()
        (image / "Containerfile").symlink_to(secret / "credentials")
    if way == "ignore":
        (image / ".dockerignore").symlink_to(secret / "credentials")
    if way == "environment":
        path = downloads / "reef.yml"
        path.write_text(ENVIRONMENT.replace("image/", folder).replace("copy: [inputs]", "copy: []"))
    else:
        metadata = {"name": "reef", "annotations": {"clusterous.io/build.tool": folder}}
        path = written(downloads, {**APP, "metadata": metadata})

    program.read(path, asked.extend)

    assert [one.is_relative_to(secret) for one in asked] == [True]


def test_what_is_inside_is_not_asked_about(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep/inputs").symlink_to("../inputs")
    path = folder / "reef.yml"
    path.write_text(ENVIRONMENT.replace("[inputs]", "[inputs, ./deep/inputs]"))

    assert program.read(path).copy == ("inputs", "./deep/inputs")


# -- bombs ----------------------------------------------------------------------------------


def bomb(levels: int) -> str:
    names = [f"a{n}" for n in range(levels)]
    lines = [f"{names[0]}: &{names[0]} [x]"]
    lines += [
        f"{now}: &{now} [{', '.join([f'*{before}'] * 9)}]"
        for before, now in itertools.pairwise(names)
    ]
    return "\n".join(lines)


def test_aliases_of_aliases_are_counted_before_they_are_copied(folder: Path) -> None:
    path = folder / "app.yaml"
    path.write_text(f"{yaml.safe_dump(APP)}---\n{bomb(12)}\n")

    with pytest.raises(UserError, match="its aliases are over"):
        program.read(path)


def test_an_alias_that_holds_itself_is_refused(folder: Path) -> None:
    path = folder / "app.yaml"
    path.write_text(f"{yaml.safe_dump(APP)}---\na: &a [*a]\n")

    with pytest.raises(UserError, match="its aliases are over"):
        program.read(path)


def test_plain_aliases_are_welcome(folder: Path) -> None:
    path = folder / "app.yaml"
    more = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: &a b, c: *a}\n"
    path.write_text(f"{yaml.safe_dump(APP)}---\n{more}")

    assert len(program.read(path).documents) == 2


def test_a_namespace_that_is_no_text_is_refused(folder: Path) -> None:
    metadata = {"name": "reef", "namespace": ["x"]}

    with pytest.raises(UserError, match=r"metadata\.namespace of a ClusterousApp must be text"):
        program.read(written(folder, {**APP, "metadata": metadata}))


def test_two_names_that_become_one_do_not_change_each_other(folder: Path) -> None:
    first, second = folder / "a.yml", folder / "b.yml"
    first.write_text(ENVIRONMENT.replace("name: reef", "name: Sim_1"))
    second.write_text(ENVIRONMENT.replace("name: reef", "name: sim-1"))
    (running,), _ = program.manifests(program.read(first), MACHINES, {"registry:5000/tool:v1": "R"})

    program.check_name(program.read(first), running)
    program.check_name(program.read(second), None)
    program.check_name(program.read(second), {"metadata": {}})
    with pytest.raises(UserError, match="sim-1 runs already, and was started as Sim_1"):
        program.check_name(program.read(second), running)

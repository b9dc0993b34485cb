"""Names of images, and references in manifests."""

from pathlib import Path

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.images import builder, contexts, registry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Containerfile").write_text("FROM scratch\n")
    return tmp_path


def test_names_the_reference(folder: Path) -> None:
    build = contexts.plan_build("montecarlo:v1", folder)

    assert (
        contexts.reference("r.example/clusterous/reef/", build)
        == f"r.example/clusterous/reef/montecarlo:{build.tag}"
    )
    assert (
        contexts.reference("r.example/clusterous/reef/", build, "sha256:0")
        == "r.example/clusterous/reef/montecarlo@sha256:0"
    )


def test_finds_what_a_manifest_builds() -> None:
    annotations = {"clusterous.io/build.tool": "image/", "other": "x"}

    assert contexts.manifest_builds({"metadata": {"annotations": annotations}}) == {
        "tool": "image/"
    }
    assert contexts.manifest_builds({"metadata": {}}) == {}
    for name in ("A B", "tool..new", "tool:v1"):
        with pytest.raises(UserError, match="is not the name of an image"):
            contexts.manifest_builds(
                {"metadata": {"annotations": {f"clusterous.io/build.{name}": "."}}}
            )


def test_puts_references_into_a_spec() -> None:
    spec = {
        "image": "tool",
        "master": {"image": "tool:v1"},
        "components": [{"image": "toolbox"}, {"image": "r.example/tool"}],
    }

    done = contexts.with_images(spec, {"tool": "R"})

    assert done == {
        "image": "R",
        "master": {"image": "R"},
        "components": [{"image": "toolbox"}, {"image": "r.example/tool"}],
    }
    assert spec["image"] == "tool"


@pytest.mark.parametrize("kind", list(builder.Kind))
def test_every_builder_is_asked_for_the_nodes_platform(folder: Path, kind: builder.Kind) -> None:
    argv = builder.build_argv(
        builder.Builder(kind=kind, state=folder), "x:1", folder, folder / "Containerfile"
    )

    assert "--platform linux/amd64" in " ".join(argv)


def test_what_ecr_removes_by_itself_no_program_can_name() -> None:
    chosen = [rule["selection"] for rule in registry.rules()]

    assert {one["tagStatus"] for one in chosen} == {"untagged", "tagged"}
    assert [one.get("tagPrefixList") for one in chosen] == [None, ["cache-"]]


def test_the_password_is_the_regions() -> None:
    argv = registry.password_argv("eu-west-1", "mine")

    assert " ".join(argv) == "aws ecr get-login-password --region eu-west-1 --profile mine"

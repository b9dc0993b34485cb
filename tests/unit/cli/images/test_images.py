"""Content tags, ignore files, and references in manifests."""

import shutil
import stat
from pathlib import Path

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.images import builder, contexts
from clusterous_cli.system import private


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "Containerfile").write_text("FROM scratch\n")
    (tmp_path / "src/a.py").write_text("a")
    (tmp_path / "src/b.py").write_text("b")
    return tmp_path


def test_the_tag_is_the_same_for_the_same_content(folder: Path) -> None:
    first = contexts.content_tag(folder)
    (folder / "src/a.py").unlink()
    (folder / "src/a.py").write_text("a")

    assert contexts.content_tag(folder) == first
    assert first.startswith("src-")


@pytest.mark.parametrize("change", ["bytes", "mode", "name", "link", "recipe", "empty", "split"])
def test_the_tag_changes_with_the_content(folder: Path, change: str) -> None:
    first = contexts.content_tag(folder)
    file = folder / "src/a.py"
    match change:
        case "bytes":
            file.write_text("c")
        case "mode":
            file.chmod(0o755)
        case "name":
            file.rename(folder / "src/c.py")
        case "link":
            file.unlink()
            file.symlink_to("b.py")
        case "recipe":
            (folder / "Containerfile").write_text("FROM other\n")
        case "empty":
            (folder / "empty").mkdir()
        case "split":
            file.write_text("a4:fileb")

    assert contexts.content_tag(folder) != first


def test_ignored_files_do_not_count(folder: Path) -> None:
    (folder / ".dockerignore").write_text("*.log\n")
    first = contexts.content_tag(folder)
    (folder / "x.log").write_text("noise")

    assert contexts.content_tag(folder) == first


def test_containerignore_goes_before_dockerignore(folder: Path) -> None:
    (folder / ".dockerignore").write_text("**\n")
    (folder / ".containerignore").write_text("src/b.py\n")

    assert "src/a.py" in contexts.context_files(folder)
    assert "src/b.py" not in contexts.context_files(folder)


@pytest.mark.parametrize("name", [".containerignore", "Containerfile.dockerignore"])
def test_what_any_builder_sees_counts(folder: Path, name: str) -> None:
    (folder / name).write_text("src/b.py\n")
    before = contexts.content_tag(folder)

    (folder / "src/b.py").write_text("another")

    assert contexts.content_tag(folder) != before


@pytest.mark.parametrize(
    ("rules", "path", "ignored"),
    [
        pytest.param("a.py", "a.py", True, id="exact"),
        pytest.param("a.py", "src/a.py", False, id="only-at-the-top"),
        pytest.param("**/a.py", "src/deep/a.py", True, id="anywhere"),
        pytest.param("**/a.py", "a.py", True, id="anywhere-is-also-the-top"),
        pytest.param("src", "src/deep/a.py", True, id="folder"),
        pytest.param("src/", "src/a.py", True, id="folder-with-slash"),
        pytest.param("/src", "src/a.py", True, id="leading-slash"),
        pytest.param("*.py", "src/a.py", False, id="star-stays-in-its-segment"),
        pytest.param("*/*.py", "src/a.py", True, id="two-segments"),
        pytest.param("src/?.py", "src/a.py", True, id="question-mark"),
        pytest.param("src/[a-c].py", "src/b.py", True, id="class"),
        pytest.param("src/[^a-c].py", "src/b.py", False, id="negated-class"),
        pytest.param("*\n!src", "src/a.py", False, id="exception"),
        pytest.param("*\n!src\nsrc/b.py", "src/b.py", True, id="last-wins"),
        pytest.param("# a.py\n\n", "a.py", False, id="comment"),
        pytest.param("a+b.txt", "aab.txt", False, id="no-regex"),
        pytest.param(r"a\*", "a*", True, id="escaped"),
        pytest.param("src/**", "src/deep/x", True, id="everything-below"),
        pytest.param("[", "[", True, id="open-bracket"),
    ],
)
def test_reads_ignore_files(rules: str, path: str, ignored: bool) -> None:
    assert contexts.is_ignored(path, contexts.ignore_rules(rules)) is ignored


def test_refuses_a_wrong_pattern() -> None:
    with pytest.raises(UserError, match="wrong pattern"):
        contexts.ignore_rules("[z-a]")


def test_prefers_a_containerfile(folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM x\n")

    assert contexts.containerfile(folder).name == "Containerfile"


def test_says_that_there_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither Containerfile nor Dockerfile"):
        contexts.containerfile(tmp_path)
    with pytest.raises(UserError, match="There is no folder"):
        contexts.containerfile(tmp_path / "nowhere")


def test_names_the_reference(folder: Path) -> None:
    build = contexts.plan_build("montecarlo:v1", folder)

    assert (
        contexts.reference("r.example", "reef", build)
        == f"r.example/clusterous/reef/montecarlo:{build.tag}"
    )


def test_finds_what_a_manifest_builds() -> None:
    annotations = {"clusterous.io/build.tool": "image/", "other": "x"}

    assert contexts.manifest_builds({"metadata": {"annotations": annotations}}) == {
        "tool": "image/"
    }
    assert contexts.manifest_builds({"metadata": {}}) == {}
    with pytest.raises(UserError, match="is not the name of an image"):
        contexts.manifest_builds({"metadata": {"annotations": {"clusterous.io/build.A B": "."}}})


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


def test_the_tag_does_not_know_the_umask(folder: Path) -> None:
    tags = set()
    for files, folders in ((0o644, 0o755), (0o664, 0o775), (0o600, 0o700)):
        for path in folder.rglob("*"):
            path.chmod(folders if path.is_dir() else files)
        tags.add(contexts.content_tag(folder))

    assert len(tags) == 1


def test_the_tag_knows_all_that_a_build_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = contexts.content_tag(folder)
    monkeypatch.setattr(contexts, "ASKED", ("--platform", "linux/arm64"))

    assert contexts.content_tag(folder) != first


@pytest.mark.parametrize("kind", list(builder.Kind))
def test_every_builder_is_asked_for_the_nodes_platform(folder: Path, kind: builder.Kind) -> None:
    argv = builder.build_argv(
        builder.Builder(kind=kind, state=folder), "x:1", folder, folder / "Containerfile"
    )

    assert "--platform linux/amd64" in " ".join(argv)


def test_what_only_its_owner_may_read_is_built_for_all(folder: Path) -> None:
    (folder / ".dockerignore").write_text("Containerfile\n*.log\n")
    (folder / "x.log").write_text("noise")
    (folder / "src/a.py").chmod(0o600)
    (folder / "src/run").symlink_to("a.py")
    (folder / "src/b.py").chmod(0o700)

    with contexts.readable(folder) as copied:
        modes = {
            str(path.relative_to(copied)): stat.S_IMODE(path.lstat().st_mode)
            for path in copied.rglob("*")
            if not path.is_symlink()
        }
        same = contexts.content_tag(copied) == contexts.content_tag(folder)

    assert copied != folder
    assert same
    assert modes["src/a.py"] == 0o644
    assert modes["src/b.py"] == 0o755
    assert "x.log" not in modes
    assert "Containerfile" in modes
    assert not copied.exists()


def test_what_all_may_read_is_built_as_it_is(folder: Path) -> None:
    with contexts.readable(folder) as given:
        assert given == folder


def test_dockers_settings_are_the_persons_but_for_the_logins() -> None:
    theirs = {
        "currentContext": "colima",
        "proxies": {"default": {}},
        "credsStore": "desktop",
        "credHelpers": {"r.example": "ecr-login"},
        "auths": {"r.example": {}},
    }

    assert builder.docker_config(theirs, "r.example") == {
        "currentContext": "colima",
        "proxies": {"default": {}},
        "credHelpers": {"r.example": ""},
    }
    assert builder.docker_config(["what"], "r.example") == {"credHelpers": {"r.example": ""}}


def test_two_runs_at_once_have_logins_of_their_own(tmp_path: Path) -> None:
    mine = builder.Builder(kind=builder.Kind.BUILDAH, state=tmp_path)
    other = builder.Builder(kind=builder.Kind.BUILDAH, state=tmp_path, login="login-1")
    for one in (mine, other):
        private.write(one.auth_file, "{}")

    shutil.rmtree(mine.auth_folder)

    assert other.auth_file.exists()
    assert str(mine.auth_file) in builder.login_argv(mine, "r.example")

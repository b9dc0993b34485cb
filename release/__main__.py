"""`make release`: all that is published of a version, in dist/; a commit gives the same bytes."""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import yaml
from packaging.utils import canonicalize_name

from clusterous_api.errors import ClusterousError
from clusterous_cli.boot import releases
from clusterous_cli.images import maker
from clusterous_cli.images.assembly import pull, references, wheels
from clusterous_cli.system import assets, download
from release import locks, sbom
from release.image import quiet
from release.pins import tell
from release.sbom import Base, Library

ROOT: Final = locks.ROOT
SUMS: Final = "SHA256SUMS"
CHARTS: Final = ("clusterous", "clusterous-logging")


def make(source: Path, target: Path, epoch: int, hosts: Mapping[str, str]) -> None:
    """Write everything of the checkout *source* into the empty folder *target*.

    With *hosts* the base image comes from elsewhere than where people get it: such an image is for
    trying alone, and is called so.
    """
    target.mkdir(parents=True, exist_ok=True)
    tell("wheel and sdist")
    packed(source, target, epoch)
    tell("charts")
    for name in CHARTS:
        chart = source / "charts" / name
        packed_as = target / f"{name}-{_chart_version(chart)}.tgz"
        packed_as.write_bytes(assets.chart_archive(chart))
    tell("image")
    what = maker.plan(source / "images" / "operator")
    reference = f"{what.recipe.name}:{assets.version()}"
    published = releases.operator(assets.version()).published_name
    archive = published.replace(".tar", ".standin.tar") if hosts else published
    maker.assemble(what, reference, target / archive, tell, quiet, hosts)
    tell("bill of materials")
    bill = sbom.spelled(assets.version(), base(what, hosts), inside(what), asked(source), epoch)
    (target / f"clusterous-{assets.version()}.cdx.json").write_text(bill)
    (target / SUMS).write_text(sums(target))


def packed(source: Path, target: Path, epoch: int) -> None:
    """Build sdist and wheel of what git knows of *source*."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "source"
        for path in tracked(source):
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / path, copy / path, follow_symlinks=False)
        argv = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(copy)]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"build ended with {done.returncode}: {done.stdout}{done.stderr}")


def tracked(source: Path) -> list[str]:
    """List the files of a checkout."""
    listed = _git(source, "ls-files", "-z").split("\0")
    return [path for path in listed if path and os.path.lexists(source / path)]


def base(what: maker.Plan, hosts: Mapping[str, str]) -> Base:
    """Return the base image as it is now."""
    wanted = references.parse(what.base)
    digest, _ = pull.Registry(wanted, hosts).manifest()
    return Base(name=wanted.name, tag=wanted.tag or "", digest=digest)


def inside(what: maker.Plan) -> list[Library]:
    """Return the wheels of the image."""
    with maker.wheels_of(what) as found:
        sums = [download.sha256(path) for path in found]
        names = list(wheels.named(found))
    return [
        Library(name=canonicalize_name(name), version=version, sha256=sum)
        for (name, version), sum in zip(names, sums, strict=True)
    ]


def asked(source: Path) -> list[Library]:
    """Return what the command line asks for, in the versions that it was tested with."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    pinned = locks.parse_lock((source / "requirements.lock").read_text())
    names = sorted(locks.closure(project["dependencies"]))
    versions = [pinned[name].partition("==")[2].split()[0] for name in names]
    return [Library(name=name, version=one) for name, one in zip(names, versions, strict=True)]


def sums(folder: Path) -> str:
    """Return the lines that `sha256sum --check` reads."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    return "".join(f"{download.sha256(path)}  {path.name}\n" for path in files)


def _chart_version(chart: Path) -> str:
    return str(yaml.safe_load((chart / "Chart.yaml").read_text())["version"])


def _git(source: Path, *argv: str) -> str:
    return subprocess.run(
        ["git", *argv], cwd=source, capture_output=True, text=True, check=True
    ).stdout


def main(source: Path, target: Path) -> int:
    """Make a release of the commit that is checked out."""
    if _git(source, "status", "--porcelain", "--untracked-files=no"):
        tell(
            "There are changes that are in no commit; a release is of a commit. Commit them first."
        )
        return 2
    shutil.rmtree(target, ignore_errors=True)
    epoch = int(_git(source, "log", "-1", "--format=%ct"))
    with ExitStack() as stack:
        make(source, target, epoch, _hosts(stack))
    for line in (target / SUMS).read_text().splitlines():
        tell(line)
    return 0


def _hosts(stack: ExitStack) -> dict[str, str]:
    """Return where the base image is: the region's, where Docker Hub cannot be reached."""
    wanted = references.parse(maker.plan(ROOT / "images" / "operator").base)
    try:
        pull.Registry(wanted).digest()
    except ClusterousError as error:
        from tests.region.parts import operator_image, parts

        tell(
            f"{error}\nThe image is made on the region's stand-in instead: to try, not to publish."
        )
        found = parts.paths(["debian", "hub"], tell)
        program = found["debian"] / "usr" / "bin" / "docker-registry"
        address = stack.enter_context(operator_image.serving(program, found["hub"]))
        return {references.HUB: f"http://{address}"}
    return {}


if __name__ == "__main__":
    sys.exit(main(ROOT, ROOT / "dist"))

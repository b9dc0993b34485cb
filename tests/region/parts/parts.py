"""All parts of the simulated region that are built, not written: what, of what, and where.

`ensure` gives their paths, after building what is missing; see cache.py for how.
"""

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from release import locks
from tests.region.machines import rootfs
from tests.region.parts import (
    addons,
    airgap,
    buildkit,
    cache,
    debian,
    debs,
    eck,
    host,
    images,
    kubectl,
    logimages,
    logs,
    minors,
    nfs_client,
    opensearch,
    operator_image,
    packages,
    registry_image,
    release,
    standin,
    temurin,
    volume_image,
    wheels,
)
from tests.region.parts.cache import Build, Found, Recipe, Tell

HERE: Final = Path(__file__).parent
GO: Final = HERE / "go"
VOLUME: Final = HERE / "go-volume"
PROGRAMS: Final = (
    "kube",
    "kwok",
    "k3s-launcher",
    "coredns",
    "local-path-provisioner",
    "ecr-credential-provider",
    "pause",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Where the parts are. Only what `ensure` was asked for is certain to exist."""

    k3s: Path
    airgap: Path
    kube: Path
    kwok: Path
    coredns: Path
    ecr_credential_provider: Path
    kubectl: Path
    helm: Path
    registry: Path
    hub: Path
    buildkit: Path
    kubernetes_images: Path
    operator_image: Path
    volume_image: Path
    wheels: Path
    debs: Path
    rootfs: Path
    volume: Path
    versions: Mapping[str, str]


# Where in which entry of the cache each of these is.
PLACES: Final[Mapping[str, tuple[str, str]]] = {
    "k3s": ("k3s", "k3s"),
    "airgap": ("k3s", airgap.ARCHIVE),
    "kube": ("go", "kube"),
    "kwok": ("go", "kwok"),
    "coredns": ("go", "coredns"),
    "ecr_credential_provider": ("go", "ecr-credential-provider"),
    "kubectl": ("kubectl", "kubectl"),
    "helm": ("kubectl", "helm"),
    "registry": ("debian", "usr/bin/docker-registry"),
    "hub": ("docker_hub", ""),
    "buildkit": ("buildkit", "buildkitd"),
    "kubernetes_images": ("kubernetes_images", ""),
    "operator_image": ("operator_image", operator_image.ARCHIVE),
    "volume_image": ("volume_image", volume_image.ARCHIVE),
    "wheels": ("wheels", ""),
    "debs": ("debs", ""),
    "rootfs": ("rootfs", "tree"),
    "volume": ("volume", "volume"),
}
NAMES: Final = tuple(PLACES)
# What no region needs and a test does: built before the tests, which would wait for it for long.
FOR_TESTS: Final = ("logs",)


def ensure(names: Iterable[str] | None = None, tell: Tell = print) -> Parts:
    """Build what is missing of the named parts (default: all of them)."""
    wanted = list(names) if names is not None else list(NAMES)
    root = cache.default_root()
    paths([PLACES[name][0] for name in wanted], tell)
    known = cache.entries(RECIPES, sorted({entry for entry, _ in PLACES.values()}), root)
    places = {name: known[entry].path / inside for name, (entry, inside) in PLACES.items()}
    return Parts(**places, versions=versions())


def paths(entries: Iterable[str], tell: Tell) -> dict[str, Path]:
    """Build what is missing of the named entries of the cache, and return where they are."""
    wanted = list(dict.fromkeys(entries))
    root = cache.default_root()
    known = cache.entries(RECIPES, wanted, root)
    if not all(known[name].path.exists() for name in wanted):
        host.ensure(tell)
    return cache.ensure(RECIPES, wanted, root=root, tell=tell)


def there(entries: Iterable[str]) -> list[Path]:
    """Return where those of the named entries are that somebody had built."""
    known = cache.entries(RECIPES, entries, cache.default_root())
    return [known[name].path for name in entries if known[name].path.exists()]


def kube(usual: Path, tell: Tell) -> Path:
    """Return the control plane of the minor that was chosen for this run, or the *usual* one."""
    minor = minors.chosen()
    if minor is None:
        return usual
    name = minors.entry(minor)
    return paths([name], tell)[name] / "kube"


def versions() -> dict[str, str]:
    """Return the versions that people ask for."""
    return {
        "k3s": release.K3S_VERSION,
        "ecr-credential-provider": "v1.35.0",
        "operator": operator_image.version(),
        "clusterous": operator_image.version(),
    }


def _build_go(target: Path, found: Found, tell: Tell) -> None:
    # Its own lines tell the progress; what goes wrong is in them too.
    argv = ["nice", str(GO / "build.sh"), str(target), *PROGRAMS]
    said: list[str] = []
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            said.append(line.rstrip())
            if line.startswith("[") and not line.rstrip().endswith("so far"):
                tell(line.rstrip())
    if process.returncode:
        words = "\n".join(said[-30:])
        raise OSError(f"build.sh ended with {process.returncode}:\n{words}")


def _build_k3s(target: Path, found: Found, tell: Tell) -> None:
    if release.download(target, tell):
        return
    tell("the official release is out of reach; assembling the stand-in")
    standin.assemble(found["go"], found["netpol"], found["debian"], found["kubectl"], target)
    metrics = found["metrics_server"] / addons.METRICS_PROGRAM
    airgap.write(found["go"], found["busybox"] / "bin" / "busybox", metrics, target)


def _build_rootfs(target: Path, found: Found, tell: Tell) -> None:
    rootfs.build(target / "tree", found["nfs_client"] / nfs_client.PROGRAM, tell)


def _build_volume(target: Path, found: Found, tell: Tell) -> None:
    addons.compile_go(VOLUME, ".", "", target / "volume")


def _modules(*modules: object) -> tuple[Path, ...]:
    return tuple(Path(str(module.__dict__["__file__"])) for module in modules)


def _aws_version() -> str:
    return locks.parse_lock(locks.LOCK.read_text())["awscli"].split()[0]


def _compiled(name: str, build: Build, module: Path, version: str, seconds: float) -> Recipe:
    """Return the recipe of what is compiled of a Go *module* of its own."""
    return Recipe(
        name=name,
        build=build,
        versions={"version": version},
        sources=addons.sources(module),
        estimate_seconds=seconds,
        heavy=True,
    )


def _recipes() -> Sequence[Recipe]:
    return (
        Recipe(name="go", build=_build_go, sources=(GO,), estimate_seconds=420, heavy=True),
        _compiled(
            "metrics_server", addons.build_metrics, addons.METRICS, addons.METRICS_VERSION, 210
        ),
        _compiled("cloud_controller", addons.build_cloud, addons.CLOUD, addons.CLOUD_VERSION, 65),
        _compiled("netpol", addons.build_policies, addons.POLICY, addons.POLICY_VERSION, 150),
        Recipe(
            name="kubernetes_images",
            build=addons.build_registry,
            versions={"version": addons.CLOUD_VERSION},
            sources=_modules(images),
            needs=("cloud_controller",),
            estimate_seconds=10,
        ),
        Recipe(
            name="debian",
            build=debian.build_programs,
            versions={"suite": debian.SUITE, "packages": " ".join(debian.PROGRAMS)},
            estimate_seconds=8,
        ),
        Recipe(
            name="busybox",
            build=debian.build_busybox,
            versions={"suite": debian.SUITE, "packages": " ".join(debian.BUSYBOX)},
            estimate_seconds=3,
        ),
        Recipe(
            name="kubectl",
            build=kubectl.build,
            sources=_modules(kubectl),
            estimate_seconds=5,
        ),
        Recipe(
            name="k3s",
            build=_build_k3s,
            sources=_modules(airgap, images, release, standin),
            needs=("go", "metrics_server", "netpol", "debian", "kubectl", "busybox"),
            estimate_seconds=20,
        ),
        Recipe(
            name="trees",
            build=debian.build_trees,
            sources=_modules(debian),
            estimate_seconds=50,
        ),
        Recipe(
            name="hub",
            build=debian.build_hub,
            sources=_modules(debian, images),
            needs=("trees",),
            estimate_seconds=20,
        ),
        _compiled("buildkit", buildkit.build_programs, buildkit.MODULE, buildkit.VERSION, 200),
        Recipe(
            # Another than the hub's, on which images of ours are made: these do not need it.
            name="docker_hub",
            build=buildkit.build_hub,
            versions={"tag": buildkit.TAG},
            sources=_modules(buildkit, images),
            needs=("hub", "trees", "buildkit", "busybox", "debian"),
            estimate_seconds=15,
        ),
        Recipe(
            name="wheels",
            build=wheels.build,
            sources=(locks.OPERATOR, *_modules(wheels)),
            estimate_seconds=5,
        ),
        Recipe(
            name="debs",
            build=debs.build,
            sources=debs.SOURCES,
            estimate_seconds=5,
        ),
        Recipe(
            name="logs",
            build=logs.build,
            sources=logs.SOURCES,
            estimate_seconds=180,
            heavy=True,
        ),
        Recipe(
            name=logimages.NAME,
            build=logimages.build,
            sources=(logimages.VALUES, *_modules(logimages, images)),
            needs=("logs",),
            estimate_seconds=10,
        ),
        Recipe(
            name="operator_image",
            build=operator_image.build,
            sources=operator_image.SOURCES,
            needs=("debian", "hub"),
            estimate_seconds=30,
        ),
        Recipe(
            name="volume_image",
            build=volume_image.build,
            sources=volume_image.SOURCES,
            needs=("debian", "hub", "debs"),
            estimate_seconds=15,
        ),
        Recipe(
            name="nfs_client",
            build=nfs_client.build,
            sources=(nfs_client.MODULE, *_modules(nfs_client)),
            estimate_seconds=25,
        ),
        Recipe(
            name="rootfs",
            build=_build_rootfs,
            versions={"aws": _aws_version()},
            sources=tuple(rootfs.SOURCES),
            needs=("nfs_client",),
            estimate_seconds=70,
        ),
        Recipe(
            name="volume",
            build=_build_volume,
            sources=(VOLUME,),
            estimate_seconds=5,
        ),
        *(
            Recipe(
                name=packages.part(example),
                build=packages.builder(example),
                sources=(packages.lock(example),),
                estimate_seconds=30,
            )
            for example in packages.EXAMPLES
        ),
        Recipe(
            name="registry_program",
            build=registry_image.build_program,
            versions={"tag": registry_image.TAG},
            sources=addons.sources(registry_image.MODULE),
            estimate_seconds=240,
        ),
        Recipe(
            name="registry_image",
            build=registry_image.build,
            versions={"tag": registry_image.TAG},
            sources=_modules(registry_image, images),
            needs=("registry_program", "trees"),
            estimate_seconds=20,
        ),
        Recipe(
            name="temurin",
            build=temurin.build,
            versions={"suite": debian.SUITE, "packages": temurin.PACKAGE},
            sources=_modules(temurin, images),
            estimate_seconds=30,
        ),
        Recipe(
            name=eck.NAME,
            build=eck.build,
            sources=(*addons.sources(eck.MODULE), *_modules(eck)),
            estimate_seconds=240,
            heavy=True,
        ),
        Recipe(
            name=opensearch.NAME,
            build=opensearch.build,
            sources=(opensearch.HERE, *_modules(opensearch)),
            estimate_seconds=90,
        ),
        *minors.recipes(),
    )


RECIPES: Final[Mapping[str, Recipe]] = {recipe.name: recipe for recipe in _recipes()}

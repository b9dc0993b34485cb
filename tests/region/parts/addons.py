"""Programs that run in a cluster beside the user's: metrics-server, AWS's cloud controller manager
and, in k3s itself, kube-router's controller of network policies.

Each is its publisher's own source, unchanged, as one static file. The images in which two come
are made elsewhere: k3s carries the one with it, registry.k8s.io serves the other.
"""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.region.parts import images
from tests.region.parts.cache import Found, Tell
from tests.region.parts.images import Entry, Image

HERE: Final = Path(__file__).parent
METRICS: Final = HERE / "go-metrics"
# Of the same module as the node's programs: most of what it is compiled of is there already.
CLOUD: Final = HERE / "go"
POLICY: Final = HERE / "go-netpol"
METRICS_VERSION: Final = "v0.8.0"
CLOUD_VERSION: Final = "v1.35.0"
# The newest that the mirrors of modules have; k3s 1.35 carries 2.6 of a fork of its own.
POLICY_VERSION: Final = "v2.1.0"
METRICS_PROGRAM: Final = "metrics-server"
POLICY_PROGRAM: Final = "kube-router"
CLOUD_PROGRAM: Final = "aws-cloud-controller-manager"
CLOUD_REPOSITORY: Final = "provider-aws/cloud-controller-manager"


def sources(module: Path) -> tuple[Path, ...]:
    """Return what a program of *module* is made of, as far as the checkout says it."""
    return (module / "go.mod", module / "go.sum")


def build_metrics(target: Path, found: Found, tell: Tell) -> None:
    """Write TARGET/metrics-server."""
    stamp = f"-X sigs.k8s.io/metrics-server/pkg/version.gitVersion={METRICS_VERSION}"
    package = f"sigs.k8s.io/metrics-server/cmd/{METRICS_PROGRAM}"
    compile_go(METRICS, package, stamp, target / METRICS_PROGRAM)


def build_cloud(target: Path, found: Found, tell: Tell) -> None:
    """Write TARGET/aws-cloud-controller-manager."""
    stamp = f"-X k8s.io/component-base/version.gitVersion={CLOUD_VERSION}"
    package = f"k8s.io/cloud-provider-aws/cmd/{CLOUD_PROGRAM}"
    compile_go(CLOUD, package, stamp, target / CLOUD_PROGRAM)


def build_policies(target: Path, found: Found, tell: Tell) -> None:
    """Write TARGET/kube-router, whose controller of network policies k3s runs on each node."""
    module = "github.com/cloudnativelabs/kube-router/v2"
    stamp = f"-X {module}/pkg/version.Version={POLICY_VERSION}"
    compile_go(POLICY, f"{module}/cmd/{POLICY_PROGRAM}", stamp, target / POLICY_PROGRAM)


def build_registry(target: Path, found: Found, tell: Tell) -> None:
    """Write the storage of registry.k8s.io, with the images of it that a cluster is made of."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        program = found["cloud_controller"] / CLOUD_PROGRAM
        path = f"bin/{CLOUD_PROGRAM}"
        layer = images.layer_from_entries({path: Entry(source=program)}, Path(folder) / "layer")
        image = Image(
            name=f"registry.k8s.io/{CLOUD_REPOSITORY}:{CLOUD_VERSION}",
            layers=(layer,),
            entrypoint=(f"/{path}",),
        )
        images.store(image, CLOUD_REPOSITORY, CLOUD_VERSION, target)


def compile_go(module: Path, package: str, stamp: str, program: Path, *more: str) -> None:
    """Compile *package* of a *module* of ours to the static file *program*, with *more* flags."""
    flags = ("-mod=readonly", "-trimpath", "-buildvcs=false", *more, "-ldflags", f"-s -w {stamp}")
    done = subprocess.run(
        ["nice", "go", "build", *flags, "-o", program, package],
        cwd=module,
        env={**os.environ, "CGO_ENABLED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OSError(f"go build ended with {done.returncode}:\n{done.stdout[-3000:]}")

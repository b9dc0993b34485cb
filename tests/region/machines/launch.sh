#!/bin/sh
# Start a machine: launch.sh ROOTFS FOLDER GROUP NAMESPACE systemd-nspawn ARGUMENT...
#
# The process that runs this becomes systemd-nspawn. First it joins the machine's control groups
# and leaves for a mount namespace of its own: the overlay and the mounts of the groups exist
# there only, so they end with the last process of the machine, whatever becomes of the region.
# It enters the network namespace itself too, since /sys shows the network of whoever mounts it.
set -eu

if [ "${1:-}" != --inside ]; then
    for procs in /sys/fs/cgroup/"$3"/cgroup.procs /sys/fs/cgroup/*/"$3"/cgroup.procs; do
        [ ! -e "$procs" ] || echo $$ >"$procs"
    done
    # Of version 2 it finds its group by the host's names, and gives the machine a view of its own.
    [ -e /sys/fs/cgroup/cgroup.controllers ] && view= || view=--cgroup
    exec nsenter "--net=/run/netns/$4" \
        unshare $view --mount --propagation private "$0" --inside "$@"
fi
shift
rootfs=$1 folder=$2
shift 4

mount -t overlay -o "lowerdir=$rootfs,upperdir=$folder/upper,workdir=$folder/work" \
    overlay "$folder/root"

# What systemd-nspawn notes down about the machine goes with it too.
"$(dirname "$0")/nameless.sh"
mount -t tmpfs -o mode=755,size=1m run /run

# systemd-nspawn wants hierarchies of version 1 as its own groups see them: with the machine's as the
# root.
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || exec "$@"
kinds=$(awk '$3 ~ /^cgroup2?$/ { print $2, $3, $4 }' /proc/mounts)
umount --lazy --recursive /sys/fs/cgroup
mount -t tmpfs -o mode=755,size=1m cgroups /sys/fs/cgroup
echo "$kinds" | while read -r where kind options; do
    mkdir "$where"
    case $kind in
    cgroup2) mount -t cgroup2 cgroup2 "$where" ;;
    *) mount -t cgroup -o "${options##*relatime,}" cgroup "$where" ;;
    esac
done

exec "$@"

#!/bin/sh
# Give up the names of the network namespaces in this mount namespace: held here, those of other
# machines could not end. Two `ip netns add` at once mount their folder on itself twice, and then a
# name can be reached only when what lies over it is gone.
set -eu
names() { awk '$2 ~ "^/run/netns(/|$)" { print $2 }' /proc/self/mounts | sort --reverse; }
left=$(names)
while [ -n "$left" ]; do
    before=$left
    echo "$before" | uniq | xargs -n 1 umount --lazy 2>/dev/null || :
    left=$(names)
    if [ "$left" = "$before" ]; then
        echo "cannot be given up: $(echo "$left" | uniq)" >&2
        exit 1
    fi
done

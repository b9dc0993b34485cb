#!/bin/sh
# A snapshot of what Kubernetes knows, to the bucket; every quarter of an hour by the boot, and when
# `clusterous snapshot save` asks for one: snapshot.sh [asked [SNAPSHOT-OF-THE-SHARED-VOLUME]]
# A name of the day or of the month is there again later, and the older one under it is replaced: so
# there is an end to them, and this machine need not be allowed to list or to delete any.
set -eu
umask 077
REGION=@REGION@ BUCKET=@BUCKET@ DOMAIN=@DOMAIN@
LIB=${CLUSTEROUS_LIB:-/usr/local/lib/clusterous}
ROOT=${CLUSTEROUS_ROOT:-}
. "$LIB/s3.sh"
PLACE=$ROOT/var/lib/clusterous
mkdir -p "$PLACE"
work=$(mktemp -d "$PLACE/snapshot.XXXXXX")
trap 'rm -rf "$work"' EXIT

taken=${NOW:-$(date -u +%Y%m%dT%H%M%SZ)}
python3 "$LIB/datastore.py" save "$ROOT@KEPT@/db/state.db" "$ROOT/etc/rancher/k3s/token" "$work/it" \
    "taken=$taken" 'cluster=@CLUSTER@' 'uid=@UID@' "volume=${2:-}" \
    "k3s=$("${K3S:-/usr/local/bin/k3s}" --version | sed -n '1s/^k3s version \([^ ]*\).*/\1/p')"
sum=$(digest <"$work/it")

put() { s3 PUT "@FOLDER@$1.tar.gz" "$sum" --data-binary "@$work/it" -o /dev/null; }

day=${taken%T*} time=${taken#*T}
if [ "${1:-}" = asked ]; then
    put "asked/$taken"
else
    minute=${time#??} minute=${minute%???} minute=${minute#0}
    put "quarter/${time%?????}$(printf %02d $((minute / 15 * 15)))"
    put "day/${day#??????}"
fi
echo "$taken"

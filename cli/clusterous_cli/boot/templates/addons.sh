# What the cluster itself runs, as a table in the bucket says. The laptop writes it anew while the
# cluster lives, so that no script can pin it; it pins the files that it names. Its lines:
# NAME DIGEST FOLDER FILE KEY SHA256
ADDONS=$ROOT/var/lib/clusterous/addons
K3S=$ROOT/var/lib/rancher/k3s
LINE='^[a-z0-9-]+ [0-9a-f]+ (images|manifests|pods) addon-[a-z0-9.-]+ [A-Za-z0-9/._-]+ [0-9a-f]{64}$'

# tool kubectl|ctr ARGS...: k3s is one large program, and most of what its tools take to start is Go's
# collector of garbage, again and again, before they begin. They end soon.
tool() { GOGC=off GOMEMLIMIT=384MiB k3s "$@"; }

read_addons() {
    mkdir -p "${ADDONS%/*}"
    s3 GET @TABLE@ $NOTHING -o "$ADDONS.new" || return 1
    # The whole of it or nothing: what it names is written, and run, by root.
    if [ ! -s "$ADDONS.new" ] || grep -vqE "$LINE" "$ADDONS.new"; then
        echo '@TABLE@ is not in the form that clusterous writes'
        return 1
    fi
    mv "$ADDONS.new" "$ADDONS"
}

# place_addons WHEN: bring what the table names to where k3s finds it; one that fails keeps no other.
place_addons() {
    failed=
    while read -r addon _ folder file key sum <&3; do
        case " $failed " in *" $addon "*) continue ;; esac
        place_file "$1" || failed="$failed $addon"
    done 3<"$ADDONS"
    drop_files
    [ -z "$failed" ] && cp "$ADDONS" "$ADDONS.placed"
}

place_file() {
    case $folder in
    images) target=$K3S/agent/images/$file ;;
    pods) target=$K3S/agent/pod-manifests/$file ;;
    *) target=$K3S/server/manifests/$file ;;
    esac
    [ ! -f "$target" ] || [ "$(digest <"$target")" != "$sum" ] || return 0
    mkdir -p "${target%/*}"
    (umask 077 && fetch "$key" "$sum" "$ADDONS.file") || return 1
    # k3s takes archives in by itself only when it starts, and must have them before the objects.
    if [ "$1/$folder" = running/images ]; then
        tool ctr images import "$ADDONS.file" </dev/null || return 1
    fi
    mv "$ADDONS.file" "$target"
}

# What the table names no more. k3s deletes what a manifest holds no longer; where the file itself is
# gone, it leaves all that was in it.
drop_files() {
    for target in "$K3S"/server/manifests/addon-*.yaml "$K3S"/agent/*/addon-*; do
        if [ ! -f "$target" ] || grep -qF " ${target##*/} " "$ADDONS"; then continue; fi
        case $target in
        */manifests/*) echo '# not wanted any more' >"$target" ;;
        *) rm -f "$target" ;;
        esac
    done
}

# Before k3s starts. A machine that starts again goes on with what it has.
first_addons() {
    left=${FETCH_TRIES:-450}
    until _began=$(date +%s) && read_addons || [ -s "$ADDONS.placed" ]; do
        left=$((left - 1))
        if [ "$left" -le 0 ]; then
            echo "@TABLE@ could not be fetched from the bucket $BUCKET"
            return 1
        fi
        rest "${FETCH_PAUSE:-2}" "$_began"
    done
    place_addons starting || [ -s "$ADDONS.placed" ]
}

# What keeps the cluster from running what it should is told in the report.
look_at_addons() {
    if { read_addons && { same_addons || place_addons running; }; } >"$STATE/addons.log" 2>&1; then
        : >"$STATE/addons.trouble"
    else
        tail -n 3 "$STATE/addons.log" >"$STATE/addons.trouble"
    fi
}

same_addons() {
    [ -f "$ADDONS.placed" ] && [ "$(digest <"$ADDONS")" = "$(digest <"$ADDONS.placed")" ]
}

# Images of the node's own pods come by an archive alone: a kubelet that makes room leaves them, and
# what somebody removed is taken in again.
pin_images() {
    cat "$K3S"/agent/pod-manifests/addon-*.yaml 2>/dev/null | sed -n 's/^ *"image": "\([^"]*\)".*/\1/p' | sort -u |
        while read -r image; do
            tool ctr images label "$image" @PIN@ </dev/null && continue
            for archive in "$K3S"/agent/images/addon-*; do
                tool ctr images import "$archive" </dev/null
            done
        done
} >/dev/null 2>&1

follow_addons() {
    FETCH_TRIES=5
    _began=$(date +%s)
    while :; do
        pin_images
        rest 30 "$_began"
        _began=$(date +%s)
        look_at_addons
    done
}

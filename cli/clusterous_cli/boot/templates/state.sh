# What Kubernetes knows lies on a volume of its own, which outlasts this machine: the laptop attaches
# it, and writes @NOTE@ when it is there, and anew when it was formatted. That is done once in its
# life, if it is blank, and nothing is on it before it is marked. Where a datastore has begun
# (@BEGUN@) none begins anew: what runs on workers would be forgotten. Where none has, and the laptop
# names a snapshot, it begins with what that knew.
KEPT=@PLACE@

# state_order NAME: what the laptop says of it; the whole of it or nothing.
state_order() {
    s3 GET @NOTE@ $NOTHING -o "$STATE/order.new" 2>/dev/null || return 1
    [ "$(grep -cE '^(id=vol-[0-9a-f]+|marked=(yes|no))$' "$STATE/order.new")" = 2 ] || return 1
    ! grep -qvE '^(id|marked|restore)=[0-9a-z-]+$' "$STATE/order.new" || return 1
    sed -n "s/^$1=//p" "$STATE/order.new"
}

# patiently COMMAND...: until it succeeds.
patiently() {
    _left=${FETCH_TRIES:-450}
    until _since=$(date +%s) && "$@"; do
        _left=$((_left - 1))
        [ $_left -gt 0 ] || return 1
        rest "${FETCH_PAUSE:-2}" "$_since"
    done
}

knows_volume() { volume=$(state_order id); }
is_marked() { [ "$(state_order marked)" = yes ]; }

# The device with the volume's number: by name, and by the card itself where it tells.
finds_device() {
    _serial=$(printf %s "$volume" | tr -d -)
    for _link in "$ROOT"/dev/disk/by-id/nvme-*_"$_serial"; do
        [ -e "$_link" ] || continue
        device=$(readlink -f "$_link")
        _card=$ROOT/sys/class/block/${device##*/}/device/serial
        [ ! -e "$_card" ] || [ "$(tr -d ' \n' <"$_card")" = "$_serial" ] && return 0
    done
    return 1
}

# is_zero MIB: whether the device has nothing there; what cannot be read is not nothing.
is_zero() {
    dd if="$device" of="$STATE/mib" bs=1048576 skip="$1" count=1 2>/dev/null || return 1
    [ "$(wc -c <"$STATE/mib")" -eq 1048576 ] && [ "$(tr -d '\000' <"$STATE/mib" | wc -c)" -eq 0 ]
}

# Where it stands that a file system was begun, in MiB: mkfs does not write there, and who looks after
# a cut sees it, also when the volume has grown since.
WITNESS=127
witness() {
    dd of="$device" bs=1048576 seek=$WITNESS count=1 iflag=fullblock conv=notrunc,fsync 2>/dev/null
}
is_begun() {
    dd if="$device" bs=1048576 skip=$WITNESS count=1 2>/dev/null | head -n 1 |
        grep -qxF "clusterous begins $volume"
}

make_system() {
    is_begun || { is_zero 0 && is_zero $((mib - 1)); } || {
        echo "$volume is neither blank nor does it hold a file system of ours. It is not formatted."
        return 1
    }
    { echo "clusterous begins $volume"; head -c 1048576 /dev/zero; } | head -c 1048576 | witness &&
        mkfs.ext4 -q -F -E nodiscard -m 0 -L clusterous "$device" </dev/null &&
        head -c 1048576 /dev/zero | witness
}

# What lies on the device: ext4, another kind, or nothing.
what_lies() { blkid -p -o value -s TYPE "$device" || [ $? -eq 2 ]; }

has_begun() {
    _code=$(s3 GET @BEGUN@ $NOTHING -o /dev/null -w '%{http_code}' 2>/dev/null) || :
    # S3 says 403 of what is not there to those who may not list.
    case $_code in
    200) begun=true ;;
    403 | 404) begun=false ;;
    *) return 1 ;;
    esac
}

# Mounted where k3s has it; k3s does not start without, see the unit.
keep_state() {
    mountpoint -q "$ROOT$KEPT" && return 0
    phase 'waiting for its state volume'
    patiently knows_volume || { echo 'nobody said which volume has the state of this controller'; return 1; }
    patiently finds_device || { echo "$volume, which has the state, is not attached to this machine"; return 1; }
    _kind=$(what_lies) || { echo "$volume cannot be read. It is not touched."; return 1; }
    if ! is_marked; then
        mib=$(($(blockdev --getsize64 "$device") / 1048576))
        if [ "$_kind" != ext4 ] || is_begun; then make_system || return 1; fi
        printf '{"volume":"%s","phase":"made"}' "$volume" >"$STATE/state.json"
        phase 'waiting for its state volume'
        patiently is_marked || { echo "nobody marked $volume as formatted"; return 1; }
        _kind=ext4
    fi
    if [ "$_kind" != ext4 ]; then
        echo "$volume was formatted, and ${_kind:-nothing} is found on it. It is not touched: mend it, or"
        echo "make another of its newest snapshot."
        return 1
    fi
    mkdir -p "$ROOT$KEPT"
    mount -t ext4 -o nosuid,nodev,noatime "$device" "$ROOT$KEPT"
    may_begin || { umount "$ROOT$KEPT"; return 1; }
    keep_room
    mkdir -p "$ROOT$KEPT/db"
    chmod 700 "$ROOT$KEPT" "$ROOT$KEPT/db"
    bring_back || { umount "$ROOT$KEPT"; return 1; }
    printf '{"volume":"%s","phase":"mounted"}' "$volume" >"$STATE/state.json"
}

# Room that only a full volume gets. Without any, Kubernetes cannot write that something was deleted,
# and a controller does not start again: k3s writes on it before it looks at anything. Given up when
# next to nothing is left, taken back when there is twice as much; in MiB.
RESERVE=$ROOT$KEPT/reserve
ROOM=@ROOM@
# room: what is used there, and what is free, in KiB.
room() { df -Pk "$ROOT$KEPT" | { read -r _ && read -r _ _ _used _free _ && echo "$_used $_free"; }; }
keep_room() {
    _room=$(room) || return 0
    _free=$((${_room##* } / 1024))
    if [ -e "$RESERVE" ]; then
        [ $_free -ge @SPARE@ ] || rm -f "$RESERVE"
    elif [ $_free -ge $((2 * ROOM)) ]; then
        { fallocate -l "${ROOM}MiB" "$RESERVE.new" && mv "$RESERVE.new" "$RESERVE"; } || rm -f "$RESERVE.new"
    fi
} 2>/dev/null

has_datastore() { [ -s "$ROOT$KEPT/db/state.db" ] || [ -s "$ROOT$KEPT/db/state.db-wal" ]; }

# What the snapshot knew that the laptop put there: without the machines of then, apps suspended.
bring_back() {
    _sum=$(state_order restore) || { echo "the bucket $BUCKET does not say what to begin with"; return 1; }
    [ -n "$_sum" ] && ! has_datastore || return 0
    phase 'restoring from a snapshot'
    fetch "@LIFE@$_sum@SNAPSHOT@" "$_sum" "$ROOT$KEPT/db/snapshot" || return 1
    python3 "$LIB/datastore.py" restore "$ROOT$KEPT/db/snapshot" "$ROOT$KEPT/db/state.db" \
        "$ROOT/etc/rancher/k3s/token" || return 1
    rm "$ROOT$KEPT/db/snapshot"
}

may_begin() {
    ! has_datastore || return 0
    patiently has_begun || { echo "the bucket $BUCKET does not answer whether a datastore has begun"; return 1; }
    ! $begun || {
        echo "There is no datastore on $volume, and this cluster has one: programs of it may run. None is"
        echo "begun anew. Bring back the volume that has it, or make one of its newest snapshot."
        return 1
    }
}

# Said once, by the first controller that is ready.
tell_begun() {
    patiently has_begun && ! $begun || return 0
    printf '%s %s %s\n' "${volume:-}" "$INSTANCE" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >"$STATE/begun"
    patiently s3 PUT @BEGUN@ "$(digest <"$STATE/begun")" --data-binary "@$STATE/begun" -o /dev/null
}

# A snapshot soon, and every quarter of an hour; its last words stay where one looks for them. One that
# fails is tried again by the next; that two have failed is told.
follow_snapshots() {
    _failed=0
    while :; do
        if sh "$LIB/snapshot.sh" >"$STATE/snapshot.log" 2>&1; then
            _failed=0
            : >"$STATE/snapshot.trouble"
        else
            _failed=$((_failed + 1))
            [ $_failed -lt 2 ] || tail -n 3 "$STATE/snapshot.log" >"$STATE/snapshot.trouble"
        fi
        sleep $((900 - $(date +%s) % 900))
    done
}

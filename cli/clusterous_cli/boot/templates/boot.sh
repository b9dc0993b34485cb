#!/bin/sh
# The boot of a @ROLE@, rendered by clusterous @VERSION@. Runs as root, once per start of the machine.
# Needs only POSIX sh, curl, sha256sum, od and systemd: no package manager, no internet.
set -u
umask 022
REGION=@REGION@ BUCKET=@BUCKET@ DOMAIN=@DOMAIN@ ROLE=@ROLE@
LIB=${CLUSTEROUS_LIB:-/usr/local/lib/clusterous}
STATE=${CLUSTEROUS_STATE:-/run/clusterous}
ROOT=${CLUSTEROUS_ROOT:-}
LOG=${CLUSTEROUS_LOG:-/var/log/clusterous-boot.log}
. "$LIB/s3.sh"
mkdir -p "$STATE"

# One JSON string of what comes in.
quoted() {
    printf '"'
    tr '\t' ' ' | LC_ALL=C tr -cd '\n -~' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' |
        while IFS= read -r _line || [ -n "$_line" ]; do printf '%s\\n' "$_line"; done
    printf '"'
}

# report PHASE [FILE WITH THE ERROR]: tell the laptop through S3 what this machine is doing.
report() {
    printf %s "$1" >"$STATE/phase"
    _body=$STATE/report.json
    {
        printf '{"phase":"%s","role":"%s","name":"%s","private_ip":"%s","time":"%s"' \
            "$1" "$ROLE" "$NAME" "$ADDRESS" "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
        printf ',"host_key":%s' "$(cut -d ' ' -f 1-2 "$HOST_KEY" 2>/dev/null | tr -d '\n' | quoted |
            sed 's/\\n"$/"/')"
        [ -z "${2:-}" ] || printf ',"error":%s' "$(quoted <"$2")"
        [ ! -s "$STATE/state.json" ] || printf ',"state":%s' "$(cat "$STATE/state.json")"
        [ ! -s "$STATE/cluster.json" ] || printf ',"cluster":%s' "$(cat "$STATE/cluster.json")"
        printf '}\n'
    } >"$_body"
    s3 PUT "@REPORTS@/$INSTANCE.json" "$(digest <"$_body")" --data-binary "@$_body" -o /dev/null
}

phase() {
    echo "clusterous: $1"
    echo "clusterous: $1" 2>/dev/null >/dev/console || true
    report "$1" || echo "the report could not be sent; going on"
}

# Fetch every file of a table "KEY SHA256 MODE TARGET" that is not there yet.
fetch_all() {
    while read -r _file _sum _mode _target; do
        [ -n "$_file" ] || continue
        _target=$ROOT$_target
        mkdir -p "$(dirname "$_target")"
        if [ ! -f "$_target" ] || [ "$(digest <"$_target")" != "$_sum" ]; then
            (umask 077 && fetch "$_file" "$_sum" "$_target") || return 1
        fi
        chmod "$_mode" "$_target"
    done
}

# start UNIT: start it and wait until it says that it is ready; else show its own last words.
start() {
    systemctl daemon-reload
    systemctl enable "$1" 2>/dev/null
    for _try in 1 2 3; do
        systemctl start "$1" && return 0
        sleep 2
    done
    echo "$1 does not start:"
    journalctl -u "$1" -n 15 --no-pager -o cat
    return 1
}

fail() {
    _words=$STATE/error
    tail -n 12 "$LOG" | cut -c 1-400 >"$_words"
    { echo "clusterous: failed while $(cat "$STATE/phase")"; cat "$_words"; } 2>/dev/null >/dev/console
    for _try in 1 2 3 4 5; do
        report failed "$_words" && break
        sleep 2
    done
    exit 1
}

INSTANCE=$(imds meta-data/instance-id)
ADDRESS=$(imds meta-data/local-ipv4)
ZONE=$(imds meta-data/placement/availability-zone)
# As addresses.node_name has it: k3s refuses a machine by the name of another, address or not.
NAME=$(imds meta-data/local-hostname | cut -d . -f 1)-$(printf %s "$INSTANCE" | tail -c 8)
HOST_KEY=${CLUSTEROUS_HOST_KEY:-/etc/ssh/ssh_host_ed25519_key.pub}

@STEPS@

# In a shell of its own, so that -e ends the steps and not the report of their failure.
(set -e && steps) >"$LOG" 2>&1 &
wait $! || fail
@AFTER@

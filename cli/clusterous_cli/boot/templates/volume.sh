# The shared volume on its controller: what the laptop says of it, for the volume server, and the way
# to it for pods. The laptop writes @NOTE@ when the volume is there, and anew when it was formatted.
ORDER=$ROOT@ORDER@

read_volume() {
    s3 GET @NOTE@ $NOTHING -o "$STATE/volume.new" || return 1
    # The whole of it or nothing: by it a volume may be formatted.
    [ "$(grep -cE '^(id=vol-[0-9a-f]+|given=(yes|no)|marked=(yes|no))$' "$STATE/volume.new")" = 3 ] || return 1
    cmp -s "$STATE/volume.new" "$ORDER" || mv "$STATE/volume.new" "$ORDER"
}

# Pods use the volume by this path, which is there only while the volume is: none starts without it.
open_gate() {
    if mountpoint -q @PLACE@; then
        ln -sfn @PLACE@ @GATE@
    else
        rm -f @GATE@
        return 1
    fi
}

follow_volume() {
    mkdir -p "${ORDER%/*}"
    while :; do
        _began=$(date +%s)
        read_volume
        # Quick while it comes up, cheap afterwards.
        if open_gate; then rest 30 "$_began"; else rest 3 "$_began"; fi
    done
}

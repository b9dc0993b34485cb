# S3 with the machine's own role, by curl. The signature is made here, not by --aws-sigv4: curl 7.81
# (Ubuntu 22.04) leaves the session token out of it, and 7.88 (Debian 12) the hash of a body by -T.
# Needs curl, sha256sum and od. Set before: REGION, BUCKET, DOMAIN.
IMDS=http://169.254.169.254/latest
imds() {
    _pass=$(curl -sf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$IMDS/api/token") &&
        curl -sf -m 5 -H "X-aws-ec2-metadata-token: $_pass" "$IMDS/$1"
}
field() { printf %s "$_role" | sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"; }
hex() { od -An -v -tx1 | tr -d ' \n'; }
digest() { sha256sum | cut -d ' ' -f 1; }
# The bytes in hex $1, each XORed with $2, as octal escapes for printf.
escapes() {
    _rest=$1 _out=
    while [ -n "$_rest" ]; do
        _byte=$((0x${_rest%"${_rest#??}"} ^ $2)) _rest=${_rest#??}
        _out="$_out\\$((_byte / 64))$((_byte / 8 % 8))$((_byte % 8))"
    done
    printf %s "$_out"
}
# HMAC-SHA256 with the key in hex $1 over the text $2, in hex.
hmac() {
    _key=$1
    while [ ${#_key} -lt 128 ]; do _key=${_key}00; done
    _inner=$({ printf "$(escapes "$_key" 0x36)"; printf %s "$2"; } | digest)
    { printf "$(escapes "$_key" 0x5c)"; printf "$(escapes "$_inner" 0)"; } | digest
}
# s3 METHOD KEY HASH-OF-BODY CURL-ARGUMENT...
s3() {
    _method=$1 _path=/$2 _hash=$3
    shift 3
    _name=$(imds meta-data/iam/security-credentials/) &&
        _role=$(imds "meta-data/iam/security-credentials/$_name" | tr -d '\n') || return 1
    _token=$(field Token) _host=$BUCKET.s3.$REGION.$DOMAIN
    _now=$(date -u +%Y%m%dT%H%M%SZ) _day=$(date -u +%Y%m%d)
    [ "${_now%T*}" = "$_day" ] || _day=${_now%T*}
    _signed='host;x-amz-content-sha256;x-amz-date;x-amz-security-token'
    _request=$(printf '%s\n%s\n\nhost:%s\nx-amz-content-sha256:%s\nx-amz-date:%s\nx-amz-security-token:%s\n\n%s\n%s' \
        "$_method" "$_path" "$_host" "$_hash" "$_now" "$_token" "$_signed" "$_hash" | digest)
    _mac=$(printf 'AWS4%s' "$(field SecretAccessKey)" | hex)
    for _part in "$_day" "$REGION" s3 aws4_request; do _mac=$(hmac "$_mac" "$_part"); done
    _mac=$(hmac "$_mac" "AWS4-HMAC-SHA256
$_now
$_day/$REGION/s3/aws4_request
$_request")
    # By stdin, so that the token stands in no list of processes.
    curl -sSf --connect-timeout 5 --speed-limit 1000 --speed-time 30 -X "$_method" "$@" -K - <<EOF
url = "https://$_host$_path"
header = "x-amz-content-sha256: $_hash"
header = "x-amz-date: $_now"
header = "x-amz-security-token: $_token"
header = "Authorization: AWS4-HMAC-SHA256 Credential=$(field AccessKeyId)/$_day/$REGION/s3/aws4_request, SignedHeaders=$_signed, Signature=$_mac"
EOF
}
NOTHING=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
# rest SECONDS SINCE: sleep so long, and where what was done since then took some time, twice as long as
# that: on a machine that is overloaded, looking again and again must not be what overloads it. Never
# longer than half a minute: what took longer than that has waited for the network, not for a processor.
rest() {
    _long=$((2 * ($(date +%s) - $2 - 1)))
    [ "$_long" -le 30 ] || _long=30
    if [ "$_long" -gt "${1%.*}" ]; then sleep "$_long"; else sleep "$1"; fi
}

# fetch KEY HASH TARGET: again and again, since the file may still be on its way to the bucket.
fetch() {
    _tries=${FETCH_TRIES:-450} _wrong=3
    until [ $_tries -le 0 ] || [ $_wrong -le 0 ]; do
        _since=$(date +%s)
        if s3 GET "$1" $NOTHING -o "$3.part"; then
            [ "$(digest <"$3.part")" != "$2" ] || { mv "$3.part" "$3"; return; }
            _wrong=$((_wrong - 1))
        fi
        _tries=$((_tries - 1))
        rest "${FETCH_PAUSE:-2}" "$_since"
    done
    [ $_wrong -gt 0 ] || echo "$1 has another checksum than $2"
    echo "$1 could not be fetched from the bucket $BUCKET"
    return 1
}

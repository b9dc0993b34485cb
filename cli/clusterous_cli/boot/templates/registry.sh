# The keys of the registry's own role, which a pod cannot take by itself: it does not reach the
# metadata service. This machine's role takes them, good for an hour. They are told to be good for
# half of that, so that a link that is signed with them is good for the other half, and are taken
# anew each quarter of an hour. Only the registry's user may read them.
REGISTRY_KEYS=$ROOT@FILE@
xml() { printf %s "$_said" | tr -d '\n' | sed -n "s/.*<$1>\([^<]*\)<\/$1>.*/\1/p"; }
# By a request that is signed as in s3.sh, to another service.
registry_keys() {
    _name=$(imds meta-data/iam/security-credentials/) &&
        _role=$(imds "meta-data/iam/security-credentials/$_name" | tr -d '\n') || return 1
    _token=$(field Token) _host=sts.$REGION.$DOMAIN
    _now=$(date -u +%Y%m%dT%H%M%SZ)
    _day=${_now%T*}
    _until=$(date -u -d '+30 minutes' +%Y-%m-%dT%H:%M:%SZ)
    _query="Action=AssumeRole&DurationSeconds=3600&RoleArn=@ROLE_ARN@&RoleSessionName=registry&Version=2011-06-15"
    _signed='host;x-amz-date;x-amz-security-token'
    _request=$(printf 'GET\n/\n%s\nhost:%s\nx-amz-date:%s\nx-amz-security-token:%s\n\n%s\n%s' \
        "$_query" "$_host" "$_now" "$_token" "$_signed" "$NOTHING" | digest)
    _mac=$(printf 'AWS4%s' "$(field SecretAccessKey)" | hex)
    for _part in "$_day" "$REGION" sts aws4_request; do _mac=$(hmac "$_mac" "$_part"); done
    _mac=$(hmac "$_mac" "AWS4-HMAC-SHA256
$_now
$_day/$REGION/sts/aws4_request
$_request")
    _said=$(curl -sSf --connect-timeout 5 --max-time 30 -K - <<EOF
url = "https://$_host/?$_query"
header = "x-amz-date: $_now"
header = "x-amz-security-token: $_token"
header = "Authorization: AWS4-HMAC-SHA256 Credential=$(field AccessKeyId)/$_day/$REGION/sts/aws4_request, SignedHeaders=$_signed, Signature=$_mac"
EOF
    ) || return 1
    [ -n "$(xml SessionToken)" ] || return 1
    (
        umask 077
        printf '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"%s","SessionToken":"%s","Expiration":"%s"}\n' \
            "$(xml AccessKeyId)" "$(xml SecretAccessKey)" "$(xml SessionToken)" "$_until" >"$REGISTRY_KEYS.new"
    ) && chown @USER@ "$REGISTRY_KEYS.new" && mv "$REGISTRY_KEYS.new" "$REGISTRY_KEYS"
}

follow_registry_keys() {
    mkdir -p "${REGISTRY_KEYS%/*}" && chmod 755 "${REGISTRY_KEYS%/*}"
    while :; do
        _began=$(date +%s)
        if registry_keys; then rest 900 "$_began"; else rest 3 "$_began"; fi
    done
}

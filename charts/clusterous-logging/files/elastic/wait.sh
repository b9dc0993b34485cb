set -eu
trust=
[ ! -s /authority/ca.crt ] || trust='--cacert /authority/ca.crt'
until curl --silent --show-error --fail --output /dev/null --max-time 30 $trust --user "$STORE_USER:$STORE_PASSWORD" \
    {{ include "clusterous-logging.url" . }}/_data_stream/{{ include "clusterous-logging.index" . }}; do
    sleep 5
done

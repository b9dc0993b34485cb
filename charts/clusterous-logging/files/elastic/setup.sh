# Puts into the store what records need, before the first one comes: written once, read at each change.
set -eu
trust=
[ ! -s /authority/ca.crt ] || trust='--cacert /authority/ca.crt'

# ask METHOD URL FILE [OPTION...]
ask() {
    method=$1 url=$2 file=$3
    shift 3
    until curl --silent --show-error --fail-with-body --max-time 30 $trust --user "$STORE_USER:$STORE_PASSWORD" \
        --header 'Content-Type: application/json' --request "$method" --data-binary "@$file" "$@" "$url"; do
        echo " $url does not take it yet; again in 5 s" >&2
        sleep 5
    done
    echo
}

{{- $url := include "clusterous-logging.url" . }}
{{- if not (and (eq .Values.store "yours") (eq .Values.yours.flavor "opensearch")) }}
ask PUT {{ $url }}/_ilm/policy/clusterous-logs /setup/lifecycle.json
{{- end }}
ask PUT {{ $url }}/_index_template/clusterous-logs /setup/template.json
# Collectors wait for it: what they write before would make an index without the template.
stream={{ $url }}/_data_stream/{{ include "clusterous-logging.index" . }}
curl --silent --fail --output /dev/null --max-time 30 $trust --user "$STORE_USER:$STORE_PASSWORD" $stream ||
    ask PUT $stream /dev/null
{{- if eq .Values.store "efk" }}
trust='--cacert /page/ca.crt'
ask POST https://clusterous-kb-http.{{ .Release.Namespace }}.svc:5601/api/data_views/data_view /setup/dataview.json --header 'kbn-xsrf: clusterous'
{{- end }}

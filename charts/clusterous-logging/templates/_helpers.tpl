{{- define "clusterous-logging.labels" -}}
app.kubernetes.io/name: clusterous-logging
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: clusterous
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Of one part: what selects it. Give a list of the whole and the part's name. */}}
{{- define "clusterous-logging.selector" -}}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "clusterous-logging.meta" -}}
{{- $whole := index . 0 -}}
namespace: {{ $whole.Release.Namespace }}
labels:
  {{- include "clusterous-logging.labels" $whole | nindent 2 }}
  app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* The metadata of a part's pods; what they read is in their sum, so that a change replaces them. */}}
{{- define "clusterous-logging.pod" -}}
{{- $whole := index . 0 -}}
labels:
  {{- include "clusterous-logging.labels" $whole | nindent 2 }}
  app.kubernetes.io/component: {{ index . 1 }}
annotations:
  checksum/config: {{ index . 2 | sha256sum }}
  {{- with $whole.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "clusterous-logging.pulls" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "clusterous-logging.secret" -}}
{{- default "clusterous-logs-auth" .Values.existingSecret }}
{{- end }}

{{/* Where Fluent Bit and the syslog receiver write, when it is not the light store. */}}
{{- define "clusterous-logging.url" -}}
{{- if eq .Values.store "efk" -}}
https://clusterous-es-http.{{ .Release.Namespace }}.svc:9200
{{- else -}}
{{ .Values.yours.url }}
{{- end -}}
{{- end }}

{{- define "clusterous-logging.account" -}}
{{- if eq .Values.store "yours" }}{{ .Values.yours.secret }}{{ else }}{{ include "clusterous-logging.secret" . }}{{ end }}
{{- end }}

{{/* Variables by which a container logs in to a store that is not the light one. */}}
{{- define "clusterous-logging.login" -}}
- name: STORE_USER
  valueFrom: {secretKeyRef: {name: {{ include "clusterous-logging.account" . }}, key: username}}
- name: STORE_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ include "clusterous-logging.account" . }}, key: password}}
{{- end }}

{{/* The Secret that holds the authority of the store's certificate; empty where it has a public one. */}}
{{- define "clusterous-logging.authority" -}}
{{- if eq .Values.store "efk" -}}clusterous-es-http-certs-public
{{- else if and (eq .Values.store "yours") .Values.yours.ownAuthority -}}{{ .Values.yours.secret }}
{{- end }}
{{- end }}

{{- define "clusterous-logging.index" -}}
{{- ternary "clusterous-logs" .Values.yours.index (ne .Values.store "yours") }}
{{- end }}

{{/* What a collector of OpenTelemetry holds on its disk; when that is full, it stops reading. */}}
{{- define "clusterous-logging.queue" -}}
enabled: true
storage: file_storage/queue
sizer: bytes
queue_size: {{ mul .Values.collector.queueMiB 1048576 }}
block_on_overflow: true
{{- end }}

{{/* How a collector of OpenTelemetry sends: it tries for ever, at most 5 s apart, holds on its disk
what is not taken, and stops reading when that is full. */}}
{{- define "clusterous-logging.patience" -}}
retry_on_failure: {enabled: true, initial_interval: 1s, max_interval: 5s, max_elapsed_time: 0}
sending_queue:
  {{- include "clusterous-logging.queue" . | nindent 2 }}
  num_consumers: 2
  batch: {flush_timeout: 500ms, sizer: bytes, min_size: 262144, max_size: 4194304}
{{- end }}

{{- define "clusterous-logging.exporter" -}}
{{- if eq .Values.store "light" -}}
otlp_http/store:
  logs_endpoint: http://clusterous-logs.{{ .Release.Namespace }}.svc:9428/insert/opentelemetry/v1/logs
  compression: gzip
  timeout: 30s
  headers:
    authorization: ${env:STORE_AUTHORIZATION}
    VL-Stream-Fields: namespace,app,component,pod,container,stream,unit
    VL-Ignore-Fields: severity_number,severity_text,scope.name,scope.version
  {{- include "clusterous-logging.patience" . | nindent 2 }}
{{- else -}}
elasticsearch/store:
  endpoints: [{{ include "clusterous-logging.url" . }}]
  user: ${env:STORE_USER}
  password: ${env:STORE_PASSWORD}
  {{- if include "clusterous-logging.authority" . }}
  tls: {ca_file: /authority/ca.crt}
  {{- end }}
  logs_index: {{ include "clusterous-logging.index" . }}
  mapping: {mode: bodymap}
  logs_dynamic_id: {enabled: true}
  retry: {enabled: true, initial_interval: 1s, max_interval: 5s, max_retries: 1000000}
  sending_queue:
    {{- include "clusterous-logging.queue" . | nindent 4 }}
{{- end }}
{{- end }}

{{/* What an unprivileged container may: nothing. */}}
{{- define "clusterous-logging.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The size of a store's claim: a claim that is there cannot be asked for another one, and would
keep all else from being changed. */}}
{{- define "clusterous-logging.light-claim" -}}
{{- $size := printf "%dGi" (int .Values.sizeGiB) }}
{{- with lookup "apps/v1" "StatefulSet" .Release.Namespace "clusterous-logs-store" }}
{{- $size = (first .spec.volumeClaimTemplates).spec.resources.requests.storage }}
{{- end }}
{{- $size }}
{{- end }}

{{- define "clusterous-logging.efk-claim" -}}
{{- $size := printf "%dGi" (int .Values.sizeGiB) }}
{{- with lookup "elasticsearch.k8s.elastic.co/v1" "Elasticsearch" .Release.Namespace "clusterous" }}
{{- $size = (first (first .spec.nodeSets).volumeClaimTemplates).spec.resources.requests.storage }}
{{- end }}
{{- $size }}
{{- end }}

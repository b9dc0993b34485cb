{{- define "clusterous.name" -}}clusterous-operator{{- end }}

{{- define "clusterous.labels" -}}
app.kubernetes.io/name: clusterous-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: clusterous
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "clusterous.selector" -}}
app.kubernetes.io/name: clusterous-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "clusterous.account" -}}
{{- default (include "clusterous.name" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "clusterous.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end -}}
{{- end }}

{{/* What the operator may do in the namespaces of the apps: no secret is read, no pod made. */}}
{{- define "clusterous.rules" -}}
- apiGroups: [clusterous.io]
  resources: [clusterousapps]
  verbs: [get, list, watch]
- apiGroups: [clusterous.io]
  resources: [clusterousapps/status]
  verbs: [patch]
- apiGroups: [clusterous.io]
  resources: [clusterousapps/scale] # a first number of workers for an autoscaler
  verbs: [patch]
- apiGroups: [clusterous.io]
  resources: [clusterousapps/finalizers] # to be named as an owner that blocks, where that is checked
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims] # never deleted: it is the users' data
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods] # their deletion cost, so that of workers to be ended the idle ones go first
  verbs: [patch]
- apiGroups: [metrics.k8s.io]
  resources: [pods]
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, list, patch]
{{- end }}

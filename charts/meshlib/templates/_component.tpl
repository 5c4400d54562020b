{{/*
A component is a dict of:
  root       the chart's context
  name       what it is called: `tokenizer`, `inference-demo`
  service    whose code it runs: `tokenizer`, `inference`
  values     its part of the values
  image      `mesh`, `inference` or `inference-cpu`
  reference  another image in that one's place, in full; may be empty
  port       where it listens for gRPC
  ports      further ports by name: {http: 8000}
  callers    names of components that may call it; `inference` stands for every pool
  callees    names of components that it calls
  settings   environment that the chart decides, beside the config of the values
  watches    whether it follows EndpointSlices, and so needs a token and the API server
  storage    {path, setting, url}: where it keeps an embedded store, and the variable by which it is told so
  init       containers that run before it
  serviceAccount   who it is, if not one of its own
  podLabels  beside the usual ones
  volumes, mounts, placement, gpu   as for pods; may be left out
*/}}

{{- define "meshlib.component" -}}
{{- $docs := list -}}
{{- range $part := list "serviceaccount" "config" "storage" "deployment" "service" "pdb" "autoscaler" "networkpolicy" "monitor" -}}
{{- $doc := include (printf "meshlib.%s" $part) $ | trim -}}
{{- if $doc -}}{{- $docs = append $docs $doc -}}{{- end -}}
{{- end -}}
{{ join "\n---\n" $docs }}
{{- end -}}

{{- define "meshlib.fullname" -}}
{{ printf "%s-%s" .root.Release.Name .name | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "meshlib.selector" -}}
app.kubernetes.io/name: chatmesh
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{- define "meshlib.labels" -}}
{{ include "meshlib.selector" . }}
app.kubernetes.io/part-of: chatmesh
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "meshlib.metadata" -}}
name: {{ include "meshlib.fullname" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "meshlib.labels" . | nindent 2 }}
{{- end -}}

{{/* The pods of components by name; `inference` are those of every pool. */}}
{{- define "meshlib.podsOf" -}}
- podSelector:
    matchLabels:
      app.kubernetes.io/name: chatmesh
      app.kubernetes.io/instance: {{ .root.Release.Name }}
      {{- if eq .name "inference" }}
      chatmesh.io/service: inference
      {{- else }}
      app.kubernetes.io/component: {{ .name }}
      {{- end }}
{{- end -}}

{{- define "meshlib.image" -}}
{{ .reference | default (printf "%s%s:%s" .root.Values.images.prefix .image (.root.Values.images.tag | default .root.Chart.AppVersion)) }}
{{- end -}}

{{/* Of the config, or what the service itself takes when it is not said. */}}
{{- define "meshlib.drainSeconds" -}}
{{- (.values.config | default dict).drain_seconds | default 0 -}}
{{- end -}}
{{- define "meshlib.graceSeconds" -}}
{{- (.values.config | default dict).grace_seconds | default 30 -}}
{{- end -}}

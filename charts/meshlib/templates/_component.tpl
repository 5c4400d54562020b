{{/*
A component is a dict of:
  root       the chart's context
  name       what it is called: `tokenizer`, `inference-demo`
  service    whose code it runs: `tokenizer`, `inference`
  values     its part of the values
  image      `mesh`, `inference` or `inference-cpu`
  reference  another image in that one's place, in full; may be empty
  port       where it listens for gRPC
  loadSeconds, nodeSeconds   how long a start and, before it, the coming of a node may take; may be left out
  rollingUpdate    how it is rolled where its values do not say
  ports      further ports by name: {http: 8000}
  callers    names of components that may call it; `inference` stands for every pool
  callees    names of components that it calls
  settings   environment that the chart decides, beside the config of the values
  watches    whether it follows EndpointSlices, and so needs a token and the API server
  storage    {path, setting, url}: where it keeps an embedded store, and the variable by which it is told so
  init       containers that run before it
  serviceAccount   who it is, if not one of its own, and if its values do not say
  group      whether a replica is a group of pods, as a LeaderWorkerSet
  pool       the pool's name, of inference
  pods       what is said of its pods beside its own values: a list of `pod` blocks
  podLabels  beside the usual ones
  volumes, mounts, tolerations, affinity, gpu   as for pods; may be left out
  claims, resourceClaims   accelerators that are claimed (dynamic resource allocation), of the container and of the pod
  goesOut, fetches   whether it, or what runs before it, calls outside the cluster
*/}}

{{- define "meshlib.component" -}}
{{- $docs := list -}}
{{- range $part := list "serviceaccount" "config" "storage" "deployment" "service" "pdb" "autoscaler" "networkpolicy" "monitor" -}}
{{- $doc := include (printf "meshlib.%s" $part) $ | trim -}}
{{- if $doc -}}{{- $docs = append $docs $doc -}}{{- end -}}
{{- end -}}
{{ join "\n---\n" $docs }}
{{- end -}}

{{/* Before the names of all that is made: the release's, or `fullnameOverride`. */}}
{{- define "meshlib.prefix" -}}
{{ .root.Values.fullnameOverride | default .root.Release.Name }}
{{- end -}}

{{/*
The name of what is made for root and name. Kubernetes takes 63 characters. A longer name is cut, and ends with eight digits of its hash,
so that two long names that begin alike stay two.
*/}}
{{- define "meshlib.fullname" -}}
{{ include "meshlib.cut" (list (printf "%s-%s" (include "meshlib.prefix" .) .name) 63) }}
{{- end -}}

{{/* List of a name and how long it may be. */}}
{{- define "meshlib.cut" -}}
{{- $name := index . 0 -}}
{{- $most := int (index . 1) -}}
{{- if le (len $name) $most -}}{{ $name }}
{{- else -}}{{ printf "%s-%s" ($name | trunc (int (sub $most 9)) | trimSuffix "-") (sha256sum $name | trunc 8) }}
{{- end -}}
{{- end -}}

{{/* Of the workload: a LeaderWorkerSet adds the numbers of group and pod, and a hash, to its own. */}}
{{- define "meshlib.workloadName" -}}
{{ include "meshlib.cut" (list (include "meshlib.fullname" .) (empty .group | ternary 63 44)) }}
{{- end -}}

{{/* Of the headless Service. LeaderWorkerSet makes one under its own name, for the pods of a group to find each other. */}}
{{- define "meshlib.serviceName" -}}
{{ include "meshlib.fullname" (dict "root" .root "name" (empty .group | ternary .name (printf "leaders-%s" (.pool | default "")))) }}
{{- end -}}

{{/* Who its pods are: a ServiceAccount that is there already, or one of its own. */}}
{{- define "meshlib.accountName" -}}
{{ dig "serviceAccount" "name" "" .values | default .serviceAccount | default (include "meshlib.fullname" .) }}
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
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
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
{{- $images := .root.Values.images -}}
{{- $own := printf "%s%s:%s" $images.prefix .image ($images.tag | default .root.Chart.AppVersion) -}}
{{- with dig .image "" ($images.digests | default dict) -}}{{- $own = printf "%s@%s" $own . -}}{{- end -}}
{{ .reference | default $own }}
{{- end -}}

{{/* Of the config, or what the service itself takes when it is not said; whole seconds. */}}
{{- define "meshlib.drainSeconds" -}}
{{- dig "config" "drain_seconds" 0 .values | ceil | int -}}
{{- end -}}
{{- define "meshlib.graceSeconds" -}}
{{- dig "config" "grace_seconds" 30 .values | ceil | int -}}
{{- end -}}

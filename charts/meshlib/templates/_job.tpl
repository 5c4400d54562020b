{{/*
Something that ends, as a dict of root, name and:
  annotations     when it runs, if it is a hook
  retries, deadlineSeconds   how often, and how long in all; may be left out
  rules           what it may do at the API server; without them it has no token
  serviceAccount  who it is, without rules; may be left out
  podLabels       beside the usual ones
  egress          whom it calls, beside DNS and, with rules, the API server; may be left out
  containers, volumes        `tmp` is there already
  values          nodeSelector, tolerations, affinity and so on, of the service for which it works
  affinity        may be left out
*/}}
{{- define "meshlib.job" -}}
{{- $docs := list -}}
{{- range $part := list "jobRights" "jobPolicy" "jobManifest" -}}
{{- $doc := include (printf "meshlib.%s" $part) $ | trim -}}
{{- if $doc -}}{{- $docs = append $docs $doc -}}{{- end -}}
{{- end -}}
{{ join "\n---\n" $docs }}
{{- end -}}

{{/* Before a hook, what it needs. */}}
{{- define "meshlib.beforeJob" -}}
{{- include "meshlib.metadata" . }}
{{- with .annotations }}
annotations:
  {{- merge (dict "helm.sh/hook-weight" "-10") . | toYaml | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "meshlib.jobRights" -}}
{{- if .rules -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "meshlib.beforeJob" . | nindent 2 }}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "meshlib.beforeJob" . | nindent 2 }}
rules:
  {{- toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "meshlib.beforeJob" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include "meshlib.fullname" . }}
subjects:
  - kind: ServiceAccount
    name: {{ include "meshlib.fullname" . }}
    namespace: {{ .root.Release.Namespace }}
{{- end -}}
{{- end -}}

{{- define "meshlib.jobPolicy" -}}
{{- if .root.Values.networkPolicies.enabled -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "meshlib.beforeJob" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "meshlib.selector" . | nindent 6 }}
  # Nobody calls it.
  policyTypes: [Ingress, Egress]
  egress:
    {{- include "meshlib.dnsEgress" . | nindent 4 }}
    {{- if .rules }}
    {{- include "meshlib.apiServerEgress" . | nindent 4 }}
    {{- end }}
    {{- with .egress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
{{- end -}}

{{- define "meshlib.jobManifest" -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "meshlib.metadata" . | nindent 2 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  backoffLimit: {{ hasKey . "retries" | ternary .retries 2 }}
  {{- with .deadlineSeconds }}
  activeDeadlineSeconds: {{ . }}
  {{- end }}
  template:
    {{- include "meshlib.jobPod" . | nindent 4 }}
{{- end -}}

{{/* A job's pod: the chart's, and over it what the values say, of every pod, of jobs, and of the placement of its service. */}}
{{- define "meshlib.jobPod" -}}
{{- $pod := include "meshlib.jobPodOfChart" . | fromYaml -}}
{{- $placing := pick .values "nodeSelector" "tolerations" "affinity" "priorityClassName" -}}
{{- $job := dict "root" .root "name" .name "values" $placing "pods" (list .root.Values.jobs.pod) -}}
{{- include "meshlib.layPod" (list $job $pod) -}}
{{ toYaml $pod }}
{{- end -}}

{{- define "meshlib.jobPodOfChart" -}}
metadata:
  labels:
    {{- with .root.Values.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- include "meshlib.selector" . | nindent 4 }}
    {{- with .podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  restartPolicy: Never
  {{- with empty .rules | ternary .serviceAccount (include "meshlib.fullname" .) }}
  serviceAccountName: {{ . }}
  {{- end }}
  automountServiceAccountToken: {{ not (empty .rules) }}
  {{- include "meshlib.everyPod" . | nindent 2 }}
  containers:
    {{- toYaml .containers | nindent 4 }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- with .volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* What a job's container asks for: list of the chart's context and what it asks for where `jobs.resources` says nothing. */}}
{{- define "meshlib.jobResources" -}}
{{- $resources := deepCopy (index . 1) -}}
{{- include "meshlib.lay" (list $resources (index . 0).Values.jobs.resources) -}}
{{ toYaml $resources }}
{{- end -}}

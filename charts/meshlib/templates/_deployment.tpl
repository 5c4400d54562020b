{{- define "meshlib.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "meshlib.metadata" . | nindent 2 }}
spec:
  {{- if not (include "meshlib.scaled" .) }}
  replicas: {{ int64 .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  # A node for it may have to come first.
  progressDeadlineSeconds: {{ add (.loadSeconds | default 60 | int) (.nodeSeconds | default 0 | int) (include "meshlib.drainSeconds" . | int) (include "meshlib.graceSeconds" . | int) 120 }}
  strategy:
    {{- include "meshlib.strategy" . | nindent 4 }}
  selector:
    matchLabels:
      {{- include "meshlib.selector" . | nindent 6 }}
  template:
    {{- include "meshlib.pod" . | nindent 4 }}
{{- end -}}

{{/* A store that is a file has one writer; a pool has no accelerator to spare; all else comes before it goes. */}}
{{- define "meshlib.strategy" -}}
{{- if include "meshlib.embedded" . -}}
type: Recreate
{{- else -}}
type: RollingUpdate
rollingUpdate:
  {{- include "meshlib.rollingUpdate" . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "meshlib.rollingUpdate" -}}
{{- $usual := .rollingUpdate | default (dict "maxSurge" 1 "maxUnavailable" 0) -}}
{{- range $key := list "maxSurge" "maxUnavailable" }}
{{ $key }}: {{ dig "rollingUpdate" $key (get $usual $key) $.values | toJson }}
{{- end }}
{{- end -}}

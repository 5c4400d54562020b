{{/* A pod's own, unless it goes by another that is there already. */}}
{{- define "meshlib.serviceaccount" -}}
{{- if eq (include "meshlib.accountName" .) (include "meshlib.fullname" .) -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "meshlib.metadata" . | nindent 2 }}
  {{- with dig "serviceAccount" "annotations" "" .values }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- if .watches }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "meshlib.metadata" . | nindent 2 }}
rules:
  # Where the replicas are of what it calls.
  - apiGroups: [discovery.k8s.io]
    resources: [endpointslices]
    verbs: [list, watch]
  {{- with .rules }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "meshlib.metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include "meshlib.fullname" . }}
subjects:
  - kind: ServiceAccount
    name: {{ include "meshlib.accountName" . }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
{{- end -}}

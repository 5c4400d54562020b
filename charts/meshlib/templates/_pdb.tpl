{{/* Never more than one at a time, and never in the way of a drain: not even of one that is not ready. */}}
{{- define "meshlib.pdb" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "meshlib.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "meshlib.selector" . | nindent 6 }}
{{- end -}}

{{/* One at a time unless the values say otherwise, and never in the way of a drain: not even of one that is not ready. */}}
{{- define "meshlib.pdb" -}}
{{- $pdb := .values.pdb | default dict -}}
{{- if dig "enabled" true $pdb -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "meshlib.metadata" . | nindent 2 }}
spec:
  {{- if hasKey $pdb "minAvailable" }}
  minAvailable: {{ $pdb.minAvailable | toJson }}
  {{- else }}
  maxUnavailable: {{ dig "maxUnavailable" 1 $pdb | toJson }}
  {{- end }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "meshlib.selector" . | nindent 6 }}
{{- end -}}
{{- end -}}

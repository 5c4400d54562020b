{{- define "meshlib.monitor" -}}
{{- if .root.Values.monitor.enabled -}}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  {{- include "meshlib.metadata" . | nindent 2 }}
    {{- with .root.Values.monitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "meshlib.answering" . | nindent 6 }}
  podMetricsEndpoints:
    - port: metrics
      interval: {{ .root.Values.monitor.interval }}
{{- end -}}
{{- end -}}

{{/* Headless: a plain address would pin an HTTP/2 connection, and with it every call, to one pod. */}}
{{- define "meshlib.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "meshlib.serviceName" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "meshlib.labels" . | nindent 4 }}
spec:
  clusterIP: None
  selector:
    {{- include "meshlib.answering" . | nindent 4 }}
  ports:
    - name: grpc
      port: {{ .port }}
      targetPort: grpc
      appProtocol: kubernetes.io/h2c
{{- end -}}

{{/* The pods that take calls: all, or of a group its leader, which LeaderWorkerSet labels as number 0. */}}
{{- define "meshlib.answering" -}}
{{ include "meshlib.selector" . }}
{{- if .group }}
leaderworkerset.sigs.k8s.io/worker-index: "0"
{{- end }}
{{- end -}}

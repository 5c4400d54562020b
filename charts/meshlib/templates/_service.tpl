{{/* Headless: a plain address would pin an HTTP/2 connection, and with it every call, to one pod. */}}
{{- define "meshlib.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "meshlib.metadata" . | nindent 2 }}
spec:
  clusterIP: None
  selector:
    {{- include "meshlib.selector" . | nindent 4 }}
  ports:
    - name: grpc
      port: {{ .port }}
      targetPort: grpc
      appProtocol: kubernetes.io/h2c
{{- end -}}

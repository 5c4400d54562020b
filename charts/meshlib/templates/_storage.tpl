{{- define "meshlib.storage" -}}
{{- if and .storage (not .values.storage.existingClaim) -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- include "meshlib.metadata" . | nindent 2 }}
  annotations:
    # What people said outlives the release; delete it by hand.
    helm.sh/resource-policy: keep
spec:
  accessModes: [ReadWriteOnce]
  {{- with .values.storage.storageClass }}
  storageClassName: {{ . | quote }}
  {{- end }}
  resources:
    requests:
      storage: {{ .values.storage.size }}
{{- end -}}
{{- end -}}

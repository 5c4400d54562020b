{{/* Whether what it keeps is a file on a volume of its own, and not on a server. */}}
{{- define "meshlib.embedded" -}}
{{- if and .storage (not .values.store.existingSecret) -}}true{{- end -}}
{{- end -}}

{{/* Where the store is. A server's URL holds a password: it is told where to read it. */}}
{{- define "meshlib.storeUrl" -}}
{{- if include "meshlib.embedded" . -}}{{ .storage.url }}
{{- else -}}file:/etc/chatmesh/store/{{ .values.store.key }}
{{- end -}}
{{- end -}}

{{- define "meshlib.storage" -}}
{{- if and (include "meshlib.embedded" .) (not .values.storage.existingClaim) -}}
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

{{- define "meshlib.storeVolume" -}}
- name: store
  {{- if include "meshlib.embedded" . }}
  persistentVolumeClaim:
    claimName: {{ .values.storage.existingClaim | default (include "meshlib.fullname" .) }}
  {{- else }}
  # The URL of a server, and what it names: an authority's certificate beside it.
  secret:
    secretName: {{ .values.store.existingSecret | quote }}
    defaultMode: 288
  {{- end }}
{{- end -}}

{{- define "meshlib.storeMount" -}}
- name: store
  {{- if include "meshlib.embedded" . }}
  mountPath: {{ .storage.path }}
  {{- else }}
  mountPath: /etc/chatmesh/store
  readOnly: true
  {{- end }}
{{- end -}}

{{/* The job that brings a component's store to the schema of its image. */}}
{{- define "meshlib.migration" -}}
{{- include "meshlib.jobManifest" (dict
  "root" .root "name" (printf "migrate-%s" .name) "values" .values "deadlineSeconds" 240
  "affinity" (include "meshlib.besideStore" . | fromYaml)
  "containers" (include "meshlib.migrationContainer" . | fromYamlArray)
  "volumes" (include "meshlib.storeVolume" . | fromYamlArray)) -}}
{{- end -}}

{{- define "meshlib.migrationContainer" -}}
- name: migrate
  image: {{ include "meshlib.image" . }}
  imagePullPolicy: {{ .root.Values.images.pullPolicy }}
  args: [services.{{ .service | replace "-" "_" }}, --migrate]
  env:
    - name: {{ .storage.setting }}
      value: {{ include "meshlib.storeUrl" . | quote }}
  terminationMessagePolicy: FallbackToLogsOnError
  resources:
    {{- $usual := dict "requests" (dict "cpu" "50m" "memory" "96Mi") "limits" (dict "memory" "512Mi") }}
    {{- include "meshlib.jobResources" (list .root $usual) | nindent 4 }}
  securityContext:
    {{- include "meshlib.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - name: tmp
      mountPath: /tmp
    {{- include "meshlib.storeMount" . | nindent 4 }}
{{- end -}}

{{/* A volume that one node may write is where its pod is. */}}
{{- define "meshlib.besideStore" -}}
{{- if include "meshlib.embedded" . -}}
podAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "meshlib.selector" . | nindent 12 }}
{{- end -}}
{{- end -}}

{{/* What the service reads from its environment: config by its fields' names, and what the chart decides. */}}
{{- define "meshlib.environment" -}}
{{- $prefix := .service | replace "-" "_" | upper -}}
{{- $all := dict -}}
{{- range $field, $value := .values.config | default dict -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $all (printf "%s_%s" $prefix ($field | upper)) $value -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := .settings -}}
{{- $_ := set $all $name $value -}}
{{- end -}}
{{- if .storage -}}
{{- $_ := set $all .storage.setting (include "meshlib.storeUrl" .) -}}
{{- end -}}
{{- $_ := set $all (printf "%s_ADDRESS" $prefix) (printf "%s:%v" .root.Values.listen .port) -}}
{{- $_ := set $all (printf "%s_METRICS_ADDRESS" $prefix) (printf "%s:9090" .root.Values.listen) -}}
{{- with .root.Values.tracing.endpoint -}}
{{- $_ := set $all (printf "%s_OTLP_ENDPOINT" $prefix) . -}}
{{- end -}}
{{- range $name, $value := $all }}
{{ $name }}: {{ if kindIs "string" $value }}{{ $value | quote }}{{ else }}{{ $value | toJson | quote }}{{ end }}
{{- end }}
{{- end -}}

{{- define "meshlib.config" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "meshlib.metadata" . | nindent 2 }}
data:
  {{- include "meshlib.environment" . | trim | nindent 2 }}
{{- end -}}

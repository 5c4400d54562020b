{{/* How services reach another: list of root, name, port. */}}
{{- define "chatmesh.peer" -}}
{{- $root := index . 0 -}}
kubernetes:{{ $root.Release.Name }}-{{ index . 1 }}:{{ index . 2 }}
{{- end -}}

{{- define "chatmesh.pepper" -}}
{{ .Values.gateway.pepper.existingSecret | default (printf "%s-pepper" .Release.Name) }}
{{- end -}}

{{/* How long a pool's slowest start takes. */}}
{{- define "chatmesh.loadSeconds" -}}
{{- $most := 60 -}}
{{- range .Values.inference.pools -}}{{- $most = max $most (int (.loadSeconds | default 600)) -}}{{- end -}}
{{- $most -}}
{{- end -}}

{{/* What the gateway knows of the pools, asleep or not. */}}
{{- define "chatmesh.pools" -}}
{{- range .Values.inference.pools }}
- name: {{ .name | quote }}
  address: {{ include "chatmesh.peer" (list $ (printf "inference-%s" .name) 50053) | quote }}
  model: {{ .model.name | quote }}
  context_tokens: {{ .model.contextTokens }}
  calls_tools: {{ .model.callsTools | default false }}
  reasons: {{ .model.reasons | default false }}
  summarises: {{ .model.summarises | default false }}
  hold_seconds: {{ .holdSeconds | default (.loadSeconds | default 600) }}
{{- end }}
{{- end -}}

{{/* Where context-assembly has a model's summaries written: its first pool. */}}
{{- define "chatmesh.inferenceByModel" -}}
{{- $all := dict -}}
{{- range .Values.inference.pools -}}
{{- if not (hasKey $all .model.name) -}}
{{- $_ := set $all .model.name (include "chatmesh.peer" (list $ (printf "inference-%s" .name) 50053)) -}}
{{- end -}}
{{- end -}}
{{ toYaml $all }}
{{- end -}}

{{/* Where a pool's model is found in its container: in the image, on a volume, or by its hub id. */}}
{{- define "chatmesh.modelPath" -}}
{{- $source := .source -}}
{{- if $source.bundled -}}/srv/chatmesh/services/inference/demo_model/model
{{- else if $source.hub -}}{{ $source.hub }}
{{- else -}}/models/{{ .name }}{{ with $source.path }}/{{ trimPrefix "/" . }}{{ end }}
{{- end -}}
{{- end -}}

{{/* The volume that a model's weights are on, if they are on one; list of name and source. */}}
{{- define "chatmesh.modelVolume" -}}
{{- if .source.claim }}
- name: model-{{ .name | lower | replace "." "-" | replace "/" "-" }}
  persistentVolumeClaim:
    claimName: {{ .source.claim }}
    readOnly: true
{{- else if .source.image }}
- name: model-{{ .name | lower | replace "." "-" | replace "/" "-" }}
  image:
    reference: {{ .source.image }}
    pullPolicy: IfNotPresent
{{- end }}
{{- end -}}

{{- define "chatmesh.modelMount" -}}
{{- if or .source.claim .source.image }}
- name: model-{{ .name | lower | replace "." "-" | replace "/" "-" }}
  mountPath: /models/{{ .name }}
  readOnly: true
{{- end }}
{{- end -}}

{{/* Of all models, each once: what the tokenizer needs of them. */}}
{{- define "chatmesh.models" -}}
{{- $all := dict -}}
{{- range .Values.inference.pools -}}
{{- if not (hasKey $all .model.name) -}}{{- $_ := set $all .model.name .model -}}{{- end -}}
{{- end -}}
{{ toYaml $all }}
{{- end -}}

{{- define "chatmesh.tokenizerModels" -}}
{{- range $name, $model := include "chatmesh.models" . | fromYaml }}
{{ $name | quote }}: {{ include "chatmesh.modelPath" $model | quote }}
{{- end }}
{{- end -}}

{{- define "chatmesh.modelVolumes" -}}
{{- $all := list -}}
{{- range $name, $model := include "chatmesh.models" . | fromYaml -}}
{{- $all = concat $all (include "chatmesh.modelVolume" $model | fromYamlArray) -}}
{{- end -}}
{{- if include "chatmesh.usesHub" . -}}
{{- $all = append $all (include "chatmesh.hubVolume" . | fromYaml) -}}
{{- end -}}
{{ toYaml $all }}
{{- end -}}

{{- define "chatmesh.modelMounts" -}}
{{- $all := list -}}
{{- range $name, $model := include "chatmesh.models" . | fromYaml -}}
{{- $all = concat $all (include "chatmesh.modelMount" $model | fromYamlArray) -}}
{{- end -}}
{{- if include "chatmesh.usesHub" . -}}
{{- $all = append $all (dict "name" "hub" "mountPath" "/var/cache/hub") -}}
{{- end -}}
{{ toYaml $all }}
{{- end -}}

{{/* The hub: whether any model comes from it, its cache, its token, and the way out. */}}
{{- define "chatmesh.usesHub" -}}
{{- range .Values.inference.pools -}}{{- if .model.source.hub -}}true{{- end -}}{{- end -}}
{{- end -}}

{{- define "chatmesh.hubVolume" -}}
name: hub
{{- if .Values.inference.hub.cacheClaim }}
persistentVolumeClaim:
  claimName: {{ .Values.inference.hub.cacheClaim }}
{{- else }}
emptyDir: {}
{{- end }}
{{- end -}}

{{- define "chatmesh.hubEnvironment" -}}
{{- if include "chatmesh.usesHub" . }}
- name: HF_HOME
  value: /var/cache/hub
{{- with .Values.inference.hub.tokenSecret }}
- name: HF_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: token
{{- end }}
{{- end }}
{{- end -}}

{{- define "chatmesh.hubEgress" -}}
{{- if include "chatmesh.usesHub" . }}
- ports:
    - port: 443
  to:
    {{- toYaml .Values.networkPolicies.modelSource | nindent 4 }}
{{- end }}
{{- end -}}

{{- define "chatmesh.gatewayRules" -}}
{{- if .Values.podDeletionCosts.enabled }}
- apiGroups: [""]
  resources: [pods]
  verbs: [patch]
{{- end }}
{{- end -}}

{{/* Who reaches the gateway from outside the mesh: the edge, and KEDA. */}}
{{- define "chatmesh.gatewayIngress" -}}
- ports:
    - port: http
    - port: grpc
  from:
    {{- toYaml .Values.networkPolicies.edge | nindent 4 }}
{{- if .Values.keda.enabled }}
- ports:
    - port: scaler
  from:
    {{- toYaml .Values.networkPolicies.keda | nindent 4 }}
{{- end }}
{{- end -}}

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
{{- else if $source.objectStorage -}}{{ include "chatmesh.fetchedPath" . }}
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
{{- $all := include "chatmesh.cacheVolumes" . | fromYamlArray -}}
{{- range $name, $model := include "chatmesh.models" . | fromYaml -}}
{{- $all = concat $all (include "chatmesh.modelVolume" $model | fromYamlArray) -}}
{{- end -}}
{{ toYaml $all }}
{{- end -}}

{{- define "chatmesh.modelMounts" -}}
{{- $all := include "chatmesh.cacheMounts" . | fromYamlArray -}}
{{- range $name, $model := include "chatmesh.models" . | fromYaml -}}
{{- $all = concat $all (include "chatmesh.modelMount" $model | fromYamlArray) -}}
{{- end -}}
{{ toYaml $all }}
{{- end -}}

{{/* Where models are fetched from: {hub: true, objectStorage: true}, as far as any model comes from there. */}}
{{- define "chatmesh.fetchedFrom" -}}
{{- range .Values.inference.pools -}}
{{- if .model.source.hub }}
hub: true
{{- else if .model.source.objectStorage }}
objectStorage: true
{{- end }}
{{- end -}}
{{- end -}}

{{/* What was fetched, once for all pods if there is a claim for it. */}}
{{- define "chatmesh.cacheVolumes" -}}
{{- range $kind, $_ := include "chatmesh.fetchedFrom" . | fromYaml }}
- name: {{ $kind | kebabcase }}
  {{- with (get $.Values.inference $kind).cacheClaim }}
  persistentVolumeClaim:
    claimName: {{ . }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "chatmesh.cacheMounts" -}}
{{- range $kind, $_ := include "chatmesh.fetchedFrom" . | fromYaml }}
- name: {{ $kind | kebabcase }}
  mountPath: /var/cache/{{ $kind | kebabcase }}
{{- end }}
{{- end -}}

{{- define "chatmesh.fetchedPath" -}}
/var/cache/object-storage/{{ .source.objectStorage | replace "://" "/" | trimSuffix "/" }}
{{- end -}}

{{- define "chatmesh.hubEnvironment" -}}
{{- if (include "chatmesh.fetchedFrom" . | fromYaml).hub }}
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

{{/* The container that fetches a model, before its pod starts or as a job: list of root, model and options. */}}
{{- define "chatmesh.fetch" -}}
{{- $root := index . 0 -}}
{{- $model := index . 1 -}}
{{- $options := index . 2 -}}
{{- $hub := $model.source.hub -}}
{{- $cache := empty $hub | ternary "object-storage" "hub" -}}
- name: fetch-{{ $model.name | lower | replace "." "-" | replace "/" "-" }}
  image: {{ include "meshlib.image" (dict "root" $root "image" "mesh") }}
  imagePullPolicy: {{ $root.Values.images.pullPolicy }}
  {{- if $hub }}
  args: [huggingface_hub.cli.hf, download, {{ $hub | quote }}]
  env:
    {{- include "chatmesh.hubEnvironment" $root | nindent 4 }}
  {{- else }}
  args: {{ concat (list "services.shared.object_storage" $model.source.objectStorage (include "chatmesh.fetchedPath" $model)) $options | toJson }}
  {{- with $root.Values.inference.objectStorage.environment }}
  env:
    {{- range $name, $value := . }}
    - name: {{ $name }}
      value: {{ $value | quote }}
    {{- end }}
  {{- end }}
  {{- with $root.Values.inference.objectStorage.secret }}
  envFrom:
    - secretRef:
        name: {{ . }}
  {{- end }}
  {{- end }}
  terminationMessagePolicy: FallbackToLogsOnError
  resources:
    requests: {cpu: 100m, memory: 256Mi}
    limits: {memory: 2Gi}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
  volumeMounts:
    - name: {{ $cache }}
      mountPath: /var/cache/{{ $cache }}
    - name: tmp
      mountPath: /tmp
{{- end -}}

{{/* What fetches models before a pod starts; the hub's are fetched by the services themselves. List of root, models and options. */}}
{{- define "chatmesh.init" -}}
{{- $root := index . 0 -}}
{{- $options := index . 2 -}}
{{- range index . 1 }}
{{- if .source.objectStorage }}
{{ include "chatmesh.fetch" (list $root . $options) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "chatmesh.sourceEgress" -}}
{{- if include "chatmesh.fetchedFrom" . }}
- ports:
    {{- range .Values.networkPolicies.modelSource.ports }}
    - port: {{ . }}
    {{- end }}
  to:
    {{- toYaml .Values.networkPolicies.modelSource.to | nindent 4 }}
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

{{/* How services reach another: list of root, name, port. */}}
{{- define "chatmesh.peer" -}}
{{- $root := index . 0 -}}
kubernetes:{{ $root.Release.Name }}-{{ index . 1 }}:{{ index . 2 }}
{{- end -}}

{{- define "chatmesh.pepper" -}}
{{ .Values.gateway.pepper.existingSecret | default (printf "%s-pepper" .Release.Name) }}
{{- end -}}

{{/* Where a service keeps its embedded store, as in meshlib.component. */}}
{{- define "chatmesh.storage" -}}
{{- $stores := dict
  "gateway" (list "GATEWAY_ACCOUNTS_URL" "gateway")
  "context-assembly" (list "CONTEXT_ASSEMBLY_TURNS_URL" "turns")
  "memory" (list "MEMORY_STORE_URL" "memory") -}}
{{- $store := get $stores . -}}
path: /var/lib/chatmesh/store
setting: {{ index $store 0 }}
url: sqlite:/var/lib/chatmesh/store/{{ index $store 1 }}.sqlite
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

{{/* Where a model is found in a container: in the image, where it was fetched to, or on a volume. */}}
{{- define "chatmesh.modelPath" -}}
{{- if .source.bundled -}}/srv/chatmesh/services/inference/demo_model/model
{{- else if include "chatmesh.fetchedFrom" . -}}{{ include "chatmesh.fetchedPath" . }}
{{- else -}}/models/{{ .name }}{{ with .source.path }}/{{ trimPrefix "/" . }}{{ end }}
{{- end -}}
{{- end -}}

{{/* Of all models, each once: what the tokenizer needs of them. */}}
{{- define "chatmesh.models" -}}
{{- $all := list -}}
{{- $names := list -}}
{{- range .Values.inference.pools -}}
{{- if not (has .model.name $names) -}}
{{- $all = append $all .model -}}
{{- $names = append $names .model.name -}}
{{- end -}}
{{- end -}}
{{ toYaml $all }}
{{- end -}}

{{- define "chatmesh.tokenizerModels" -}}
{{- range include "chatmesh.models" . | fromYamlArray }}
{{ .name | quote }}: {{ include "chatmesh.modelPath" . | quote }}
{{- end }}
{{- end -}}

{{/* A model's name as names of containers and volumes may be. */}}
{{- define "chatmesh.modelSlug" -}}
{{- regexReplaceAll "[^a-z0-9]+" (lower .name) "-" | trunc 40 | trimAll "-" -}}
{{- end -}}

{{/* The address that a model is fetched from; empty: it is in the image or on a volume. */}}
{{- define "chatmesh.fetchedFrom" -}}
{{- with .source.hub -}}hf://{{ . }}{{- else -}}{{ .source.objectStorage | default "" }}{{- end -}}
{{- end -}}

{{- define "chatmesh.fetchedPath" -}}
/var/cache/weights/{{ include "chatmesh.fetchedFrom" . | replace "://" "/" | trimSuffix "/" }}
{{- end -}}

{{/* Those of a list of models that are fetched. */}}
{{- define "chatmesh.fetched" -}}
{{- $all := list -}}
{{- range . -}}
{{- if include "chatmesh.fetchedFrom" . -}}{{- $all = append $all . -}}{{- end -}}
{{- end -}}
{{ toYaml $all }}
{{- end -}}

{{/* What a component needs so that it finds its models: list of root, models and options of what fetches them.
     {volumes, mounts, init, egress, serviceAccount, podLabels}, as in meshlib.component. */}}
{{- define "chatmesh.modelParts" -}}
{{- $root := index . 0 -}}
{{- $models := index . 1 -}}
{{- $options := index . 2 -}}
{{- $fetched := include "chatmesh.fetched" $models | fromYamlArray -}}
volumes:
  {{- if $fetched }}
  {{- include "chatmesh.weightsVolume" $root | nindent 2 }}
  {{- end }}
  {{- range $models }}
  {{- if .source.claim }}
  - name: model-{{ include "chatmesh.modelSlug" . }}
    persistentVolumeClaim:
      claimName: {{ .source.claim }}
      readOnly: true
  {{- else if .source.image }}
  - name: model-{{ include "chatmesh.modelSlug" . }}
    image:
      reference: {{ .source.image }}
      pullPolicy: IfNotPresent
  {{- end }}
  {{- end }}
mounts:
  {{- if $fetched }}
  - name: weights
    mountPath: /var/cache/weights
  {{- end }}
  {{- range $models }}
  {{- if or .source.claim .source.image }}
  - name: model-{{ include "chatmesh.modelSlug" . }}
    mountPath: /models/{{ .name }}
    readOnly: true
  {{- end }}
  {{- end }}
{{- with $fetched }}
init:
  {{- range . }}
  {{- include "chatmesh.fetch" (list $root . $options) | nindent 2 }}
  {{- end }}
egress:
  {{- include "chatmesh.sourceEgress" $root | nindent 2 }}
serviceAccount: {{ $root.Values.inference.weights.serviceAccount | quote }}
podLabels: {{ $root.Values.inference.weights.podLabels | toJson }}
{{- end }}
{{- end -}}

{{- define "chatmesh.sourceEgress" -}}
# Where models are fetched from.
- ports:
    {{- range .Values.networkPolicies.modelSource.ports }}
    - port: {{ . }}
    {{- end }}
  to:
    {{- toYaml .Values.networkPolicies.modelSource.to | nindent 4 }}
{{- end -}}

{{/* What was fetched, once for all pods if there is a claim for it. */}}
{{- define "chatmesh.weightsVolume" -}}
- name: weights
  {{- with .Values.inference.weights.cacheClaim }}
  persistentVolumeClaim:
    claimName: {{ . }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end -}}

{{/* The container that fetches a model, before its pod starts or as a job: list of root, model and options. */}}
{{- define "chatmesh.fetch" -}}
{{- $root := index . 0 -}}
{{- $model := index . 1 -}}
{{- $options := index . 2 -}}
{{- $weights := $root.Values.inference.weights -}}
- name: fetch-{{ include "chatmesh.modelSlug" $model }}
  image: {{ include "meshlib.image" (dict "root" $root "image" "mesh") }}
  imagePullPolicy: {{ $root.Values.images.pullPolicy }}
  args: {{ concat (list "services.shared.weights" (include "chatmesh.fetchedFrom" $model) (include "chatmesh.fetchedPath" $model)) $options | toJson }}
  env:
    {{- /* Nothing but its volumes can be written. */}}
    {{- range $name, $value := merge (dict "HF_HOME" "/tmp/hub") $weights.environment }}
    - name: {{ $name }}
      value: {{ $value | quote }}
    {{- end }}
  {{- with $weights.secret }}
  envFrom:
    - secretRef:
        name: {{ . }}
  {{- end }}
  terminationMessagePolicy: FallbackToLogsOnError
  resources:
    requests: {cpu: 100m, memory: 256Mi}
    limits: {memory: 2Gi}
  securityContext:
    {{- include "meshlib.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - name: weights
      mountPath: /var/cache/weights
    - name: tmp
      mountPath: /tmp
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

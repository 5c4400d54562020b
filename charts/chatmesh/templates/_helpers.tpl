{{/* How services reach another: list of root, name, port. */}}
{{- define "chatmesh.peer" -}}
kubernetes:{{ include "meshlib.serviceName" (dict "root" (index . 0) "name" (index . 1)) }}:{{ index . 2 }}
{{- end -}}

{{/* How they reach a pool: list of root and pool. */}}
{{- define "chatmesh.poolPeer" -}}
{{- $pool := index . 1 -}}
kubernetes:{{ include "meshlib.serviceName" (dict "root" (index . 0) "name" (printf "inference-%s" $pool.name) "pool" $pool.name "group" (include "chatmesh.group" $pool)) }}:50053
{{- end -}}

{{/* Whether a replica of the pool is pods on several nodes. */}}
{{- define "chatmesh.group" -}}
{{- if gt (dig "nodes" 1 . | int) 1 -}}true{{- end -}}
{{- end -}}

{{- define "chatmesh.pepper" -}}
{{ .Values.gateway.pepper.existingSecret | default (include "meshlib.fullname" (dict "root" . "name" "pepper")) }}
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
{{- range .Values.inference.pools -}}{{- $most = max $most (add (dig "loadSeconds" 600 . | int) (include "chatmesh.nodeSeconds" . | int)) -}}{{- end -}}
{{- $most -}}
{{- end -}}

{{/* What the gateway knows of the pools, asleep or not. */}}
{{- define "chatmesh.pools" -}}
{{- range .Values.inference.pools }}
- name: {{ .name | quote }}
  address: {{ include "chatmesh.poolPeer" (list $ .) | quote }}
  model: {{ .model.name | quote }}
  context_tokens: {{ int64 .model.contextTokens }}
  calls_tools: {{ dig "callsTools" false .model }}
  reasons: {{ dig "reasons" false .model }}
  summarises: {{ dig "summarises" false .model }}
  hold_seconds: {{ dig "holdSeconds" (dig "loadSeconds" 600 .) . | toJson }}
  wake_seconds: {{ add (dig "loadSeconds" 600 . | int) (include "chatmesh.nodeSeconds" . | int) }}
  scaled: {{ and $.Values.keda.enabled (dig "scaling" "enabled" false .) }}
{{- end }}
{{- end -}}

{{/* How long a node for the pool may take to come: with accelerators they usually come from none. */}}
{{- define "chatmesh.nodeSeconds" -}}
{{- dig "nodeSeconds" (empty .gpu | ternary 0 900) . | int -}}
{{- end -}}

{{/* Where context-assembly has a model's summaries written: its first pool. */}}
{{- define "chatmesh.inferenceByModel" -}}
{{- $all := dict -}}
{{- range .Values.inference.pools -}}
{{- if not (hasKey $all .model.name) -}}
{{- $_ := set $all .model.name (include "chatmesh.poolPeer" (list $ .)) -}}
{{- end -}}
{{- end -}}
{{ toYaml $all }}
{{- end -}}

{{/* Where a model is found in a container: in the image, where it was fetched to, or on a volume. */}}
{{- define "chatmesh.modelPath" -}}
{{- if .source.bundled -}}/srv/chatmesh/services/inference/demo_model/model
{{- else if include "chatmesh.fetchedFrom" . -}}{{ include "chatmesh.fetchedPath" . }}
{{- else -}}/models/{{ include "chatmesh.modelSlug" . }}{{ with .source.path }}/{{ trimPrefix "/" . }}{{ end }}
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

{{/* A model's name as names of containers, volumes and folders may be; a hash where two might become one. */}}
{{- define "chatmesh.modelSlug" -}}
{{- $slug := include "chatmesh.modelWords" . -}}
{{- if eq $slug .name -}}{{ $slug }}
{{- else -}}{{ printf "%s-%s" ($slug | trunc 31) (sha256sum .name | trunc 8) | replace "--" "-" | trimPrefix "-" }}
{{- end -}}
{{- end -}}

{{/* Its beginning, without what a name may not have. Two models may share it. */}}
{{- define "chatmesh.modelWords" -}}
{{- regexReplaceAll "[^a-z0-9]+" (lower .name) "-" | trunc 40 | trimAll "-" | default "model" -}}
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

{{/* The models of all pools that are fetched, each source once: two pools may have one model from two sources. */}}
{{- define "chatmesh.allFetched" -}}
{{- $all := list -}}{{- $sources := list -}}
{{- range .Values.inference.pools -}}
{{- $from := include "chatmesh.fetchedFrom" .model -}}
{{- if and $from (not (has $from $sources)) -}}
{{- $all = append $all .model -}}{{- $sources = append $sources $from -}}
{{- end -}}
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
    mountPath: /models/{{ include "chatmesh.modelSlug" . }}
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
fetches: true
serviceAccount: {{ $root.Values.inference.weights.serviceAccount | quote }}
podLabels: {{ $root.Values.inference.weights.podLabels | toJson }}
{{- end }}
{{- end -}}

{{- define "chatmesh.sourceEgress" -}}
{{- with .Values.networkPolicies.modelSource }}
{{- if and .ports .to }}
# Where models are fetched from.
- ports:
    {{- range .ports }}
    - port: {{ int . }}
    {{- end }}
  to:
    {{- toYaml .to | nindent 4 }}
{{- end }}
{{- end }}
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
    {{- $environment := dict "HF_HOME" "/tmp/hub" }}
    {{- range include "meshlib.outsideEnv" $root | fromYamlArray }}{{ $_ := set $environment .name .value }}{{ end }}
    {{- include "meshlib.lay" (list $environment $weights.environment) }}
    {{- range $name, $value := $environment }}
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
    {{- toYaml $weights.resources | nindent 4 }}
  securityContext:
    {{- include "meshlib.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - name: weights
      mountPath: /var/cache/weights
    - name: tmp
      mountPath: /tmp
    {{- include "meshlib.outsideMounts" $root | nindent 4 }}
{{- end -}}

{{- define "chatmesh.gatewayRules" -}}
{{- if .Values.podDeletionCosts.enabled }}
- apiGroups: [""]
  resources: [pods]
  verbs: [patch]
{{- end }}
{{- end -}}

{{/* Who reaches the gateway from outside the mesh: the edge, what comes through a port of nodes or a load balancer, and KEDA. */}}
{{- define "chatmesh.gatewayIngress" -}}
{{- $policies := .Values.networkPolicies -}}
{{- $peers := $policies.edge -}}
{{- if ne .Values.edge.service.type "ClusterIP" -}}{{- $peers = concat $peers $policies.outside -}}{{- end -}}
- ports:
    - port: http
    - port: grpc
  from:
    {{- include "meshlib.podsOf" (dict "root" $ "name" "test") | nindent 4 }}
    {{- with $peers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- if .Values.keda.enabled }}
{{- with $policies.keda }}
- ports:
    - port: scaler
  from:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Pools of inference. Most take a list of root and pool. */}}

{{/* By preset, the labels by which nodes say what accelerator they have: the GPU operator's, GKE's own, and Karpenter's on EKS. */}}
{{- define "chatmesh.presets" -}}
a100:
  nvidia.com/gpu.product:
    - NVIDIA-A100-SXM4-80GB
    - NVIDIA-A100-SXM4-40GB
    - NVIDIA-A100-80GB-PCIe
    - NVIDIA-A100-PCIE-80GB
    - NVIDIA-A100-PCIE-40GB
    - NVIDIA-A100-40GB-PCIe
  cloud.google.com/gke-accelerator: [nvidia-tesla-a100, nvidia-a100-80gb]
  karpenter.k8s.aws/instance-gpu-name: [a100]
h100:
  nvidia.com/gpu.product:
    - NVIDIA-H100-80GB-HBM3
    - NVIDIA-H100-PCIe
    - NVIDIA-H100-NVL
    - NVIDIA-H100-SXM5-80GB
  cloud.google.com/gke-accelerator: [nvidia-h100-80gb, nvidia-h100-mega-80gb]
  karpenter.k8s.aws/instance-gpu-name: [h100]
{{- end -}}

{{/* What a pool wants of accelerators: {resource, count, labels}; nothing for the processor. */}}
{{- define "chatmesh.gpu" -}}
{{- $pool := index . 1 -}}
{{- with $pool.gpu -}}
{{- $labels := get (include "chatmesh.presets" $ | fromYaml) (.preset | default "") | default dict -}}
{{- with .products -}}{{- $labels = dict "nvidia.com/gpu.product" . -}}{{- end -}}
resource: {{ .resource | default "nvidia.com/gpu" }}
count: {{ .count | default 1 | int }}
labels: {{ $labels | toJson }}
{{- end -}}
{{- end -}}

{{/* A node that has one of the labels. */}}
{{- define "chatmesh.gpuAffinity" -}}
{{- with .labels -}}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      {{- range $label, $values := . }}
      - matchExpressions:
          - key: {{ $label }}
            operator: In
            values: {{ $values | toJson }}
      {{- end }}
{{- end -}}
{{- end -}}

{{/* The config of one pool: what holds for all, its own, and what its place in the chart says. */}}
{{- define "chatmesh.poolConfig" -}}
{{- $root := index . 0 -}}
{{- $pool := index . 1 -}}
{{- $config := deepCopy ($root.Values.inference.config | default dict) -}}
{{- include "meshlib.lay" (list $config ($pool.config | default dict)) -}}
{{- $args := deepCopy ($config.engine_args | default dict) -}}
{{- include "meshlib.lay" (list $args ($pool.engineArgs | default dict)) -}}
{{- with $pool.quantization -}}{{- $_ := set $args "quantization" . -}}{{- end -}}
{{- with $pool.pipelineParallel -}}{{- if gt (int .) 1 -}}{{- $_ := set $args "pipeline_parallel_size" . -}}{{- end -}}{{- end -}}
{{- if $args -}}{{- $_ := set $config "engine_args" $args -}}{{- end -}}
{{- with $pool.tensorParallel -}}{{- $_ := set $config "tensor_parallel_size" . -}}{{- end -}}
{{ toYaml $config }}
{{- end -}}

{{/* What was compiled fits one engine, one kind of accelerator and one set of arguments. */}}
{{- define "chatmesh.cacheKey" -}}
{{- $root := index . 0 -}}
{{- $pool := index . 1 -}}
{{- $parts := list ($pool.image | default $root.Values.images.tag | default $root.Chart.AppVersion) $pool.gpu $pool.model (include "chatmesh.poolConfig" .) -}}
{{- $parts | toJson | sha256sum | trunc 16 -}}
{{- end -}}

{{/* What a pool's engine writes, beside where its model is. */}}
{{- define "chatmesh.engineVolumes" -}}
- name: shm
  emptyDir:
    medium: Memory
    sizeLimit: {{ dig "shmSize" "2Gi" . }}
- name: engine-cache
  {{- if (.cache | default dict).claim }}
  persistentVolumeClaim:
    claimName: {{ .cache.claim }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end -}}

{{- define "chatmesh.engineMounts" -}}
- name: shm
  mountPath: /dev/shm
- name: engine-cache
  mountPath: /var/cache/engine
{{- end -}}

{{/* A pool as a component, but for `root`. */}}
{{- define "chatmesh.poolComponent" -}}
{{- $root := index . 0 -}}
{{- $pool := index . 1 -}}
{{- $gpu := include "chatmesh.gpu" . | fromYaml -}}
{{- $claims := dig "gpu" "claims" list $pool -}}
{{- $names := list -}}{{- range $claims -}}{{- $names = append $names (dict "name" .name) -}}{{- end -}}
{{- $values := omit $pool "config" -}}
{{- $_ := set $values "config" (include "chatmesh.poolConfig" . | fromYaml) -}}
{{- $component := dict
      "name" (printf "inference-%s" $pool.name) "service" "inference" "pool" $pool.name "values" $values
      "group" (eq (include "chatmesh.group" $pool) "true")
      "image" (empty $gpu | ternary "inference-cpu" "inference") "reference" ($pool.image | default "") "port" 50053
      "loadSeconds" (dig "loadSeconds" 600 $pool) "nodeSeconds" (include "chatmesh.nodeSeconds" $pool | int)
      "rollingUpdate" (dict "maxSurge" 0 "maxUnavailable" 1)
      "callers" (list "gateway" "context-assembly") "callees" list
      "gpu" $gpu "claims" $names "resourceClaims" $claims
      "affinity" (include "chatmesh.gpuAffinity" $gpu | fromYaml)
      "tolerations" (empty $gpu | ternary list $root.Values.inference.gpuTolerations)
      "pods" (list ($root.Values.inference.pod | default dict)) -}}
{{- $_ := set $component "settings" (dict
      "INFERENCE_MODEL" (include "chatmesh.modelPath" $pool.model)
      "INFERENCE_SERVED_NAME" $pool.model.name
      "VLLM_CACHE_ROOT" (printf "/var/cache/engine/%s" (include "chatmesh.cacheKey" .))) -}}
{{- $model := include "chatmesh.modelParts" (list $root (list $pool.model) list) | fromYaml -}}
{{- $_ := set $component "volumes" (concat (include "chatmesh.engineVolumes" $pool | fromYamlArray) ($model.volumes | default list)) -}}
{{- $_ := set $component "mounts" (concat (include "chatmesh.engineMounts" $pool | fromYamlArray) ($model.mounts | default list)) -}}
{{- $ingress := include "chatmesh.poolIngress" $root | fromYamlArray -}}
{{- if $ingress -}}{{- $_ := set $component "ingress" $ingress -}}{{- end -}}
{{- range $key, $value := omit $model "volumes" "mounts" -}}{{- $_ := set $component $key $value -}}{{- end -}}
{{ toYaml $component }}
{{- end -}}

{{/* Who else may call engines: a router of others, by `inferencePool`. Takes the chart's context. */}}
{{- define "chatmesh.poolIngress" -}}
{{- if .Values.inferencePool.enabled -}}
{{- with .Values.inferencePool.callers -}}
- ports:
    - port: grpc
  from:
    {{- toYaml . | nindent 4 }}
{{- end -}}
{{- end -}}
{{- end -}}

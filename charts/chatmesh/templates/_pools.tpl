{{/* Pools of inference. Most take a list of root and pool. */}}

{{/* GPUs by product: the names under which one and the same accelerator goes. */}}
{{- define "chatmesh.products" -}}
a100:
  - NVIDIA-A100-SXM4-80GB
  - NVIDIA-A100-SXM4-40GB
  - NVIDIA-A100-80GB-PCIe
  - NVIDIA-A100-PCIE-80GB
  - NVIDIA-A100-PCIE-40GB
  - NVIDIA-A100-40GB-PCIe
h100:
  - NVIDIA-H100-80GB-HBM3
  - NVIDIA-H100-PCIe
  - NVIDIA-H100-NVL
  - NVIDIA-H100-SXM5-80GB
{{- end -}}

{{/* What a pool wants of accelerators: {resource, count, products}; nothing for the processor. */}}
{{- define "chatmesh.gpu" -}}
{{- $pool := index . 1 -}}
{{- with $pool.gpu -}}
{{- $products := .products | default (get (include "chatmesh.products" $ | fromYaml) (.preset | default "")) -}}
resource: {{ .resource | default "nvidia.com/gpu" }}
count: {{ .count | default 1 }}
products: {{ $products | default list | toJson }}
{{- end -}}
{{- end -}}

{{/* List of pool and gpu. */}}
{{- define "chatmesh.gpuAffinity" -}}
{{- $pool := index . 0 -}}
{{- $gpu := index . 1 -}}
{{- $affinity := deepCopy ($pool.affinity | default dict) -}}
{{- if $gpu.products -}}
{{- $ours := include "chatmesh.onProducts" $gpu | fromYaml -}}
{{- $affinity = merge $affinity $ours -}}
{{- end -}}
{{ toYaml $affinity }}
{{- end -}}

{{- define "chatmesh.onProducts" -}}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions:
          - key: nvidia.com/gpu.product
            operator: In
            values: {{ .products | toJson }}
{{- end -}}

{{/* The config of one pool: what holds for all, its own, and what its place in the chart says. */}}
{{- define "chatmesh.poolConfig" -}}
{{- $root := index . 0 -}}
{{- $pool := index . 1 -}}
{{- $config := merge (deepCopy ($pool.config | default dict)) ($root.Values.inference.config | default dict) -}}
{{- $args := deepCopy ($pool.engineArgs | default dict) -}}
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
    sizeLimit: {{ .shmSize | default "2Gi" }}
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

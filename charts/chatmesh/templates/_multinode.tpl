{{/* One replica over several nodes, as a LeaderWorkerSet: list of root, pool and component. Rendered and checked, never run here. */}}
{{- define "chatmesh.multiNode" -}}
{{- $root := index . 0 -}}
{{- $pool := index . 1 -}}
{{- $component := index . 2 -}}
{{- $docs := list -}}
{{- range $part := list "serviceaccount" "config" "service" "pdb" "networkpolicy" "monitor" -}}
{{- $doc := include (printf "meshlib.%s" $part) $component | trim -}}
{{- if $doc -}}{{- $docs = append $docs $doc -}}{{- end -}}
{{- end -}}
{{ join "\n---\n" $docs }}
---
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata:
  {{- include "meshlib.metadata" $component | nindent 2 }}
spec:
  replicas: {{ $pool.replicas }}
  rolloutStrategy:
    type: RollingUpdate
    rollingUpdateConfiguration:
      maxSurge: 0
      maxUnavailable: 1
  leaderWorkerTemplate:
    size: {{ $pool.nodes }}
    restartPolicy: RecreateGroupOnPodRestart
    leaderTemplate:
      {{- include "chatmesh.groupPod" (list $root $pool $component "leader") | nindent 6 }}
    workerTemplate:
      {{- include "chatmesh.groupPod" (list $root $pool $component "worker") | nindent 6 }}
{{- end -}}

{{/* A group's engine finds its parts by the leader's address; only the leader answers for it. */}}
{{- define "chatmesh.groupPod" -}}
{{- $root := index . 0 -}}
{{- $pool := index . 1 -}}
{{- $component := index . 2 -}}
{{- $role := index . 3 -}}
{{- $pod := include "meshlib.pod" $component | fromYaml -}}
{{- $container := index $pod.spec.containers 0 -}}
{{- $config := include "chatmesh.poolConfig" (list $root $pool) | fromYaml -}}
{{- $group := dict "nnodes" (int $pool.nodes) "master_addr" "$(LWS_LEADER_ADDRESS)" -}}
{{- if eq $role "leader" -}}
{{- $args := merge $group (dict "node_rank" 0) ($config.engine_args | default dict) -}}
{{- $env := append ($container.env | default list) (dict "name" "INFERENCE_ENGINE_ARGS" "value" ($args | toJson)) -}}
{{- $_ := set $container "env" $env -}}
{{- else -}}
{{- $args := list "vllm.entrypoints.cli.main" "serve" (include "chatmesh.modelPath" $pool.model) "--headless"
      "--nnodes" ($pool.nodes | toString) "--node-rank" "$(LWS_WORKER_INDEX)" "--master-addr" "$(LWS_LEADER_ADDRESS)"
      "--tensor-parallel-size" ($pool.tensorParallel | default 1 | toString)
      "--pipeline-parallel-size" ($pool.pipelineParallel | default 1 | toString) -}}
{{- $_ := set $container "args" $args -}}
{{- range $probe := list "startupProbe" "readinessProbe" "livenessProbe" -}}{{- $_ := unset $container $probe -}}{{- end -}}
{{- /* The headless service names leaders alone. */ -}}
{{- $_ := set $pod.metadata "labels" (omit $pod.metadata.labels "app.kubernetes.io/component") -}}
{{- end -}}
{{- if $pool.rdma -}}
{{- /* Locked memory for RDMA is the one thing that the restricted policy does not know. */ -}}
{{- $_ := set $container.securityContext "capabilities" (dict "drop" (list "ALL") "add" (list "IPC_LOCK")) -}}
{{- $resources := $container.resources -}}
{{- range $kind := list "requests" "limits" -}}
{{- $_ := set $resources $kind (merge (dict $pool.rdma.resource ($pool.rdma.count | default 1)) (get $resources $kind | default dict)) -}}
{{- end -}}
{{- end -}}
{{ toYaml $pod }}
{{- end -}}

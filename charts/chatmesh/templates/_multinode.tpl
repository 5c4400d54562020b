{{/* One replica over several nodes, as a LeaderWorkerSet: list of root, pool and component. Rendered and checked, never run here. */}}
{{- define "chatmesh.multiNode" -}}
{{- $root := index . 0 -}}
{{- $pool := index . 1 -}}
{{- $component := index . 2 -}}
{{- $docs := list -}}
{{- range $part := list "serviceaccount" "config" "service" "pdb" "autoscaler" "networkpolicy" "monitor" -}}
{{- $doc := include (printf "meshlib.%s" $part) $component | trim -}}
{{- if $doc -}}{{- $docs = append $docs $doc -}}{{- end -}}
{{- end -}}
{{ join "\n---\n" $docs }}
---
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata:
  name: {{ include "meshlib.workloadName" $component }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "meshlib.labels" $component | nindent 4 }}
spec:
  {{- if not (include "meshlib.scaled" $component) }}
  replicas: {{ int64 $pool.replicas }}
  {{- end }}
  rolloutStrategy:
    type: RollingUpdate
    rollingUpdateConfiguration:
      {{- include "meshlib.rollingUpdate" $component | nindent 6 }}
  leaderWorkerTemplate:
    size: {{ int $pool.nodes }}
    restartPolicy: RecreateGroupOnPodRestart
    leaderTemplate:
      {{- include "chatmesh.groupPod" (list $root $pool $component "leader") | nindent 6 }}
    workerTemplate:
      {{- include "chatmesh.groupPod" (list $root $pool $component "worker") | nindent 6 }}
{{- end -}}

{{/*
The leader's engine finds the others by the leader's address. All read one config; in a worker's, the number of its node differs.
LeaderWorkerSet puts LWS_LEADER_ADDRESS and LWS_WORKER_INDEX before the container's own variables.
*/}}
{{- define "chatmesh.groupPod" -}}
{{- $root := index . 0 -}}
{{- $pool := index . 1 -}}
{{- $component := index . 2 -}}
{{- $role := index . 3 -}}
{{- $pod := include "meshlib.podOfChart" $component | fromYaml -}}
{{- $container := index $pod.spec.containers 0 -}}
{{- $args := deepCopy (dig "config" "engine_args" dict $component.values) -}}
{{- $_ := set $args "nnodes" (int $pool.nodes) -}}
{{- $_ := set $args "master_addr" "$(LWS_LEADER_ADDRESS)" -}}
{{- $_ := set $args "node_rank" "rank" -}}
{{- $told := $args | toJson | replace "\"node_rank\":\"rank\"" (eq $role "leader" | ternary "\"node_rank\":0" "\"node_rank\":$(LWS_WORKER_INDEX)") -}}
{{- $_ := set $container "env" (append ($container.env | default list) (dict "name" "INFERENCE_ENGINE_ARGS" "value" $told)) -}}
{{- if eq $role "worker" -}}
{{- $_ := set $container "args" (list "services.inference.adapters.vllm_worker") -}}
{{- /* It takes no calls: only the leader answers for the group. */ -}}
{{- range $key := list "startupProbe" "readinessProbe" "livenessProbe" "ports" -}}{{- $_ := unset $container $key -}}{{- end -}}
{{- end -}}
{{- if $pool.rdma -}}
{{- /* Locked memory for RDMA is the one thing that the restricted policy does not know. */ -}}
{{- $_ := set $container.securityContext "capabilities" (dict "drop" (list "ALL") "add" (list "IPC_LOCK")) -}}
{{- $resources := $container.resources -}}
{{- range $kind := list "requests" "limits" -}}
{{- $_ := set $resources $kind (merge (dict $pool.rdma.resource ($pool.rdma.count | default 1 | int)) (get $resources $kind | default dict)) -}}
{{- end -}}
{{- end -}}
{{- include "meshlib.layPod" (list $component $pod) -}}
{{ toYaml $pod }}
{{- end -}}

{{/* Whether something else than this chart decides how many replicas there are: for a pool only KEDA can. */}}
{{- define "meshlib.scaled" -}}
{{- if (.values.scaling | default dict).enabled -}}
{{- if or .root.Values.keda.enabled (ne .service "inference") -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* By KEDA and the gateway's word on what is scarce; without KEDA by CPU, and pools not at all. */}}
{{- define "meshlib.autoscaler" -}}
{{- $scaling := .values.scaling | default dict -}}
{{- if and (include "meshlib.scaled" .) .root.Values.keda.enabled -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  # That of the workload: `kubectl chatmesh sleep` looks for it by this name.
  name: {{ include "meshlib.workloadName" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "meshlib.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    {{- if .group }}
    apiVersion: leaderworkerset.x-k8s.io/v1
    kind: LeaderWorkerSet
    {{- end }}
    name: {{ include "meshlib.workloadName" . }}
  minReplicaCount: {{ int64 $scaling.minReplicas }}
  maxReplicaCount: {{ int64 $scaling.maxReplicas }}
  pollingInterval: {{ int64 .root.Values.keda.pollingSeconds }}
  cooldownPeriod: {{ dig "cooldownSeconds" 300 $scaling | int64 }}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown:
          stabilizationWindowSeconds: {{ dig "stabilizationSeconds" 300 $scaling | int64 }}
          policies:
            - type: Pods
              value: 1
              periodSeconds: 15
  triggers:
    - type: external-push
      metadata:
        scalerAddress: {{ printf "%s.%s:50060" (include "meshlib.fullname" (dict "root" .root "name" "gateway-scaler")) .root.Release.Namespace }}
        {{- if eq .service "inference" }}
        pool: {{ .pool | quote }}
        {{- else }}
        service: {{ .service | quote }}
        {{- end }}
        {{- range $metric, $target := $scaling.targets }}
        {{ $metric }}: {{ $target | toJson | quote }}
        {{- end }}
{{- else if include "meshlib.scaled" . -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "meshlib.metadata" . | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "meshlib.fullname" . }}
  minReplicas: {{ max 1 (int $scaling.minReplicas) }}
  maxReplicas: {{ int64 $scaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ dig "cpuPercent" 70 $scaling | int64 }}
{{- end -}}
{{- end -}}

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
  {{- include "meshlib.metadata" . | nindent 2 }}
spec:
  scaleTargetRef:
    name: {{ include "meshlib.fullname" . }}
  minReplicaCount: {{ $scaling.minReplicas }}
  maxReplicaCount: {{ $scaling.maxReplicas }}
  pollingInterval: {{ .root.Values.keda.pollingSeconds }}
  cooldownPeriod: {{ $scaling.cooldownSeconds | default 300 }}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown:
          stabilizationWindowSeconds: {{ $scaling.stabilizationSeconds | default 300 }}
          policies:
            - type: Pods
              value: 1
              periodSeconds: 15
  triggers:
    - type: external-push
      metadata:
        scalerAddress: {{ printf "%s-gateway-scaler.%s:50060" .root.Release.Name .root.Release.Namespace }}
        {{- if eq .service "inference" }}
        pool: {{ .pool | quote }}
        {{- else }}
        service: {{ .service | quote }}
        {{- end }}
        {{- range $metric, $target := $scaling.targets }}
        {{ $metric }}: {{ $target | quote }}
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
  maxReplicas: {{ $scaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ $scaling.cpuPercent | default 70 }}
{{- end -}}
{{- end -}}

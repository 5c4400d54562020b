{{/*
Something that ends, as a dict of root, name and:
  annotations     when it runs, if it is a hook
  retries, deadlineSeconds   how often, and how long in all; may be left out
  serviceAccount, token      who it is, and whether it speaks to the API server
  podLabels       beside the usual ones
  egress          whom it calls, beside DNS and, with a token, the API server; may be left out
  containers, volumes        `tmp` is there already
  values          nodeSelector and tolerations, of the service for which it works
  affinity        may be left out
*/}}
{{- define "meshlib.job" -}}
{{- if .root.Values.networkPolicies.enabled -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "meshlib.metadata" . | nindent 2 }}
  {{- with .annotations }}
  annotations:
    {{- merge (dict "helm.sh/hook-weight" "-10") . | toYaml | nindent 4 }}
  {{- end }}
spec:
  podSelector:
    matchLabels:
      {{- include "meshlib.selector" . | nindent 6 }}
  # Nobody calls it.
  policyTypes: [Ingress, Egress]
  egress:
    {{- include "meshlib.dnsEgress" . | nindent 4 }}
    {{- if .token }}
    {{- include "meshlib.apiServerEgress" . | nindent 4 }}
    {{- end }}
    {{- with .egress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
---
{{ end -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "meshlib.metadata" . | nindent 2 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  backoffLimit: {{ .retries | default 2 }}
  {{- with .deadlineSeconds }}
  activeDeadlineSeconds: {{ . }}
  {{- end }}
  template:
    metadata:
      labels:
        {{- include "meshlib.selector" . | nindent 8 }}
        {{- with .podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      restartPolicy: Never
      {{- with .serviceAccount }}
      serviceAccountName: {{ . }}
      {{- end }}
      automountServiceAccountToken: {{ .token | default false }}
      {{- include "meshlib.everyPod" . | nindent 6 }}
      containers:
        {{- toYaml .containers | nindent 8 }}
      volumes:
        - name: tmp
          emptyDir: {}
        {{- with .volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}

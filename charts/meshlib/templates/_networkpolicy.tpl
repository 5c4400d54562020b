{{- define "meshlib.networkpolicy" -}}
{{- if .root.Values.networkPolicies.enabled -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "meshlib.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "meshlib.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- with .callers }}
    # Who calls it.
    - ports:
        - port: grpc
      from:
        {{- range . }}
        {{- include "meshlib.podsOf" (dict "root" $.root "name" .) | nindent 8 }}
        {{- end }}
    {{- end }}
    {{- with .root.Values.networkPolicies.scrape }}
    # Who scrapes it.
    - ports:
        - port: metrics
      from:
        {{- toYaml . | nindent 8 }}
    {{- end }}
    {{- if .group }}
    # The pods of a group, at whatever ports torch, NCCL and ZeroMQ take.
    - from:
        {{- include "meshlib.podsOf" . | nindent 8 }}
    {{- end }}
    {{- with .ingress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  egress:
    {{- include "meshlib.dnsEgress" . | nindent 4 }}
    {{- range .callees }}
    - ports:
        - port: grpc
      to:
        {{- include "meshlib.podsOf" (dict "root" $.root "name" .) | nindent 8 }}
    {{- end }}
    {{- if .watches }}
    {{- include "meshlib.apiServerEgress" . | nindent 4 }}
    {{- end }}
    {{- if .group }}
    - to:
        {{- include "meshlib.podsOf" . | nindent 8 }}
    {{- end }}
    {{- if and .root.Values.tracing.endpoint .root.Values.networkPolicies.tracing }}
    # The collector of spans.
    - to:
        {{- toYaml .root.Values.networkPolicies.tracing | nindent 8 }}
    {{- end }}
    {{- if .storage }}
    {{- include "meshlib.storeEgress" . | nindent 4 }}
    {{- end }}
    {{- with .egress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
{{- end -}}

{{- define "meshlib.storeEgress" -}}
{{- if not (include "meshlib.embedded" .) }}
{{- with .values.store.egress }}
# The server that keeps its store.
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* An empty list of peers or ports would mean all of them. Here it means none: there is no rule then. */}}
{{- define "meshlib.dnsEgress" -}}
{{- with .root.Values.networkPolicies.dns }}
# DNS. OpenShift's listens on 5353.
- ports:
    {{- range $.root.Values.openshift.enabled | ternary (list 53 5353) (list 53) }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  to:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end -}}

{{- define "meshlib.apiServerEgress" -}}
{{- with .root.Values.networkPolicies.apiServer }}
{{- if and .ports .to }}
# The API server.
- ports:
    {{- range .ports }}
    - port: {{ int . }}
    {{- end }}
  to:
    {{- toYaml .to | nindent 4 }}
{{- end }}
{{- end }}
{{- end -}}

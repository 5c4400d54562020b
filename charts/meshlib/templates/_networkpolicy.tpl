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
    # Who scrapes it.
    - ports:
        - port: metrics
      from:
        {{- toYaml .root.Values.networkPolicies.scrape | nindent 8 }}
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
    {{- if .root.Values.tracing.endpoint }}
    # The collector of spans.
    - to:
        {{- toYaml .root.Values.networkPolicies.tracing | nindent 8 }}
    {{- end }}
    {{- with .egress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
{{- end -}}

{{- define "meshlib.dnsEgress" -}}
# DNS.
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
  to:
    {{- toYaml .root.Values.networkPolicies.dns | nindent 4 }}
{{- end -}}

{{- define "meshlib.apiServerEgress" -}}
# The API server.
- ports:
    {{- range .root.Values.networkPolicies.apiServer.ports }}
    - port: {{ . }}
    {{- end }}
  to:
    {{- toYaml .root.Values.networkPolicies.apiServer.to | nindent 4 }}
{{- end -}}

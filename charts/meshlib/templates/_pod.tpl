{{/* A component's pod: the chart's, and over it what the values say in Kubernetes' own words. */}}
{{- define "meshlib.pod" -}}
{{- $pod := include "meshlib.podOfChart" . | fromYaml -}}
{{- include "meshlib.layPod" (list . $pod) -}}
{{ toYaml $pod }}
{{- end -}}

{{- define "meshlib.podOfChart" -}}
metadata:
  labels:
    {{- with .root.Values.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- include "meshlib.selector" . | nindent 4 }}
    chatmesh.io/service: {{ .service }}
    {{- with .podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
  annotations:
    # Another config rolls the pods.
    chatmesh.io/config: {{ include "meshlib.environment" . | sha256sum | trunc 16 | quote }}
spec:
  serviceAccountName: {{ include "meshlib.accountName" . }}
  automountServiceAccountToken: {{ .watches | default false }}
  {{- include "meshlib.everyPod" . | nindent 2 }}
  # Calls still come for the drain, running ones may take the grace, and then the process ends by itself.
  terminationGracePeriodSeconds: {{ add (include "meshlib.drainSeconds" . | int) (include "meshlib.graceSeconds" . | int) 10 }}
  {{- with .init }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .service }}
      image: {{ include "meshlib.image" . }}
      imagePullPolicy: {{ .root.Values.images.pullPolicy }}
      args: [services.{{ .service | replace "-" "_" }}]
      envFrom:
        - configMapRef:
            name: {{ include "meshlib.fullname" . }}
      {{- with concat (.env | default list) (empty .goesOut | ternary list (include "meshlib.outsideEnv" .root | fromYamlArray)) }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: grpc
          containerPort: {{ .port }}
        - name: metrics
          containerPort: 9090
        {{- range $name, $port := .ports }}
        - name: {{ $name }}
          containerPort: {{ $port }}
        {{- end }}
      {{- include "meshlib.probes" . | nindent 6 }}
      # A process that cannot start says why in its last line.
      terminationMessagePolicy: FallbackToLogsOnError
      resources:
        {{- $resources := deepCopy (.values.resources | default dict) }}
        {{- with .gpu }}
        {{- if $.claims }}
        {{- $_ := set $resources "claims" $.claims }}
        {{- else }}
        {{- range $kind := list "requests" "limits" }}
        {{- $_ := set $resources $kind (merge (dict $.gpu.resource $.gpu.count) (get $resources $kind | default dict)) }}
        {{- end }}
        {{- end }}
        {{- end }}
        {{- toYaml $resources | nindent 8 }}
      securityContext:
        {{- include "meshlib.containerSecurity" . | nindent 8 }}
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        - name: home
          mountPath: /var/lib/chatmesh
        {{- if .storage }}
        {{- include "meshlib.storeMount" . | nindent 8 }}
        {{- end }}
        {{- if .goesOut }}
        {{- include "meshlib.outsideMounts" .root | nindent 8 }}
        {{- end }}
        {{- with .mounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    - name: home
      emptyDir: {}
    {{- if .storage }}
    {{- include "meshlib.storeVolume" . | nindent 4 }}
    {{- end }}
    {{- if or .goesOut .fetches }}
    {{- include "meshlib.outsideVolumes" .root | nindent 4 }}
    {{- end }}
    {{- with .volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .resourceClaims }}
  resourceClaims:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - topologyKey: {{ $key }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "meshlib.selector" $ | nindent 10 }}
    {{- end }}
{{- end -}}

{{/* What holds for services and jobs alike: the restricted Pod Security, and no more than they need. */}}
{{- define "meshlib.everyPod" -}}
enableServiceLinks: false
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- if not .root.Values.openshift.enabled }}
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  {{- end }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "meshlib.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Ready and alive by grpc.health.v1. What loads for long has as long as its start-up probe gives it. */}}
{{- define "meshlib.probes" -}}
{{- $load := .loadSeconds | default 60 | int -}}
startupProbe:
  grpc:
    port: {{ .port }}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: {{ $load }}
readinessProbe:
  grpc:
    port: {{ .port }}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  grpc:
    port: {{ .port }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{/* For a container that calls outside the cluster: the proxy, and the private CA. Takes the chart's context. */}}
{{- define "meshlib.outsideEnv" -}}
{{- $all := list -}}
{{- with .Values.proxy.http -}}{{- $all = append $all (dict "name" "HTTP_PROXY" "value" .) -}}{{- end -}}
{{- with .Values.proxy.https -}}{{- $all = append $all (dict "name" "HTTPS_PROXY" "value" .) -}}{{- end -}}
{{- if or .Values.proxy.http .Values.proxy.https -}}
{{- $direct := list "localhost" "127.0.0.1" "::1" "$(KUBERNETES_SERVICE_HOST)" ".svc" ".cluster.local" -}}
{{- with .Values.proxy.noProxy -}}{{- $direct = append $direct . -}}{{- end -}}
{{- $all = append $all (dict "name" "NO_PROXY" "value" (join "," $direct)) -}}
{{- end -}}
{{- if .Values.privateCA.configMap -}}
{{- range $name := list "SSL_CERT_FILE" "REQUESTS_CA_BUNDLE" "CURL_CA_BUNDLE" -}}
{{- $all = append $all (dict "name" $name "value" "/etc/chatmesh/ca/ca.crt") -}}
{{- end -}}
{{- end -}}
{{ toYaml $all }}
{{- end -}}

{{- define "meshlib.outsideMounts" -}}
{{- if .Values.privateCA.configMap -}}
- name: private-ca
  mountPath: /etc/chatmesh/ca
  readOnly: true
{{- end -}}
{{- end -}}

{{- define "meshlib.outsideVolumes" -}}
{{- with .Values.privateCA -}}
{{- if .configMap -}}
- name: private-ca
  configMap:
    name: {{ .configMap }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- end -}}
{{- end -}}
{{- end -}}

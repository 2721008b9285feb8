{{/* Parts that the pods of all components share. */}}

{{/* Argument: dict "root" $ "component" NAME */}}
{{- define "idaas-bridge.podMetadata" -}}
# Without the chart's version, so that a new chart with the same image restarts nothing.
labels:
  {{- include "idaas-bridge.selector" . | nindent 2 }}
  app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "idaas-bridge.podAnnotations" -}}
{{- if .Values.monitoring.scrapeAnnotations }}
prometheus.io/scrape: "true"
prometheus.io/port: "9464"
{{- end }}
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* How every pod runs: as the image's user, without a token for the Kubernetes API. The variables that Kubernetes makes
     for each Service are switched off. */}}
{{- define "idaas-bridge.podSettings" -}}
serviceAccountName: {{ include "idaas-bridge.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "idaas-bridge.containerSettings" -}}
image: {{ include "idaas-bridge.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end -}}

{{/* Spreads the replicas of a component over nodes and zones. Argument: dict "root" $ "component" NAME */}}
{{- define "idaas-bridge.spread" -}}
{{- $selector := include "idaas-bridge.selector" . -}}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if ne .root.Values.antiAffinity "none" }}
affinity:
  podAntiAffinity:
    {{- if eq .root.Values.antiAffinity "required" }}
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- $selector | nindent 12 }}
    {{- else }}
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- $selector | nindent 14 }}
    {{- end }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
  {{- with .root.Values.topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Variables that every component has. They take precedence over the configuration. */}}
{{- define "idaas-bridge.env" -}}
{{- $config := include "idaas-bridge.config" . | fromJson -}}
{{- if .Values.state.enabled }}
# A variable of this section switches state topics on.
- { name: IDAAS_BRIDGE_STATE__GROUP_ID, value: {{ dig "state" "group_id" "idaas-bridge-state" $config | quote }} }
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Variables of the bridge itself. */}}
{{- define "idaas-bridge.bridgeEnv" -}}
- { name: IDAAS_BRIDGE_SERVER__LISTEN, value: {{ printf "%s:8080" .Values.bindAddress | quote }} }
# For probes and Prometheus. The service for callbacks does not lead there.
- { name: IDAAS_BRIDGE_SERVER__ADMIN_LISTEN, value: {{ printf "%s:9464" .Values.bindAddress | quote }} }
- { name: IDAAS_BRIDGE_JOURNAL__DIRECTORY, value: /var/lib/idaas-bridge }
- { name: IDAAS_BRIDGE_DEDUPE__REPLICAS, value: {{ .Values.replicas | quote }} }
{{- include "idaas-bridge.env" . }}
{{- end -}}

{{- define "idaas-bridge.mounts" -}}
# The default of --config is /etc/idaas-bridge/bridge.toml, so commands in a pod need no option.
- { name: config, mountPath: /etc/idaas-bridge, readOnly: true }
- { name: tmp, mountPath: /tmp }
{{- end -}}

{{/* bridge.toml and the files that it names, in one directory. Kubernetes replaces changed files in running pods. */}}
{{- define "idaas-bridge.volumes" -}}
- name: config
  projected:
    # Readable by the group 10001 only.
    defaultMode: 0440
    sources:
      - configMap:
          name: {{ include "idaas-bridge.fullname" . }}
          items: [{ key: bridge.toml, path: bridge.toml }]
      {{- with .Values.files }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- with include "idaas-bridge.adminTokenSecret" . }}
      - secret:
          name: {{ . }}
          items: [{ key: {{ include "idaas-bridge.adminTokenKey" $ | quote }}, path: {{ include "idaas-bridge.adminTokenFile" $ }} }]
      {{- end }}
- name: tmp
  emptyDir: { medium: Memory, sizeLimit: 16Mi }
{{- end -}}

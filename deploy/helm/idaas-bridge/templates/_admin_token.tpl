{{/* The admin token: where it comes from, and how the bridge gets it. It is a file, so that a running bridge notices a change. */}}

{{/* Name of the file beside bridge.toml. A name of its own, because `files` can contain an admin.token. */}}
{{- define "idaas-bridge.adminTokenFile" -}}
chart-admin.token
{{- end -}}

{{/* "true" if the configuration or a variable sets server.admin_token. */}}
{{- define "idaas-bridge.ownAdminToken" -}}
{{- $config := include "idaas-bridge.config" . | fromJson -}}
{{- $variables := list -}}
{{- range .Values.env }}{{ $variables = append $variables .name }}{{ end -}}
{{- if or (dig "server" "admin_token" "" $config) (has "IDAAS_BRIDGE_SERVER__ADMIN_TOKEN" $variables) -}}true{{- end -}}
{{- end -}}

{{/* Name of the Secret with the token; empty if the chart has nothing to do with it. */}}
{{- define "idaas-bridge.adminTokenSecret" -}}
{{- if include "idaas-bridge.ownAdminToken" . -}}
{{- else if .Values.adminToken.existingSecret -}}
{{- .Values.adminToken.existingSecret -}}
{{- else if .Values.adminToken.create -}}
{{- include "idaas-bridge.fullname" . }}-admin-token
{{- end -}}
{{- end -}}

{{- define "idaas-bridge.adminTokenKey" -}}
{{- ternary .Values.adminToken.key "admin.token" (ne .Values.adminToken.existingSecret "") -}}
{{- end -}}

{{/* The configuration as text, with server.admin_token if the chart provides the token. _checks.tpl verifies the result. */}}
{{- define "idaas-bridge.bridgeToml" -}}
{{- $text := .Values.config | trimSuffix "\n" -}}
{{- if include "idaas-bridge.adminTokenSecret" . -}}
{{- $header := "(?m)^([ \\t]*\\[[ \\t]*server[ \\t]*\\].*)$" -}}
{{- $line := include "idaas-bridge.adminTokenFile" . | printf "# Added by the chart (adminToken).\nadmin_token = { file = %q }" -}}
{{- if regexMatch $header $text -}}
{{- regexReplaceAll $header $text (printf "${1}\n%s" $line) -}}
{{- else -}}
{{- printf "%s\n[server]\n%s" $text $line -}}
{{- end -}}
{{- else -}}
{{- $text -}}
{{- end -}}
{{- end -}}

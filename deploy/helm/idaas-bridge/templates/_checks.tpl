{{/* Mistakes in the values that Kubernetes accepts and that would show only when events are lost. All are reported
     together. What is wrong within `config` is left to the bridge. */}}

{{- define "idaas-bridge.checks" -}}
{{- $problems := include "idaas-bridge.problems" . | trim -}}
{{- if $problems -}}
{{- fail (printf "\n\n%s\n" $problems) -}}
{{- end -}}
{{- end -}}

{{- define "idaas-bridge.problems" -}}
{{- $config := include "idaas-bridge.config" . | fromJson -}}
{{- if not (.Values.config | trim) }}
config: is empty. Write a configuration with `idaas-bridge init DIR`, and pass it: --set-file config=DIR/bridge.toml
{{- else if hasKey $config "Error" }}
config: is not TOML: {{ $config.Error }}
{{- else }}
{{- include "idaas-bridge.configProblems" (dict "root" . "config" $config) }}
{{- end }}
{{- range .Values.env }}
{{- if and (hasKey . "value") (regexMatch "(PASSWORD|SECRET|TOKEN|PASSPHRASE|_KEY|_KEYS|_PEM)$" .name) }}
env: {{ .name }} is a secret. Put it into a Secret, and write valueFrom: { secretKeyRef: … } instead of value
{{- end }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}
ingress.host: is empty. Set it to the public name of the callback URL
{{- end }}
{{- end -}}

{{- define "idaas-bridge.configProblems" -}}
{{- $values := .root.Values -}}
{{- $config := .config -}}
{{- include "idaas-bridge.inlineSecrets" $config -}}
{{- $names := include "idaas-bridge.fileNames" .root | trim }}
{{- if and $names (not $values.files) }}
files: is empty, and config names {{ $names | replace "\n" ", " }}. Put them into a Secret, and write files: [{ secret: { name: … } }]
{{- end }}
{{- if $values.adminToken.existingSecret }}
{{- if include "idaas-bridge.ownAdminToken" .root }}
adminToken.existingSecret: is set, and config or env sets server.admin_token as well. Remove one of them
{{- end }}
{{- end }}
{{- if include "idaas-bridge.adminTokenSecret" .root }}
{{- $added := include "idaas-bridge.bridgeToml" .root | fromToml }}
{{- if ne (dig "server" "admin_token" "file" "" $added) (include "idaas-bridge.adminTokenFile" .root) }}
adminToken: cannot be added to config. Begin its section with a line [server], set server.admin_token yourself, or set adminToken.create=false
{{- end }}
{{- end }}
{{- $drain := dig "server" "drain_timeout" "12s" $config }}
{{- if not (and (kindIs "string" $drain) (regexMatch "^([0-9]+ *(ms|s|sec|m|min|h|hr) *)+$" (toString $drain))) }}
config: server.drain_timeout is {{ $drain | toJson }}, and the grace period of the pod follows from it. Write it as "12s" or "1m"
{{- end }}
{{- $memory := dig "server" "max_memory" "512MiB" $config | include "idaas-bridge.bytes" | int64 }}
{{- with dig "limits" "memory" "" $values.resources }}
{{- if lt (include "idaas-bridge.bytes" . | int64) (add $memory (mul 300 1048576)) }}
resources.limits.memory: is {{ . }}; it must be at least {{ div (add $memory (mul 300 1048576)) 1048576 }}Mi, because server.max_memory is {{ div $memory 1048576 }} MiB and the process needs 300 MiB more. Raise it, or lower server.max_memory
{{- end }}
{{- end }}
{{- $journal := dig "journal" "max_size" "1GiB" $config | include "idaas-bridge.bytes" | int64 }}
{{- $needed := add (div (mul $journal 9) 4) 8388608 }}
{{- if lt (include "idaas-bridge.bytes" $values.journal.size | int64) $needed }}
journal.size: is {{ $values.journal.size }}; it must be at least {{ div (add $needed 1048575) 1048576 }}Mi, because the journal's file can become 2.25 times journal.max_size ({{ div $journal 1048576 }} MiB). Raise it, or lower journal.max_size
{{- end }}
{{- $applications := dict }}
{{- range $config.application }}
{{- $_ := set $applications .name (hasKey . "fetch") }}
{{- end }}
{{- range $values.fetch }}
{{- if not (get $applications .application) }}
fetch: config has no [application.fetch] for the application {{ .application | quote }}. Add it (docs/fetch.md)
{{- end }}
{{- end }}
{{- end -}}

{{/* Secrets that are written in the configuration instead of being referenced. Never shows a value. */}}
{{- define "idaas-bridge.inlineSecrets" -}}
{{- $found := list -}}
{{- if kindIs "string" (dig "server" "admin_token" dict .) }}{{ $found = append $found "server.admin_token" }}{{ end -}}
{{- range dig "journal" "keys" list . -}}
{{- if kindIs "string" . }}{{ $found = append $found "journal.keys" }}{{ end -}}
{{- end -}}
{{- range .application -}}
{{- $name := printf "application[%s]" .name -}}
{{- range .decryption_keys -}}
{{- if kindIs "string" . }}{{ $found = append $found (printf "%s.decryption_keys" $name) }}{{ end -}}
{{- end -}}
{{- if kindIs "string" .credential_key }}{{ $found = append $found (printf "%s.credential_key" $name) }}{{ end -}}
{{- if kindIs "string" (dig "client_secret" dict (.fetch | default dict)) }}{{ $found = append $found (printf "%s.fetch.client_secret" $name) }}{{ end -}}
{{- end -}}
{{- $properties := dig "kafka" "properties" dict . -}}
{{- range (include "idaas-bridge.inlineProperties" (dict "path" "" "table" $properties) | splitList "\n" | compact) -}}
{{- $found = append $found (printf "kafka.properties.%q" .) -}}
{{- end -}}
{{- range uniq $found }}
config: {{ . }} has a secret in it. Put it into a Secret, name that in files, and write { file = "…" }
{{- end -}}
{{- end -}}

{{/* Names of librdkafka properties that hold a secret. TOML reads an unquoted sasl.password as a table in a table. */}}
{{- define "idaas-bridge.inlineProperties" -}}
{{- $path := .path -}}
{{- range $key, $value := .table -}}
{{- $name := ternary $key (printf "%s.%s" $path $key) (eq $path "") -}}
{{- if kindIs "map" $value -}}
{{- if not (or (hasKey $value "file") (hasKey $value "env")) -}}
{{- include "idaas-bridge.inlineProperties" (dict "path" $name "table" $value) -}}
{{- end -}}
{{- else if or (regexMatch "(password|secret|passphrase)$" $name) (has $name (list "ssl.key.pem" "sasl.oauthbearer.config")) -}}
{{- printf "%s\n" $name -}}
{{- end -}}
{{- end -}}
{{- end -}}

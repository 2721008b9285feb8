{{/* What the chart derives from the bridge's configuration. */}}

{{/* The configuration as JSON, for fromJson. */}}
{{- define "idaas-bridge.config" -}}
{{- .Values.config | default "" | fromToml | toJson -}}
{{- end -}}

{{/* Names of the files that the configuration names, one a line. */}}
{{- define "idaas-bridge.fileNames" -}}
{{- $config := include "idaas-bridge.config" . -}}
{{- range regexFindAll "\"(file|certificate|key|[a-z.]*location|jwks_ca)\":\"[^\"]+\"" $config -1 | uniq -}}
{{- regexFind "[^\"]+\"$" . | trimSuffix "\"" }}
{{ end -}}
{{- end -}}

{{/* A duration of the configuration ("8500ms", "1m 30s") in whole seconds, rounded up. Unknown units are found in
     _checks.tpl. */}}
{{- define "idaas-bridge.seconds" -}}
{{- $milliseconds := dict "ms" 1 "s" 1000 "sec" 1000 "m" 60000 "min" 60000 "h" 3600000 "hr" 3600000 -}}
{{- $total := 0 -}}
{{- range regexFindAll "[0-9]+ *[a-z]+" . -1 -}}
{{- $factor := get $milliseconds (regexFind "[a-z]+" .) | default 0 -}}
{{- $total = add $total (mul (regexFind "[0-9]+" . | int64) $factor) -}}
{{- end -}}
{{- divf $total 1000 | ceil | int64 -}}
{{- end -}}

{{/* A size in bytes, of the configuration ("8MiB", 1048576) or of Kubernetes ("1Gi", "1.5G"). 0 if it is none. */}}
{{- define "idaas-bridge.bytes" -}}
{{- $factors := dict "b" 1 "k" 1e3 "kb" 1e3 "m" 1e6 "mb" 1e6 "g" 1e9 "gb" 1e9 "t" 1e12 "tb" 1e12 -}}
{{- $factors = merge $factors (dict "ki" 1024 "kib" 1024 "mi" 1048576 "mib" 1048576) -}}
{{- $factors = merge $factors (dict "gi" 1073741824 "gib" 1073741824 "ti" 1099511627776 "tib" 1099511627776) -}}
{{- $text := ternary (printf "%.0f" (float64 .)) (toString .) (not (kindIs "string" .)) -}}
{{- $unit := regexFind "[a-zA-Z]*$" $text | lower | default "b" -}}
{{- mulf (regexFind "^[0-9]+(\\.[0-9]+)?" $text | default "0" | float64) (get $factors $unit | default 0 | float64) | int64 -}}
{{- end -}}

{{- define "idaas-bridge.drainSeconds" -}}
{{- $config := include "idaas-bridge.config" . | fromJson -}}
{{- dig "server" "drain_timeout" "12s" $config | include "idaas-bridge.seconds" -}}
{{- end -}}

{{/* Above the preStop pause and the drain together: the drain may take a second longer for its last writes. */}}
{{- define "idaas-bridge.gracePeriodSeconds" -}}
{{- add .Values.preStopSeconds (include "idaas-bridge.drainSeconds" . | int64) 5 -}}
{{- end -}}

{{/* "true" if the callback listener has TLS of its own. */}}
{{- define "idaas-bridge.tls" -}}
{{- $config := include "idaas-bridge.config" . | fromJson -}}
{{- if dig "server" "tls" "" $config -}}true{{- end -}}
{{- end -}}

{{- define "idaas-bridge.servicePort" -}}
{{- .Values.service.port | default (ternary 443 80 (eq (include "idaas-bridge.tls" .) "true")) | int -}}
{{- end -}}

{{/* Checksum of what a running bridge does not take over by itself. The bridge watches bridge.toml and the files that it
     names, and reloads the keys below; the others need a restart, which a changed annotation causes. A test compares this
     list with the bridge. */}}
{{- define "idaas-bridge.restartChecksum" -}}
{{- $config := include "idaas-bridge.config" . | fromJson -}}
{{- if dig "server" "watch_files" true $config -}}
{{- range $key := list "application" "kafka.properties" "journal.keys" "server.admin_token" "log.level" "log.events" -}}
{{- $path := splitList "." $key -}}
{{- if eq (len $path) 1 -}}
{{- $_ := unset $config (first $path) -}}
{{- else -}}
{{- $_ := unset (get $config (first $path) | default dict) (last $path) -}}
{{- end -}}
{{- end -}}
{{- if dig "server" "tls" "" $config -}}
{{- $_ := set $config.server "tls" true -}}
{{- end -}}
{{- end -}}
{{- $config | toJson | sha256sum -}}
{{- end -}}

{{/*
The configuration file. What the chart mounts and opens, it also names here, so that paths and ports stand in one place; everything else comes
from `config`, which the schema keeps from having the same keys.
*/}}
{{- define "genquota.settings" -}}
{{- $values := .Values -}}
{{- $settings := deepCopy $values.config -}}
{{- if eq $values.mode "shared" -}}
{{- $_ := set $settings "listen" (list (printf "%s:%d" $values.address (int $values.ports.grpc))) -}}
{{- else -}}
{{- $_ := set $settings "listen" (list "unix:/run/genquota/genquota.sock") -}}
{{- end -}}
{{- $httpHost := ternary $values.address "127.0.0.1" (eq (include "genquota.reachable" .) "true") -}}
{{- $_ := set $settings "http" (printf "%s:%d" $httpHost (int $values.ports.http)) -}}
{{- $_ := set $settings "health" (printf "%s:%d" $values.address (int $values.ports.health)) -}}
{{- $_ := set $settings "drain_deadline" (printf "%ds" (int $values.drainSeconds)) -}}
{{- if include "genquota.catalogConfigMap" . -}}
{{- $_ := set $settings "catalog" "/etc/genquota/catalog/catalog.yaml" -}}
{{- end -}}
{{- if $values.insecure -}}
{{- $_ := set $settings "insecure" true -}}
{{- end -}}
{{- if include "genquota.accessSecret" . -}}
{{- $_ := set $settings "access" (printf "/etc/genquota/access/%s" (ternary "access.yaml" $values.access.key (not (empty $values.access.inline)))) -}}
{{- end -}}
{{- if $values.metrics.public -}}
{{- $_ := set $settings "metrics_public" true -}}
{{- end -}}
{{- if include "genquota.tlsSecret" . -}}
{{- $tls := dict "cert" "/etc/genquota/tls/tls.crt" "key" "/etc/genquota/tls/tls.key" -}}
{{- if $values.tls.clientCaSecret.name -}}
{{- $_ := set $tls "client_ca" "/etc/genquota/client-ca/ca.crt" -}}
{{- end -}}
{{- $_ := set $settings "tls" $tls -}}
{{- end -}}
{{- if eq $values.store.type "embedded" -}}
{{- $_ := set $settings "store" "embedded:/var/lib/genquota/store" -}}
{{- else -}}
{{- $_ := set $settings "journal" "/var/lib/genquota/journal" -}}
{{- if $values.valkey.enabled -}}
{{- $_ := set $settings "store" (printf "redis://%s-valkey:6379" (include "genquota.fullname" .)) -}}
{{- else if $values.store.url -}}
{{- $_ := set $settings "store" $values.store.url -}}
{{- end -}}
{{- $redis := merge (include "genquota.redisSettings" . | fromYaml) (default dict $settings.redis) -}}
{{- if $redis -}}
{{- $_ := set $settings "redis" $redis -}}
{{- end -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{- define "genquota.redisSettings" -}}
{{- $store := .Values.store -}}
{{- $redis := dict -}}
{{- if $store.username -}}{{- $_ := set $redis "username" $store.username -}}{{- end -}}
{{- if $store.passwordSecret.name -}}{{- $_ := set $redis "password_file" "/etc/genquota/redis/password" -}}{{- end -}}
{{- if $store.sentinel.username -}}{{- $_ := set $redis "sentinel_username" $store.sentinel.username -}}{{- end -}}
{{- if $store.sentinel.passwordSecret.name -}}{{- $_ := set $redis "sentinel_password_file" "/etc/genquota/redis/sentinel-password" -}}{{- end -}}
{{- if $store.tls.caSecret.name -}}{{- $_ := set $redis "tls_ca" "/etc/genquota/redis/ca.crt" -}}{{- end -}}
{{- if $store.tls.certSecret -}}
{{- $_ := set $redis "tls_cert" "/etc/genquota/redis/tls.crt" -}}
{{- $_ := set $redis "tls_key" "/etc/genquota/redis/tls.key" -}}
{{- end -}}
{{- toYaml $redis -}}
{{- end -}}

{{/* `true`: other pods reach the ports of TCP. */}}
{{- define "genquota.reachable" -}}
{{- or (eq .Values.mode "shared") .Values.metrics.enabled -}}
{{- end -}}

{{/*
Annotations with which pods are replaced when what they read at their start has changed. Catalog, access file, certificates and
passwords are not among it: they are taken up while the pod serves.
*/}}
{{- define "genquota.checksums" -}}
checksum/config: {{ include "genquota.settings" . | sha256sum }}
{{- if and .Values.catalog.restartOnChange .Values.catalog.inline }}
checksum/catalog: {{ .Values.catalog.inline | sha256sum }}
{{- end }}
{{- end -}}

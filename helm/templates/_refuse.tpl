{{/*
Combinations that cannot work, or would be a trap. All of them are told at once; what is wrong with a single value, the schema tells.
*/}}
{{- define "genquota.refuse" -}}
{{- $problems := concat (include "genquota.refuse.ports" . | fromYamlArray) (include "genquota.refuse.store" . | fromYamlArray) (include "genquota.refuse.mode" . | fromYamlArray) (include "genquota.refuse.extras" . | fromYamlArray) -}}
{{- if $problems -}}
{{- fail (printf "\n\nthese values do not fit together:\n- %s\n" (join "\n- " $problems)) -}}
{{- end -}}
{{- end -}}

{{/* Who can reach it, and what protects it. */}}
{{- define "genquota.refuse.ports" -}}
{{- $tls := include "genquota.tlsSecret" . -}}
{{- $access := include "genquota.accessSecret" . -}}
{{- $reachable := eq (include "genquota.reachable" .) "true" -}}
{{- with .Values }}
{{- if and $reachable (not .insecure) (not (and $tls $access)) }}
- "other pods can reach it (`mode: shared` or `metrics.enabled`) and nothing protects it: set `tls` and `access`; or `insecure: true` where something else does"
{{- end }}
{{- if and .tls.existingSecret .tls.certManager.enabled }}
- "`tls.existingSecret` and `tls.certManager.enabled` exclude each other: the certificate comes from one of them"
{{- end }}
{{- if and .tls.certManager.enabled (not .tls.certManager.issuerRef.name) }}
- "`tls.certManager.issuerRef.name` is missing: cert-manager needs an issuer"
{{- end }}
{{- if and $tls (not $reachable) }}
- "`tls` protects nothing: mode `sidecar` listens on a unix socket and on loopback alone; leave it out, or set `metrics.enabled`"
{{- end }}
{{- if and .tls.clientCaSecret.name (not $tls) }}
- "`tls.clientCaSecret` needs a certificate of the server: set `tls.existingSecret` or `tls.certManager.enabled`"
{{- end }}
{{- if and .access.existingSecret .access.inline }}
- "`access.existingSecret` and `access.inline` exclude each other"
{{- end }}
{{- if ne (len (uniq (list (int .ports.grpc) (int .ports.http) (int .ports.health)))) 3 }}
- "`ports` must differ from each other"
{{- end }}
{{- end }}
{{- end -}}

{{- define "genquota.refuse.store" -}}
{{- with .Values }}
{{- $addresses := compact (list .store.url .store.urlSecret.name (ternary "valkey" "" .valkey.enabled)) }}
{{- if eq .store.type "redis" }}
{{- if ne (len $addresses) 1 }}
- "{{ len $addresses }} addresses of the store are given: set one of `store.url`, `store.urlSecret.name` and, for a trial, `valkey.enabled`"
{{- end }}
{{- if and .store.tls.caSecret.name (hasPrefix "redis" .store.url) (not (hasPrefix "rediss" .store.url)) }}
- "`store.tls` is set and `store.url` is without TLS: write `rediss`"
{{- end }}
{{- else }}
{{- if $addresses }}
- "`store.type: embedded` has no address: leave `store.url`, `store.urlSecret` and `valkey` out, or set `store.type: redis`"
{{- end }}
{{- if eq .mode "sidecar" }}
- "`store.type: embedded` gives each sidecar a ledger of its own, so that limits would hold for each pod: set `store.type: redis`, or `mode: shared` with one pod"
{{- else }}
{{- if or (gt (int .shared.replicas) 1) .shared.autoscaling.enabled }}
- "`store.type: embedded` is a ledger of one process: set `shared.replicas: 1` and no autoscaling, or `store.type: redis`"
{{- end }}
{{- if not .persistence.enabled }}
- "`store.type: embedded` would lose the ledger with its pod: set `persistence.enabled: true`"
{{- end }}
{{- end }}
{{- end }}
{{- if and .catalog.inline .catalog.existingConfigMap }}
- "`catalog.inline` and `catalog.existingConfigMap` exclude each other"
{{- end }}
{{- end }}
{{- end -}}

{{/* What only one of the modes has. */}}
{{- define "genquota.refuse.mode" -}}
{{- with .Values }}
{{- if eq .mode "sidecar" }}
{{- if .shared.autoscaling.enabled }}
- "`shared.autoscaling` is of mode `shared`: sidecars are as many as their gateways"
{{- end }}
{{- if .shared.networkPolicy.enabled }}
- "`shared.networkPolicy` is of mode `shared`: it would cut the gateway off, whose pod this is"
{{- end }}
{{- if .shared.service.headless }}
- "`shared.service` is of mode `shared`: nobody but its own pod calls a sidecar"
{{- end }}
{{- if and .gateway.enabled .persistence.enabled }}
- "`persistence` needs a StatefulSet: the example gateway is a Deployment; include the templates in a StatefulSet of your own"
{{- end }}
{{- if and .gateway.enabled (not .gateway.image.repository) }}
- "`gateway.image.repository` is missing: the gateway that the sidecar stands beside"
{{- end }}
{{- if and .metrics.monitor.enabled (not .metrics.enabled) }}
- "`metrics.monitor.enabled` finds a closed port: set `metrics.enabled`"
{{- end }}
{{- else if .gateway.enabled }}
- "`gateway` is of mode `sidecar`: with mode `shared` gateways are deployed by themselves and call the Service"
{{- end }}
{{- end }}
{{- end -}}

{{- define "genquota.refuse.extras" -}}
{{- $access := include "genquota.accessSecret" . -}}
{{- with .Values }}
{{- if .shared.autoscaling.enabled }}
{{- if gt (int .shared.autoscaling.minReplicas) (int .shared.autoscaling.maxReplicas) }}
- "`shared.autoscaling.minReplicas` is above `maxReplicas`"
{{- end }}
{{- if and .persistence.enabled (ne .store.type "embedded") }}
- "`shared.autoscaling` and `persistence` exclude each other: a pod that is taken away leaves a claim whose journal nobody carries out"
{{- end }}
{{- if not (dig "requests" "cpu" "" .resources) }}
- "`shared.autoscaling` aims at a part of the requested CPU: set `resources.requests.cpu`"
{{- end }}
{{- end }}
{{- if and .metrics.monitor.enabled $access (not .metrics.public) (not .metrics.monitor.tokenSecret.name) }}
- "`metrics.monitor.tokenSecret.name` is missing: with `access`, Prometheus needs a token of scope `observer`; or set `metrics.public`"
{{- end }}
{{- if and .test.enabled (eq .mode "shared") $access (not .test.tokenSecret.name) (not .test.certSecret) }}
- "`test.tokenSecret.name` is missing: with `access`, the test needs a token of scope `gateway`; or set `test.enabled: false`"
{{- end }}
{{- if and .test.enabled (eq .mode "shared") .tls.clientCaSecret.name (not .test.certSecret) }}
- "`test.certSecret` is missing: with `tls.clientCaSecret`, the test must show a certificate; or set `test.enabled: false`"
{{- end }}
{{- end }}
{{- end -}}

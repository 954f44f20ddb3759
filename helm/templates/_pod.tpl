{{/* What both modes have in common: the container that serves, its probes, and the volumes it reads and writes. */}}

{{/* Restricted Pod Security, said for each container, so that it holds in anybody's pod. */}}
{{- define "genquota.securityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* The same for a pod. By the group every container of the pod may use the socket, and the process may read its Secrets. */}}
{{- define "genquota.podSecurityContext" -}}
runAsNonRoot: true
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "genquota.container" -}}
name: genquota
image: {{ include "genquota.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  - serve
  - --config
  - /etc/genquota/config/genquota.yaml
  {{- with .Values.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with include "genquota.env" . }}
env:
  {{- . | nindent 2 }}
{{- end }}
ports:
  {{- if eq .Values.mode "shared" }}
  - {name: grpc, containerPort: {{ .Values.ports.grpc }}}
  {{- end }}
  {{- if eq (include "genquota.reachable" .) "true" }}
  - {name: genquota-http, containerPort: {{ .Values.ports.http }}}
  {{- end }}
  - {name: genquota-health, containerPort: {{ .Values.ports.health }}}
# Alive says `liveness`, whatever the store does: a restart mends no store. Ready says the service itself.
startupProbe:
  grpc: {port: {{ .Values.ports.health }}, service: liveness}
  periodSeconds: 1
  failureThreshold: 120
readinessProbe:
  grpc: {port: {{ .Values.ports.health }}}
  periodSeconds: 5
  failureThreshold: 2
livenessProbe:
  grpc: {port: {{ .Values.ports.health }}, service: liveness}
  periodSeconds: 10
  failureThreshold: 3
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "genquota.securityContext" . | nindent 2 }}
volumeMounts:
  {{- include "genquota.mounts" . | nindent 2 }}
{{- end -}}

{{- define "genquota.env" -}}
{{- with .Values.store.urlSecret }}
{{- if .name }}
- name: GENQUOTA_STORE
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}
{{- end }}
{{- with .Values.otlp }}
{{- if .endpoint }}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: OTEL_EXPORTER_OTLP_PROTOCOL, value: {{ .protocol }}}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.pod.name=$(POD_NAME),k8s.namespace.name=$(POD_NAMESPACE){{ range $name, $value := .resourceAttributes }},{{ $name }}={{ $value }}{{ end }}
{{- if .headersSecret.name }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: {secretKeyRef: {name: {{ .headersSecret.name }}, key: {{ .headersSecret.key }}}}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Directories as a whole, never single files (`subPath`): a changed file of a ConfigMap or Secret shows in the former alone. */}}
{{- define "genquota.mounts" -}}
- {name: genquota-config, mountPath: /etc/genquota/config, readOnly: true}
- {name: genquota-data, mountPath: /var/lib/genquota}
{{- if eq .Values.mode "sidecar" }}
- {name: genquota-socket, mountPath: /run/genquota}
{{- end }}
{{- if include "genquota.catalogConfigMap" . }}
- {name: genquota-catalog, mountPath: /etc/genquota/catalog, readOnly: true}
{{- end }}
{{- if include "genquota.accessSecret" . }}
- {name: genquota-access, mountPath: /etc/genquota/access, readOnly: true}
{{- end }}
{{- if include "genquota.tlsSecret" . }}
- {name: genquota-tls, mountPath: /etc/genquota/tls, readOnly: true}
{{- end }}
{{- if .Values.tls.clientCaSecret.name }}
- {name: genquota-client-ca, mountPath: /etc/genquota/client-ca, readOnly: true}
{{- end }}
{{- if include "genquota.redisSources" . }}
- {name: genquota-redis, mountPath: /etc/genquota/redis, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "genquota.volumes" -}}
- {name: genquota-config, configMap: {name: {{ include "genquota.fullname" . }}-config}}
{{- if not .Values.persistence.enabled }}
- {name: genquota-data, emptyDir: {}}
{{- end }}
{{- if eq .Values.mode "sidecar" }}
- {name: genquota-socket, emptyDir: {}}
{{- end }}
{{- with include "genquota.catalogConfigMap" . }}
- name: genquota-catalog
  configMap:
    name: {{ . }}
    items: [{key: {{ ternary "catalog.yaml" $.Values.catalog.key (not (empty $.Values.catalog.inline)) }}, path: catalog.yaml}]
{{- end }}
{{- with include "genquota.accessSecret" . }}
- {name: genquota-access, secret: {secretName: {{ . }}, defaultMode: 0440}}
{{- end }}
{{- with include "genquota.tlsSecret" . }}
- {name: genquota-tls, secret: {secretName: {{ . }}, defaultMode: 0440}}
{{- end }}
{{- with .Values.tls.clientCaSecret }}
{{- if .name }}
- name: genquota-client-ca
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items: [{key: {{ .key }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- with include "genquota.redisSources" . }}
- name: genquota-redis
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Everything secret about the store, in one directory. */}}
{{- define "genquota.redisSources" -}}
{{- with .Values.store }}
{{- if .passwordSecret.name }}
- secret: {name: {{ .passwordSecret.name }}, items: [{key: {{ .passwordSecret.key }}, path: password}]}
{{- end }}
{{- if .sentinel.passwordSecret.name }}
- secret: {name: {{ .sentinel.passwordSecret.name }}, items: [{key: {{ .sentinel.passwordSecret.key }}, path: sentinel-password}]}
{{- end }}
{{- if .tls.caSecret.name }}
- secret: {name: {{ .tls.caSecret.name }}, items: [{key: {{ .tls.caSecret.key }}, path: ca.crt}]}
{{- end }}
{{- if .tls.certSecret }}
- secret: {name: {{ .tls.certSecret }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]}
{{- end }}
{{- end }}
{{- end -}}

{{/* The volume that outlives a pod, as a StatefulSet claims it. */}}
{{- define "genquota.volumeClaim" -}}
metadata:
  name: genquota-data
spec:
  accessModes:
    {{- toYaml .Values.persistence.accessModes | nindent 4 }}
  {{- with .Values.persistence.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources: {requests: {storage: {{ .Values.persistence.size }}}}
{{- end -}}

{{/* Where pods may go, for those the chart makes itself. */}}
{{- define "genquota.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

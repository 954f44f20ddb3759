{{/* Names and labels of everything. */}}

{{- define "genquota.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 50 signs leave room for what is appended: `-headless`, `-dashboard`, and the number of a pod. */}}
{{- define "genquota.fullname" -}}
{{- $name := include "genquota.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The selector of a component: (dict "root" . "component" "server"). */}}
{{- define "genquota.selector" -}}
app.kubernetes.io/name: {{ include "genquota.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* The labels of an object of a component. */}}
{{- define "genquota.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "genquota.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "genquota.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "genquota.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "genquota.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The Secret with the server's certificate; empty: no TLS. */}}
{{- define "genquota.tlsSecret" -}}
{{- if .Values.tls.certManager.enabled -}}
{{- include "genquota.fullname" . }}-tls
{{- else -}}
{{- .Values.tls.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* The Secret with the access file; empty: everybody may call. */}}
{{- define "genquota.accessSecret" -}}
{{- if .Values.access.inline -}}
{{- include "genquota.fullname" . }}-access
{{- else -}}
{{- .Values.access.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* The ConfigMap with the catalog; empty: the bundled one. */}}
{{- define "genquota.catalogConfigMap" -}}
{{- if .Values.catalog.inline -}}
{{- include "genquota.fullname" . }}-catalog
{{- else -}}
{{- .Values.catalog.existingConfigMap -}}
{{- end -}}
{{- end -}}

{{/* The Service's name as certificates and clients have it. */}}
{{- define "genquota.host" -}}
{{- printf "%s.%s.svc" (include "genquota.fullname" .) .Release.Namespace -}}
{{- end -}}

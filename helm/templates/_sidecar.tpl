{{/*
What a team's own chart includes, with this chart's scope: `(include "genquota.sidecar.container" .Subcharts.genquota)`. These names
and what they give are kept between minor versions.
*/}}

{{/* One item of `initContainers`: a native sidecar, up before the gateway and down after it. */}}
{{- define "genquota.sidecar.container" -}}
- restartPolicy: Always
  {{- include "genquota.container" . | nindent 2 }}
{{- end -}}

{{/* Items of `volumes`. */}}
{{- define "genquota.sidecar.volumes" -}}
{{- include "genquota.volumes" . -}}
{{- end -}}

{{/* One item of `volumeClaimTemplates`, with `persistence.enabled`. */}}
{{- define "genquota.sidecar.volumeClaim" -}}
- {{- include "genquota.volumeClaim" . | nindent 2 }}
{{- end -}}

{{/* Annotations of the pod. */}}
{{- define "genquota.sidecar.annotations" -}}
{{- include "genquota.checksums" . -}}
{{- end -}}

{{/* Labels of the pod: by them monitors and policies find it. */}}
{{- define "genquota.sidecar.labels" -}}
genquota/sidecar: {{ include "genquota.fullname" . }}
{{- end -}}

{{/* Items of `env` of the gateway's container. */}}
{{- define "genquota.sidecar.clientEnv" -}}
- {name: GENQUOTA_SERVER, value: "unix:/run/genquota/genquota.sock"}
{{- end -}}

{{/* Items of `volumeMounts` of the gateway's container. To connect to a socket is to write to it. */}}
{{- define "genquota.sidecar.clientMounts" -}}
- {name: genquota-socket, mountPath: /run/genquota}
{{- end -}}

{{/* Seconds of the pod's grace period that the sidecar needs behind the gateway's own. */}}
{{- define "genquota.sidecar.terminationSeconds" -}}
{{- add (int .Values.drainSeconds) 5 -}}
{{- end -}}

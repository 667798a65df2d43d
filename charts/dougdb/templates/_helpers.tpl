{{/* The name of everything in the release: the release's, with the chart's unless that is in it already. */}}
{{- define "dougdb.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "dougdb.serviceAccount" -}}
{{- default (include "dougdb.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "dougdb.image" -}}
{{- printf "%s:%s" .Values.image.repository (default (.Chart.AppVersion | replace "+" "_") .Values.image.tag) -}}
{{- end -}}

{{/* The name of all that `helm test` makes, and deletes before and after: with a digest in it, so that
nobody has an object of that name by accident. It was the release's name and "-test" once, and took
a user's database of that name away. */}}
{{- define "dougdb.testName" -}}
{{- $digest := printf "helm test %s/%s" .Release.Namespace .Release.Name | sha256sum | trunc 10 -}}
{{- printf "%s-test-%s" (.Release.Name | trunc 20 | trimSuffix "-") $digest -}}
{{- end -}}

{{/* Never changed: a Deployment's selector is immutable. */}}
{{- define "dougdb.selector" -}}
app.kubernetes.io/name: dougdb
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "dougdb.labels" -}}
{{ include "dougdb.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- /* A label's value has no +, which a version may have. */}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* Nothing that `doug` does needs more than this. */}}
{{- define "dougdb.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* OpenShift gives each namespace a range of users, and refuses pods that ask for others. */}}
{{- define "dougdb.podSecurityContext" -}}
{{- $detected := ternary "OpenShift" "Kubernetes" (.Capabilities.APIVersions.Has "security.openshift.io/v1") -}}
runAsNonRoot: true
{{- if eq (default $detected .Values.platform) "Kubernetes" }}
runAsUser: 65532
runAsGroup: 65532
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* What the operator may do in a namespace with databases. */}}
{{- define "dougdb.rules" -}}
- apiGroups: [dougdb.io]
  resources: [dougclusters]
  verbs: [get, list, watch, patch, update]
- apiGroups: [dougdb.io]
  resources: [dougclusters/status]
  verbs: [get, patch, update]
- apiGroups: [dougdb.io]
  resources: [dougclusters/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]  # this and what follows it is deleted with a cluster that leaves
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]  # the token of Raft and Admin streams, made once
  resources: [secrets]
  verbs: [get, create]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
- apiGroups: [rbac.authorization.k8s.io]  # each facade may read its own DougCluster; no role can grant more than this one has
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete]
- apiGroups: [""]  # a pod that runs goes only if its budget allows
  resources: [pods/eviction]
  verbs: [create]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, patch, delete]
- apiGroups: ["", events.k8s.io]
  resources: [events]  # listed to learn why no pods are made
  verbs: [list, create, patch]
{{- end -}}

{{/* Name and labels of a monitor: of the chart, and of the values that enable it. */}}
{{- define "dougdb.monitorMetadata" -}}
{{- $chart := first . -}}
name: {{ include "dougdb.fullname" $chart }}
namespace: {{ $chart.Release.Namespace }}
labels:
  {{- include "dougdb.labels" $chart | nindent 2 }}
  {{- with (last .).labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Where there is something to monitor, and the labels by which alerts and dashboard tell it
apart: files/alerts.yaml and files/dashboard.json may use no others. */}}
{{- define "dougdb.monitored" -}}
namespaceSelector:
  {{- if .Values.watchNamespaces }}
  matchNames: {{- toYaml (append .Values.watchNamespaces .Release.Namespace | uniq) | nindent 2 }}
  {{- else }}
  any: true
  {{- end }}
podTargetLabels:
- app.kubernetes.io/name
- app.kubernetes.io/instance
- app.kubernetes.io/component
- dougdb.io/cluster
{{- end -}}

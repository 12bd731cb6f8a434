{{- define "workflow.image" -}}
{{ include "workflow.reference" (dict "root" . "image" .Values.image) }}
{{- end }}

{{/* By digest where one is given: the tag is then for people. */}}
{{- define "workflow.reference" -}}
{{ .image.repository }}{{ if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* ClusterRole that the controller binds for itself in the namespaces of apps. */}}
{{- define "workflow.appsRole" -}}
{{ .Release.Namespace }}:deis-apps
{{- end }}

{{/* The networks of .list that are of IPv6, or of IPv4, as JSON. */}}
{{- define "workflow.networksOf" -}}
{{- $found := list }}
{{- range .list }}{{ if eq (contains ":" .) $.six }}{{ $found = append $found . }}{{ end }}{{ end }}
{{- toJson $found }}
{{- end }}

{{/* What apps and builds do not reach besides metadata: API servers, as they are at this moment, and what the operator lists. */}}
{{- define "workflow.closed" -}}
{{- $closed := list }}
{{- range .Values.networkPolicies.closedAddresses }}{{ $closed = append $closed . }}{{ end }}
{{- if ne (toString .Values.networkPolicies.closeAPIServer) "false" }}
{{- $slice := lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "kubernetes" }}
{{- range $endpoint := $slice.endpoints }}
{{- range $address := $endpoint.addresses }}
{{- range $port := $slice.ports }}
{{- $closed = append $closed (dict "cidr" (printf "%s/%s" $address (ternary "128" "32" (contains ":" $address))) "port" (int $port.port)) }}
{{- end }}{{ end }}{{ end }}{{ end }}
{{- toJson $closed }}
{{- end }}

{{/* Rules of a NetworkPolicy: all addresses but metadata, and those of .closed but for the ports that are not. */}}
{{- define "workflow.outside" -}}
{{- $networks := .root.Values.networkPolicies.metadataAddresses }}
{{- range .closed }}{{ $networks = append $networks .cidr }}{{ end }}
{{- $six := include "workflow.networksOf" (dict "list" $networks "six" true) }}
- to:
    - ipBlock: { cidr: 0.0.0.0/0, except: {{ include "workflow.networksOf" (dict "list" $networks "six" false) }} }
    - ipBlock: { cidr: "::/0", except: {{ $six }} }
{{- range .closed }}
{{- if .port }}
- to: [{ ipBlock: { cidr: {{ .cidr | quote }} } }]
  ports:
    {{- if gt (int .port) 1 }}
    - { protocol: TCP, port: 1, endPort: {{ sub (int .port) 1 }} }
    {{- end }}
    {{- if lt (int .port) 65535 }}
    - { protocol: TCP, port: {{ add (int .port) 1 }}, endPort: 65535 }
    {{- end }}
    - { protocol: UDP, port: 1, endPort: 65535 }
{{- end }}
{{- end }}
{{- end }}

{{- define "workflow.stackImages" -}}
{{- $tag := .Values.stackImage.tag | default .Chart.AppVersion -}}
{{ .Values.stackImage.repository }}:{stack}{{ if ne $tag "latest" }}-{{ $tag }}{{ end }}
{{- end }}

{{- define "workflow.builderImage" -}}
{{ include "workflow.reference" (dict "root" . "image" .Values.builderImage) }}
{{- end }}

{{- define "workflow.labels" -}}
app.kubernetes.io/name: workflow
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Whether the database is SQLite on a volume of the controller. */}}
{{- define "workflow.isSqlite" -}}
{{- if not (or .Values.database.url .Values.database.existingSecret) }}yes{{ end }}
{{- end }}

{{/* Name of a Secret: "sealingKey" is the existing one of that value, else deis-sealing-key. */}}
{{- define "workflow.secret" -}}
{{- $given := (index .root.Values.secrets .name).existingSecret -}}
{{- $given | default (printf "deis-%s" (kebabcase .name)) -}}
{{- end }}

{{/* The value that a Secret has in the cluster, else the given new one. */}}
{{- define "workflow.kept" -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace .secret -}}
{{- if and $found $found.data (hasKey $found.data .key) -}}
{{- index $found.data .key -}}
{{- else -}}
{{- .new | b64enc -}}
{{- end -}}
{{- end }}

{{- define "workflow.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "workflow.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* What every pod has; .settings are the role's values. With .moves, the pod leaves a lost node as soon as apps do: it keeps nothing there. */}}
{{- define "workflow.pod" -}}
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- if .root.Values.priorityClass.name }}
priorityClassName: {{ .root.Values.priorityClass.name }}
{{- end }}
{{- with .settings.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- $tolerations := .settings.tolerations }}
{{- if .moves }}
{{- range list "node.kubernetes.io/not-ready" "node.kubernetes.io/unreachable" }}
{{- $tolerations = append $tolerations (dict "key" . "operator" "Exists" "effect" "NoExecute" "tolerationSeconds" (int $.root.Values.apps.nodeFailureSeconds)) }}
{{- end }}
{{- end }}
{{- with $tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .settings.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "workflow.container" -}}
image: {{ include "workflow.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext: {{- include "workflow.containerSecurity" .root | nindent 2 }}
resources: {{ toJson .settings.resources }}
{{- end }}

{{- define "workflow.probes" -}}
startupProbe:
  httpGet: { path: /healthz, port: health }
  periodSeconds: 1
  failureThreshold: 120
livenessProbe:
  httpGet: { path: /healthz, port: health }
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet: { path: /readyz, port: health }
  periodSeconds: 2
  timeoutSeconds: 5
{{- end }}

{{- define "workflow.namespaceEnv" -}}
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- { name: WORKFLOW_NAMESPACE_PREFIX, value: {{ .Values.apps.namespacePrefix | quote }} }
{{- end }}

{{- define "workflow.linesEnv" -}}
- { name: WORKFLOW_LOGGER_URL, value: "http://deis-logger.{{ .Release.Namespace }}.svc" }
- { name: WORKFLOW_LINES_KEY_FILE, value: /var/run/secrets/deis/lines-key/key }
{{- end }}

{{/* Settings that controller and builder share: cluster, builds, registry. */}}
{{- define "workflow.clusterEnv" -}}
- { name: WORKFLOW_DOMAIN, value: {{ required "set `domain`, such as apps.example.com" .Values.domain | quote }} }
{{ include "workflow.namespaceEnv" . }}
- { name: WORKFLOW_BUILDS_NAMESPACE, value: {{ .Values.builds.namespace | quote }} }
- { name: WORKFLOW_IMAGE, value: {{ include "workflow.image" . | quote }} }
- { name: WORKFLOW_STACK_IMAGES, value: {{ include "workflow.stackImages" . | quote }} }
{{- with .Values.stacks }}
- { name: WORKFLOW_STACKS, value: {{ toJson . | quote }} }
{{- end }}
- { name: WORKFLOW_BUILDER_IMAGE, value: {{ include "workflow.builderImage" . | quote }} }
- { name: IMAGE_PULL_POLICY, value: {{ .Values.apps.imagePullPolicy | quote }} }
- { name: WORKFLOW_PRE_STOP_SLEEP, value: {{ .Values.apps.preStopSleepSeconds | quote }} }
- { name: WORKFLOW_NODE_FAILURE, value: {{ .Values.apps.nodeFailureSeconds | quote }} }
- { name: WORKFLOW_NETWORK_POLICIES, value: {{ .Values.networkPolicies.enabled | quote }} }
- { name: WORKFLOW_METADATA_ADDRESSES, value: {{ join "," .Values.networkPolicies.metadataAddresses | quote }} }
- { name: WORKFLOW_CLOSED_ADDRESSES, value: {{ include "workflow.closed" . | quote }} }
{{- with .Values.apps.defaultQuota }}
- { name: KUBERNETES_NAMESPACE_DEFAULT_QUOTA_SPEC, value: {{ toJson . | quote }} }
{{- end }}
{{- with .Values.apps.priorityClassName }}
- { name: WORKFLOW_PRIORITY_CLASS, value: {{ . | quote }} }
{{- end }}
{{- if .Values.builds.caBundle }}
- { name: WORKFLOW_BUILD_CA_CONFIG_MAP, value: deis-build-ca }
{{- end }}
- { name: WORKFLOW_BUILD_MEMORY, value: {{ .Values.builds.memoryMiB | quote }} }
- { name: WORKFLOW_BUILD_DISK, value: {{ .Values.builds.diskMiB | quote }} }
- { name: WORKFLOW_BUILD_TIMEOUT, value: {{ .Values.builds.timeoutSeconds | quote }} }
- { name: WORKFLOW_SLUG_SIZE_MAX, value: {{ .Values.builds.slugMiBMax | quote }} }
- { name: WORKFLOW_PUSH_SIZE_MAX, value: {{ .Values.builds.pushMiBMax | quote }} }
{{- $pairs := list }}
{{- range $name, $value := .Values.builds.env }}{{ $pairs = append $pairs (printf "%s=%s" $name $value) }}{{ end }}
{{- with $pairs }}
- { name: WORKFLOW_BUILD_ENV, value: {{ join " " . | quote }} }
{{- end }}
{{ include "workflow.registryEnv" . }}
{{- end }}

{{- define "workflow.ldapEnv" -}}
{{- with .Values.ldap }}
- { name: LDAP_ENDPOINT, value: {{ .endpoint | quote }} }
- { name: LDAP_START_TLS, value: {{ .startTLS | quote }} }
{{- if .caBundle }}
- { name: LDAP_CA_BUNDLE, value: /etc/workflow/ldap-ca/ca-certificates.crt }
{{- end }}
{{- with .bindDN }}
- { name: LDAP_BIND_DN, value: {{ . | quote }} }
- { name: LDAP_BIND_PASSWORD_FILE, value: /var/run/secrets/deis/ldap/password }
{{- end }}
- { name: LDAP_USER_BASEDN, value: {{ required "set ldap.userBaseDN" .userBaseDN | quote }} }
- { name: LDAP_USER_FILTER, value: {{ .userAttribute | quote }} }
{{- end }}
{{- end }}

{{- define "workflow.registryEnv" -}}
{{- with .Values.allowOutbound }}
- { name: WORKFLOW_ALLOW_OUTBOUND, value: {{ join "," . | quote }} }
{{- end }}
{{- with .Values.registry.insecureHosts }}
- { name: WORKFLOW_INSECURE_REGISTRIES, value: {{ join "," . | quote }} }
{{- end }}
- { name: WORKFLOW_REGISTRY_KEEPS_COPIES, value: {{ .Values.registry.keepsCopies | quote }} }
{{- if .Values.registry.enabled }}
- { name: WORKFLOW_REGISTRY_NODE_HOST, value: "127.0.0.1:{{ .Values.registryProxy.port }}" }
- { name: WORKFLOW_REGISTRY_URL, value: "http://deis-registry.{{ .Release.Namespace }}.svc.cluster.local" }
- { name: WORKFLOW_REGISTRY_KEY_FILE, value: /var/run/secrets/deis/registry-key/key }
{{- else }}
{{- with .Values.registry.external }}
- { name: WORKFLOW_REGISTRY_NODE_HOST, value: {{ required "set registry.external.host, or registry.enabled" .host | quote }} }
- { name: WORKFLOW_REGISTRY_URL, value: {{ required "set registry.external.url" .url | quote }} }
- { name: WORKFLOW_REGISTRY_USERNAME, value: {{ required "set registry.external.username" .username | quote }} }
- { name: WORKFLOW_REGISTRY_PASSWORD_FILE, value: /var/run/secrets/deis/registry-key/password }
{{- end }}
{{- end }}
{{- end }}

{{/* Name of the Secret of the registry's key, or of the external registry's password. */}}
{{- define "workflow.registrySecret" -}}
{{- if .Values.registry.enabled -}}
{{ include "workflow.secret" (dict "root" . "name" "registryKey") }}
{{- else -}}
{{ required "set registry.external.existingSecret" .Values.registry.external.existingSecret }}
{{- end -}}
{{- end }}

{{/* Mounts of the named secrets; the same list makes the volumes. */}}
{{- define "workflow.secretMounts" -}}
{{- range .names }}
- { name: {{ kebabcase . }}, mountPath: /var/run/secrets/deis/{{ kebabcase . }}, readOnly: true }
{{- end }}
{{- end }}

{{- define "workflow.secretVolumes" -}}
{{- $root := .root }}
{{- range .names }}
{{- $secret := include "workflow.secret" (dict "root" $root "name" .) }}
{{- if eq . "registryKey" }}{{ $secret = include "workflow.registrySecret" $root }}{{ end }}
- name: {{ kebabcase . }}
  secret: { secretName: {{ $secret }}, defaultMode: 0440 }
{{- end }}
{{- end }}

{{/* A role's volume named data: a claim, or no longer than the pod. */}}
{{- define "workflow.dataVolume" -}}
- name: data
{{- if or .root.Values.persistence.enabled .settings.persistence.existingClaim }}
  persistentVolumeClaim: { claimName: {{ .settings.persistence.existingClaim | default .claim }} }
{{- else }}
  emptyDir: {}
{{- end }}
{{- end }}

{{- define "workflow.claim" -}}
{{- if and .root.Values.persistence.enabled (not .settings.persistence.existingClaim) }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .claim }}
  labels: {{- include "workflow.labels" .root | nindent 4 }}
  annotations:
    # Uninstalling must not throw data away.
    helm.sh/resource-policy: keep
spec:
  accessModes: [ReadWriteOnce]
  {{- with .root.Values.persistence.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources: { requests: { storage: {{ .settings.persistence.size }} } }
{{- end }}
{{- end }}

{{- define "workflow.serviceAccount" -}}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  labels: {{- include "workflow.labels" .root | nindent 4 }}
automountServiceAccountToken: false
{{- end }}

{{/* More than one replica is spread over nodes. */}}
{{- define "workflow.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: { matchLabels: { app: {{ .name }} } }
    matchLabelKeys: [pod-template-hash]
{{- end }}

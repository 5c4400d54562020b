{{/*
Lays a part of a manifest over another, as Kubernetes' strategic merge does: mappings key by key; lists whose items have a name item by
item; other lists of mappings one after the other; everything else is replaced, also by 0, false and "". null takes a key away.
A list of under and over; `under` is changed.
*/}}
{{- define "meshlib.lay" -}}
{{- $under := index . 0 -}}
{{- range $key, $over := index . 1 -}}
{{- $old := get $under $key -}}
{{- if kindIs "invalid" $over -}}
{{- $_ := unset $under $key -}}
{{- else if and (kindIs "map" $over) (kindIs "map" $old) -}}
{{- include "meshlib.lay" (list $old $over) -}}
{{- else if and (kindIs "slice" $over) (kindIs "slice" $old) -}}
{{- include "meshlib.layList" (list $under $key $over) -}}
{{- else -}}
{{- $_ := set $under $key (deepCopy $over) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* By which key the items of a list are told apart. */}}
{{- define "meshlib.listKeys" -}}
containers: name
initContainers: name
volumes: name
env: name
ports: name
imagePullSecrets: name
resourceClaims: name
claims: name
volumeMounts: mountPath
volumeDevices: devicePath
topologySpreadConstraints: topologyKey
hostAliases: ip
{{- end -}}

{{/* List of the mapping, the key and the list that is laid over the one there. */}}
{{- define "meshlib.layList" -}}
{{- $map := index . 0 -}}
{{- $key := index . 1 -}}
{{- $over := index . 2 -}}
{{- $old := get $map $key -}}
{{- $by := get (include "meshlib.listKeys" . | fromYaml) $key -}}
{{- if eq $key "nodeSelectorTerms" -}}
{{- $_ := set $map $key (include "meshlib.bothTerms" (list $old $over) | fromYamlArray) -}}
{{- else if $by -}}
{{- $made := list -}}{{- $seen := list -}}
{{- range $item := $old -}}
{{- range $each := $over -}}
{{- if eq (get $each $by) (get $item $by) -}}
{{- $seen = append $seen (get $each $by) -}}
{{- $item = include "meshlib.layItem" (list $item $each $by) | fromYaml -}}
{{- end -}}
{{- end -}}
{{- $made = append $made $item -}}
{{- end -}}
{{- range $each := $over -}}
{{- if not (has (get $each $by) $seen) -}}{{- $made = append $made (deepCopy $each) -}}{{- end -}}
{{- end -}}
{{- $_ := set $map $key $made -}}
{{- else if and $old (kindIs "map" (first $old)) -}}
{{- $_ := set $map $key (concat $old $over | uniq) -}}
{{- else -}}
{{- $_ := set $map $key $over -}}
{{- end -}}
{{- end -}}

{{/* One item over another of its name. What says something else altogether, such as another kind of volume, is instead of it. */}}
{{- define "meshlib.layItem" -}}
{{- $item := deepCopy (index . 0) -}}
{{- $over := index . 1 -}}
{{- $by := index . 2 -}}
{{- $shared := false -}}
{{- range $key, $_ := omit $over $by -}}{{- if hasKey $item $key -}}{{- $shared = true -}}{{- end -}}{{- end -}}
{{- $alternatives := or (hasKey $item "value") (hasKey $item "valueFrom") (and (eq $by "name") (eq (len $item) 2)) -}}
{{- if and $alternatives (not $shared) -}}
{{ toYaml $over }}
{{- else -}}
{{- include "meshlib.lay" (list $item $over) -}}
{{ toYaml $item }}
{{- end -}}
{{- end -}}

{{/* A node must fit one of each: list of two lists of nodeSelectorTerms. */}}
{{- define "meshlib.bothTerms" -}}
{{- $made := list -}}
{{- range $left := index . 0 -}}
{{- range $right := index $ 1 -}}
{{- $term := dict -}}
{{- range $kind := list "matchExpressions" "matchFields" -}}
{{- $all := concat (get $left $kind | default list) (get $right $kind | default list) -}}
{{- if $all -}}{{- $_ := set $term $kind $all -}}{{- end -}}
{{- end -}}
{{- $made = append $made $term -}}
{{- end -}}
{{- end -}}
{{ toYaml $made }}
{{- end -}}

{{/* What the values say of a component's pods: {metadata, spec}, from the general to the particular. A list, the last laid last. */}}
{{- define "meshlib.podBlocks" -}}
{{- $blocks := list .root.Values.everyPod -}}
{{- with .pods -}}{{- $blocks = concat $blocks . -}}{{- end -}}
{{- $short := dict -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" -}}
{{- with get $.values $key -}}{{- $_ := set $short $key . -}}{{- end -}}
{{- end -}}
{{- $block := dict "spec" $short -}}
{{- with .values.podAnnotations -}}{{- $_ := set $block "metadata" (dict "annotations" .) -}}{{- end -}}
{{- $blocks = append $blocks $block -}}
{{- with .values.pod -}}{{- $blocks = append $blocks . -}}{{- end -}}
{{ toYaml $blocks }}
{{- end -}}

{{/* Lays all of them over a pod template: list of component and pod, which is changed. */}}
{{- define "meshlib.layPod" -}}
{{- $component := index . 0 -}}
{{- $pod := index . 1 -}}
{{- range $block := include "meshlib.podBlocks" $component | fromYamlArray -}}
{{- include "meshlib.checkBlock" (list $component $pod $block) -}}
{{- include "meshlib.lay" (list $pod (pick $block "metadata" "spec")) -}}
{{- end -}}
{{- include "meshlib.checkResources" (list $component $pod) -}}
{{- end -}}

{{/* What a container of the chart runs is the chart's. */}}
{{- define "meshlib.checkBlock" -}}
{{- $component := index . 0 -}}
{{- $pod := index . 1 -}}
{{- $spec := (index . 2).spec | default dict -}}
{{- range $kind := list "containers" "initContainers" -}}
{{- $names := list -}}
{{- range get $pod.spec $kind | default list -}}{{- $names = append $names .name -}}{{- end -}}
{{- range get $spec $kind | default list -}}
{{- if and (has .name $names) (or (hasKey . "args") (hasKey . "command")) -}}
{{- fail (printf "pod.spec.%s of %s: `args` and `command` of `%s` are the chart's own. Set what its service reads in `config`, or add a container of another name." $kind $component.name .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

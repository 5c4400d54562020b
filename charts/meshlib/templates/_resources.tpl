{{/* What an API server refuses of a pod's resources, said by the field that is to change: list of component and pod. */}}
{{- define "meshlib.checkResources" -}}
{{- $component := index . 0 -}}
{{- range $kind := list "initContainers" "containers" -}}
{{- range get (index $ 1).spec $kind | default list -}}
{{- $place := include "meshlib.resourcesPlace" (list $component $kind .) -}}
{{- $limits := dig "resources" "limits" dict . | default dict -}}
{{- range $name, $request := dig "resources" "requests" dict . | default dict -}}
{{- $limit := get $limits $name -}}
{{- $shared := not (or (contains "/" $name) (hasPrefix "hugepages-" $name)) -}}
{{- if and (hasKey $limits $name) (gt (include "meshlib.quantity" $request | float64) (include "meshlib.quantity" $limit | float64)) -}}
{{- fail (printf "%s.requests.%s: %v is more than limits.%s, %v" $place $name $request $name $limit) -}}
{{- end -}}
{{- if and (not $shared) (not (hasKey $limits $name)) -}}
{{- fail (printf "%s.limits.%s: it must be as much as requests.%s, %v: none of it can be shared" $place $name $name $request) -}}
{{- end -}}
{{- if and (not $shared) (ne (include "meshlib.quantity" $request) (include "meshlib.quantity" $limit)) -}}
{{- fail (printf "%s.requests.%s: %v is less than limits.%s, %v: none of it can be shared" $place $name $request $name $limit) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where the values say what a container asks for: list of component, kind of container and container. */}}
{{- define "meshlib.resourcesPlace" -}}
{{- $component := index . 0 -}}
{{- $container := index . 2 -}}
{{- $service := get $component "service" -}}
{{- if hasPrefix "fetch-" $container.name -}}inference.weights.resources
{{- else if not $service -}}jobs.resources
{{- else if ne $container.name $service -}}{{ printf "pod.spec.%s of %s: %s.resources" (index . 1) $component.name $container.name }}
{{- else if $component.pool -}}
{{- range $index, $pool := $component.root.Values.inference.pools -}}
{{- if eq $pool.name $component.pool -}}{{ printf "inference.pools[%d].resources" $index }}{{- end -}}
{{- end -}}
{{- else -}}{{ $service }}.resources
{{- end -}}
{{- end -}}

{{/* A quantity as a plain number. */}}
{{- define "meshlib.quantity" -}}
{{- $text := toString . -}}
{{- $factors := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18
      "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{- $suffix := regexFind "[A-Za-z]+$" $text -}}
{{- $number := trimSuffix $suffix $text | float64 -}}
{{- printf "%.3f" (mulf $number (get $factors $suffix | default 1.0)) -}}
{{- end -}}

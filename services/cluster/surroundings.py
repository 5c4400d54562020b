"""What is wrong around a release's pods: its scaling, its routes, its volumes, its versions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services import __version__
from services.cluster.finding import Finding
from services.cluster.lists import Lists
from services.cluster.view import Cluster, Component, View

_COMPONENT = "app.kubernetes.io/component"
_PAUSED = ("autoscaling.keda.sh/paused-replicas", "autoscaling.keda.sh/paused")
# While a claim waits so, nothing is wrong with it: the pod that names it is placed first.
_WAITS_FOR_A_POD = {"WaitForFirstConsumer", "WaitForPodScheduled"}
Json = Mapping[str, Any]


def of_surroundings(cluster: Cluster, view: View, lists: Lists) -> Iterator[Finding]:
    uses = lists.uses()
    yield from _of_scaling(view, lists, uses)
    yield from _of_routes(cluster, lists, uses)
    yield from _of_claims(cluster, view, lists)
    yield from _of_versions(view)


def _of_scaling(view: View, lists: Lists, uses: frozenset[str]) -> Iterator[Finding]:
    scaled = set()
    for each in lists.custom("keda.sh", "v1alpha1", "scaledobjects") if "keda" in uses else ():
        name = each["metadata"]["labels"][_COMPONENT]
        scaled.add(name)
        yield from _of_scaled_object(view, name, each)
    for component in view.components:
        if component.pool and component.name not in scaled and not component.workload.wanted:
            yield Finding(
                component.name,
                f"it has no replica, and nothing scales it{_held(view, component)}",
                f"kubectl chatmesh wake {component.pool}",
            )


def _of_scaled_object(view: View, name: str, scaled: Json) -> Iterator[Finding]:
    component = view.component(name)
    annotations = scaled["metadata"].get("annotations") or {}
    if any(key in annotations for key in _PAUSED):
        shown = component.pool if component and component.pool else name
        held = _held(view, component) if component else ""
        yield Finding(
            name,
            f"it was put to sleep by hand, and no request wakes it{held}",
            f"kubectl chatmesh wake {shown}",
        )
        return
    conditions = _conditions(scaled.get("status") or {})
    if "Ready" not in conditions:
        yield Finding(
            name,
            "no KEDA operator has taken its ScaledObject up, so it is not scaled",
            "install KEDA, or set keda.enabled: false",
        )
    elif conditions["Ready"]["status"] == "False":
        yield Finding(
            name,
            f"KEDA cannot scale it: {conditions['Ready'].get('message', '')}",
            f"kubectl -n {view.namespace} describe scaledobject {scaled['metadata']['name']}; "
            "networkPolicies.keda names the namespace where KEDA is",
        )


def _held(view: View, component: Component) -> str:
    held = view.pools[component.pool].held if component.pool in view.pools else 0
    return f"; {held} turns wait for it" if held else ""


def _conditions(status: Json) -> Mapping[str, Json]:
    return {one["type"]: one for one in status.get("conditions") or ()}


def _of_routes(cluster: Cluster, lists: Lists, uses: frozenset[str]) -> Iterator[Finding]:
    group = ("gateway.networking.k8s.io", "v1")
    for use, plural in (("httpRoute", "httproutes"), ("grpcRoute", "grpcroutes")):
        for route in lists.custom(*group, plural) if use in uses else ():
            yield from _of_route(cluster, plural, route)
    if "ingress" in uses:
        yield from _of_ingresses(lists)
    yield from _of_load_balancers(cluster, lists)


def _of_ingresses(lists: Lists) -> Iterator[Finding]:
    for ingress in lists.custom("networking.k8s.io", "v1", "ingresses"):
        name = ingress["metadata"]["name"]
        if not _address(ingress.get("status") or {}):
            yield Finding(
                f"ingress {name}",
                "no controller has given it an address",
                "see that edge.ingress.className is one of: kubectl get ingressclass",
            )


def _of_load_balancers(cluster: Cluster, lists: Lists) -> Iterator[Finding]:
    for service in lists.services():
        name = service.metadata.name
        if service.spec.type == "LoadBalancer" and not service.status.load_balancer.ingress:
            warning = lists.warned("Service", name)
            yield Finding(
                f"service {name}",
                f"its load balancer has no address{_said(warning)}",
                f"kubectl -n {cluster.namespace} describe service {name}",
            )


def _of_route(cluster: Cluster, plural: str, route: Json) -> Iterator[Finding]:
    name = route["metadata"]["name"]
    where = f"{plural.removesuffix('s')} {name}"
    describe = f"kubectl -n {cluster.namespace} describe {where}"
    parents: Sequence[Json] = (route.get("status") or {}).get("parents") or ()
    if not parents:
        yield Finding(
            where,
            "no Gateway has taken it up: its parentRefs name none, or no controller runs",
            f"kubectl get gateway -A; {describe}",
        )
    for parent in parents:
        gateway = parent["parentRef"]["name"]
        for kind, condition in _conditions(parent).items():
            if kind in {"Accepted", "ResolvedRefs"} and condition["status"] == "False":
                reason, message = condition.get("reason", kind), condition.get("message", "")
                yield Finding(
                    where, f"gateway {gateway} does not serve it ({reason}): {message}", describe
                )


def _address(status: Json) -> Sequence[Any]:
    found: Sequence[Any] = (status.get("loadBalancer") or {}).get("ingress") or ()
    return found


def _of_claims(cluster: Cluster, view: View, lists: Lists) -> Iterator[Finding]:
    """The release's own, and those that its pods name."""
    own = {"app.kubernetes.io/name": "chatmesh", "app.kubernetes.io/instance": view.release}
    named = {
        volume.persistent_volume_claim.claim_name
        for component in view.components
        for pod in component.pods
        for volume in pod.raw.spec.volumes or ()
        if volume.persistent_volume_claim
    }
    for claim in lists.claims():
        name = claim.metadata.name
        if name in named or own.items() <= (claim.metadata.labels or {}).items():
            yield from _of_claim(cluster, lists, claim)


def _of_claim(cluster: Cluster, lists: Lists, claim: Any) -> Iterator[Finding]:
    name, phase = claim.metadata.name, claim.status.phase
    describe = f"kubectl -n {cluster.namespace} describe pvc {name}"
    if phase == "Lost":
        yield Finding(
            f"volume {name}",
            "it is Lost: the volume behind it is gone",
            f"bring the volume back, or delete the claim and begin with an empty store; {describe}",
        )
    elif phase != "Bound":
        event = lists.last_event("PersistentVolumeClaim", name)
        if event and event.reason in _WAITS_FOR_A_POD:
            return
        wanted = claim.spec.storage_class_name or "the default"
        why = event.message if event else f"nobody makes one of storage class {wanted}"
        remedy = "kubectl get storageclass, then set storage.storageClass"
        yield Finding(f"volume {name}", f"it is {phase}: {why}", f"{remedy}; {describe}")


def _said(event: Any | None) -> str:
    return f": {event.message}" if event else ""


def _of_versions(view: View) -> Iterator[Finding]:
    """Services of neighbouring minor versions understand each other; a plugin and a release too."""
    running = {one.workload.version for one in view.components} - {"?"}
    if len(running) > 1:
        told = ", ".join(f"{one.name} {one.workload.version}" for one in view.components)
        yield Finding(
            f"release {view.release}",
            f"its services are of different releases: {told}",
            f"helm upgrade {view.release}, or helm rollback {view.release}: all of them together",
        )
    far = sorted(version for version in running if _apart(version, __version__))
    if far:
        yield Finding(
            "this plugin",
            f"it is of {__version__}, and the release of {', '.join(far)}",
            "install the plugin of the release's version: k8s/README.md says how",
        )


def _apart(one: str, other: str) -> bool:
    """Whether two versions are more than a minor version apart, where both are versions."""
    try:
        (major, minor), (its_major, its_minor) = (
            map(int, version.split(".")[:2]) for version in (one, other)
        )
    except ValueError:
        return False
    return major != its_major or abs(minor - its_minor) > 1

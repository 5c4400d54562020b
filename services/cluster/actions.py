"""What operators do to a release: drain, sleep, wake, roll."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from math import inf

from kubernetes import client
from kubernetes.client import ApiException

from services.cluster.refusals import CannotDo
from services.cluster.view import Cluster, Component, Pod
from services.cluster.workloads import Workload

_PAUSED = "autoscaling.keda.sh/paused-replicas"
_KEDA = ("keda.sh", "v1alpha1")
# How many seconds pass between two looks at something that changes.
LOOK_SECONDS = 1.0
_FORBIDDEN, _NOT_FOUND, _TOO_MANY = 403, 404, 429
# Shows the operator a line about what happens.
Say = Callable[[str], None]


def drain(cluster: Cluster, name: str, say: Say, *, seconds: float = inf) -> None:
    """Drains the pod or the node of that name. Raises CannotDo where it has not gone in time."""
    view = cluster.view()
    pods = [pod for component in view.components for pod in component.pods]
    if any(pod.node == name for pod in pods):
        drain_node(cluster, name, say, seconds=seconds)
    elif any(pod.name == name for pod in pods):
        drain_pod(cluster, name, say, seconds=seconds)
    else:
        raise CannotDo(_nothing_called(cluster, name, pods))


def _nothing_called(cluster: Cluster, name: str, pods: Sequence[Pod]) -> str:
    if _is_node(cluster, name):
        nodes = ", ".join(sorted({pod.node for pod in pods if pod.node})) or "none"
        return f"node {name} has no pod of {cluster.release}; nodes that have one: {nodes}"
    known = ", ".join(pod.name for pod in pods)
    return f"no pod {name} in this release; there are: {known}"


def _is_node(cluster: Cluster, name: str) -> bool:
    """False also where we may not look."""
    try:
        cluster.core.read_node(name)
    except ApiException as error:
        if error.status in {_FORBIDDEN, _NOT_FOUND}:
            return False
        raise
    return True


def drain_pod(cluster: Cluster, name: str, say: Say, *, seconds: float = inf) -> None:
    """Evicts the pod: it takes nothing new, its streams end, and then it goes."""
    view = cluster.view()
    pod = next((p for c in view.components for p in c.pods if p.name == name), None)
    if pod is None:
        known = ", ".join(p.name for c in view.components for p in c.pods)
        raise CannotDo(f"no pod {name} in this release; there are: {known}")
    due = time.monotonic() + seconds
    _evict(cluster, name, say, due)
    _wait_gone(cluster, pod, say, due)


def drain_node(cluster: Cluster, name: str, say: Say, *, seconds: float = inf) -> None:
    """Keeps new pods from the node, and drains the release's pods there one after the other."""
    due = time.monotonic() + seconds
    _cordon(cluster, name)
    say(f"node {name} takes no more pods; `kubectl uncordon {name}` undoes that")
    there = [p for c in cluster.view().components for p in c.pods if p.node == name]
    for pod in there:
        if _there(cluster, pod):
            drain_pod(cluster, pod.name, say, seconds=due - time.monotonic())
    say(f"node {name} is free of {cluster.release}")


def _cordon(cluster: Cluster, name: str) -> None:
    try:
        cluster.core.patch_node(name, {"spec": {"unschedulable": True}})
    except ApiException as error:
        if error.status != _FORBIDDEN:
            raise
        raise CannotDo(
            f"you may not change nodes, and no role of a release allows it: ask who runs the "
            f"cluster to `kubectl cordon {name}`, then drain its pods by name"
        ) from None


def _evict(cluster: Cluster, name: str, say: Say, due: float) -> None:
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=name))
    told = ""
    while True:
        try:
            cluster.core.create_namespaced_pod_eviction(name, cluster.namespace, eviction)
        except ApiException as error:
            if error.status != _TOO_MANY:
                raise
            why = f"{name} waits: {_why_not_evicted(cluster, name, error)}"
        else:
            say(f"{name} takes nothing new")
            return
        if why != told:
            say(told := why)
        if time.monotonic() >= due:
            raise CannotDo(f"{why}; it was not drained in time")
        time.sleep(LOOK_SECONDS)


def _why_not_evicted(cluster: Cluster, name: str, refusal: ApiException) -> str:
    """The API server's words, and which other pods of its kind are away, and why."""
    try:
        told = json.loads(refusal.body)
        causes = [one["message"] for one in told.get("details", {}).get("causes", ())]
        words = causes[0] if causes else told["message"]
    except (TypeError, ValueError, KeyError):
        words = refusal.reason
    own = next((c for c in cluster.view().components if name in {p.name for p in c.pods}), None)
    away = [f"{p.name} is {p.phase}" for p in (own.pods if own else ()) if not p.ready]
    away = [each for each in away if not each.startswith(f"{name} ")]
    return "; ".join([words, *away])


def _wait_gone(cluster: Cluster, pod: Pod, say: Say, due: float) -> None:
    began, left = time.monotonic(), None
    while _there(cluster, pod):
        now = _streams(cluster, pod.name)
        if time.monotonic() >= due:
            streams = "" if now is None else f": {now} streams left"
            raise CannotDo(f"{pod.name} has not gone in time{streams}; it goes on leaving")
        if now is not None and now != left:
            say(f"{pod.name}: {now} streams left")
            left = now
        time.sleep(LOOK_SECONDS)
    say(f"{pod.name} is gone after {time.monotonic() - began:.0f} s")


def _there(cluster: Cluster, pod: Pod) -> bool:
    try:
        found = cluster.core.read_namespaced_pod(pod.name, cluster.namespace)
    except ApiException as error:
        if error.status == _NOT_FOUND:
            return False
        raise
    same: bool = found.metadata.uid == pod.raw.metadata.uid
    return same


def _streams(cluster: Cluster, name: str) -> int | None:
    """How many streams the gateways count on the pod; None: they do not know it."""
    gateway = cluster.view().component("gateway")
    counted = [
        pod.metrics.samples.get("chatmesh_replica_in_flight", {})
        for pod in (gateway.pods if gateway else ())
    ]
    found = [n for each in counted for labels, n in each.items() if ("pod", name) in labels]
    return int(sum(found)) if found else None


def sleep_pool(cluster: Cluster, component: Component, say: Say) -> None:
    """Takes all replicas from the pool, until it is woken by hand."""
    name = component.workload.name
    if _scaled(cluster, name):
        _annotate(cluster, name, "0")
    else:
        cluster.workloads.scale(component.workload, 0)
    say(f"pool {component.pool} sleeps; `kubectl chatmesh wake {component.pool}` wakes it")


def wake_pool(cluster: Cluster, component: Component, say: Say) -> None:
    """Gives the pool a replica now. What follows is KEDA's decision, where it scales the pool."""
    name = component.workload.name
    scaled = _scaled(cluster, name)
    if scaled:
        _annotate(cluster, name, None)
    if not component.workload.wanted:
        cluster.workloads.scale(component.workload, 1)
    after = ": it goes back to sleep when nobody needs it" if scaled else ""
    say(f"pool {component.pool} wakes{after}")


def _scaled(cluster: Cluster, name: str) -> bool:
    try:
        cluster.custom.get_namespaced_custom_object(
            *_KEDA, cluster.namespace, "scaledobjects", name
        )
    except ApiException as error:
        # Without KEDA a release's roles do not speak of it.
        if error.status in {_FORBIDDEN, _NOT_FOUND}:
            return False
        raise
    return True


def _annotate(cluster: Cluster, name: str, replicas: str | None) -> None:
    body = {"metadata": {"annotations": {_PAUSED: replicas}}}
    cluster.custom.patch_namespaced_custom_object(
        *_KEDA, cluster.namespace, "scaledobjects", name, body
    )


def rollout(cluster: Cluster, workload: Workload) -> Iterator[str]:
    """Says how far a rollout is, now and at every change, until it is over. Raises CannotDo."""
    told = ""
    while True:
        now = cluster.workloads.again(workload)
        if (words := _progress(now)) != told:
            yield (told := words)
        if now.settled:
            return
        if now.stuck and now.current:
            raise CannotDo(f"{now.name} does not get on: kubectl chatmesh doctor says why")
        time.sleep(LOOK_SECONDS)


def _progress(workload: Workload) -> str:
    if not workload.current:
        return "not begun"
    old = workload.replicas - workload.updated
    return f"{workload.updated} of {workload.wanted} new, {workload.ready} ready, {old} old"

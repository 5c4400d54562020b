"""What operators do to a release: drain, sleep, wake, roll, make keys."""

import re
import time
from collections.abc import Callable, Iterator, Sequence

from kubernetes import client
from kubernetes.client import ApiException
from kubernetes.stream import stream

from services.cluster.view import Cluster, Component, Replica
from services.cluster.workloads import Workload

_PAUSED = "autoscaling.keda.sh/paused-replicas"
_KEDA = ("keda.sh", "v1alpha1")
# How long between two looks at what changes.
LOOK_SECONDS = 1.0
_FORBIDDEN, _NOT_FOUND, _TOO_MANY = 403, 404, 429
Told = Callable[[str], None]


class CannotDo(Exception):
    """The sentence says why, and what to do instead."""


def drain_pod(cluster: Cluster, name: str, told: Told) -> None:
    """Evicts it: it takes nothing new, its streams end, then it goes."""
    view = cluster.view()
    replica = next((r for c in view.components for r in c.replicas if r.name == name), None)
    if replica is None:
        known = ", ".join(r.name for c in view.components for r in c.replicas)
        raise CannotDo(f"no pod {name} in this release; there are: {known}")
    _evict(cluster, name, told)
    _wait_gone(cluster, replica, told)


def drain_node(cluster: Cluster, name: str, told: Told) -> None:
    """Lets nothing new onto the node and drains the release's pods there, one after the other."""
    _cordon(cluster, name)
    told(f"node {name} takes no more pods; `kubectl uncordon {name}` undoes that")
    there = [r for c in cluster.view().components for r in c.replicas if r.node == name]
    for replica in there:
        if _there(cluster, replica):
            drain_pod(cluster, replica.name, told)
    told(f"node {name} is free of {cluster.release}")


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


def _evict(cluster: Cluster, name: str, told: Told) -> None:
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=name))
    while True:
        try:
            cluster.core.create_namespaced_pod_eviction(name, cluster.namespace, eviction)
        except ApiException as error:
            if error.status != _TOO_MANY:
                raise
            told(f"{name} waits: another pod of its kind is away")
            time.sleep(LOOK_SECONDS)
        else:
            told(f"{name} takes nothing new")
            return


def _wait_gone(cluster: Cluster, replica: Replica, told: Told) -> None:
    began, left = time.monotonic(), None
    while _there(cluster, replica):
        now = _streams(cluster, replica.name)
        if now is not None and now != left:
            told(f"{replica.name}: {now} streams left")
            left = now
        time.sleep(LOOK_SECONDS)
    told(f"{replica.name} is gone after {time.monotonic() - began:.0f} s")


def _there(cluster: Cluster, replica: Replica) -> bool:
    try:
        pod = cluster.core.read_namespaced_pod(replica.name, cluster.namespace)
    except ApiException as error:
        if error.status == _NOT_FOUND:
            return False
        raise
    same: bool = pod.metadata.uid == replica.raw.metadata.uid
    return same


def _streams(cluster: Cluster, pod: str) -> int | None:
    """As the gateway counts them; None where it does not know the pod."""
    gateway = cluster.view().component("gateway")
    counted = [
        replica.measured.samples.get("chatmesh_replica_in_flight", {})
        for replica in (gateway.replicas if gateway else ())
    ]
    found = [n for each in counted for labels, n in each.items() if ("pod", pod) in labels]
    return int(sum(found)) if found else None


def sleep_pool(cluster: Cluster, component: Component, told: Told) -> None:
    """No replica until it is woken by hand."""
    name = component.workload.name
    if _scaled(cluster, name):
        _annotate(cluster, name, "0")
    else:
        cluster.workloads.scale(component.workload, 0)
    told(f"pool {component.pool} sleeps; `kubectl chatmesh wake {component.pool}` wakes it")


def wake_pool(cluster: Cluster, component: Component, told: Told) -> None:
    """At least one replica now; KEDA decides what follows."""
    name = component.workload.name
    scaled = _scaled(cluster, name)
    if scaled:
        _annotate(cluster, name, None)
    if not component.workload.wanted:
        cluster.workloads.scale(component.workload, 1)
    after = ": it goes back to sleep when nobody needs it" if scaled else ""
    told(f"pool {component.pool} wakes{after}")


def _scaled(cluster: Cluster, name: str) -> bool:
    try:
        cluster.custom.get_namespaced_custom_object(
            *_KEDA, cluster.namespace, "scaledobjects", name
        )
    except ApiException as error:
        if error.status == _NOT_FOUND:
            return False
        raise
    return True


def _annotate(cluster: Cluster, name: str, replicas: str | None) -> None:
    body = {"metadata": {"annotations": {_PAUSED: replicas}}}
    cluster.custom.patch_namespaced_custom_object(
        *_KEDA, cluster.namespace, "scaledobjects", name, body
    )


def rollout(cluster: Cluster, workload: Workload) -> Iterator[str]:
    """How far a rollout is, now and at every change, until it is over."""
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


def _ran(cluster: Cluster, pod: str, command: Sequence[str]) -> str:
    """What a command in a gateway's pod printed."""
    try:
        answer: str = stream(
            cluster.core.connect_get_namespaced_pod_exec,
            pod,
            cluster.namespace,
            container="gateway",
            command=command,
            stdout=True,
            stderr=True,
            stdin=False,
            tty=False,
        )
    except ApiException as error:
        # The client tells the refusal of a WebSocket in words alone.
        if refused := re.match(r"Handshake status (\d+)", error.reason or ""):
            reason = f"run a command in pod {pod} (pods/exec)"
            raise ApiException(int(refused[1]), reason) from None
        raise
    return answer


def create_key(cluster: Cluster, name: str, *, application: bool) -> str:
    """Made in a gateway's pod, where the store is; the key is shown this once."""
    gateway = cluster.view().component("gateway")
    ready = [replica for replica in (gateway.replicas if gateway else ()) if replica.ready]
    if not ready:
        raise CannotDo("no gateway is ready: kubectl chatmesh doctor says why")
    command = ["python", "-m", "services", "key", name, *(["--application"] if application else [])]
    key = _ran(cluster, ready[0].name, command).strip()
    if not key.startswith("cm_live_"):
        raise CannotDo(f"the gateway made no key: {key}")
    return key

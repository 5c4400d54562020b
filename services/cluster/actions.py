"""What operators do to a release: drain, sleep, wake, roll, make keys."""

import re
import time
from collections.abc import Callable, Iterator, Sequence

from kubernetes import client
from kubernetes.client import ApiException
from kubernetes.stream import stream

from services.cluster.view import Cluster, Component, Pod
from services.cluster.workloads import Workload

_PAUSED = "autoscaling.keda.sh/paused-replicas"
_KEDA = ("keda.sh", "v1alpha1")
# How many seconds pass between two looks at something that changes.
LOOK_SECONDS = 1.0
_FORBIDDEN, _NOT_FOUND, _TOO_MANY = 403, 404, 429
# Shows the operator a line about what happens.
Say = Callable[[str], None]


class CannotDo(Exception):
    """The sentence says why, and what to do instead."""


def drain_pod(cluster: Cluster, name: str, say: Say) -> None:
    """Evicts the pod: it takes nothing new, its streams end, and then it goes."""
    view = cluster.view()
    pod = next((p for c in view.components for p in c.pods if p.name == name), None)
    if pod is None:
        known = ", ".join(p.name for c in view.components for p in c.pods)
        raise CannotDo(f"no pod {name} in this release; there are: {known}")
    _evict(cluster, name, say)
    _wait_gone(cluster, pod, say)


def drain_node(cluster: Cluster, name: str, say: Say) -> None:
    """Keeps new pods from the node, and drains the release's pods there one after the other."""
    _cordon(cluster, name)
    say(f"node {name} takes no more pods; `kubectl uncordon {name}` undoes that")
    there = [p for c in cluster.view().components for p in c.pods if p.node == name]
    for pod in there:
        if _there(cluster, pod):
            drain_pod(cluster, pod.name, say)
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


def _evict(cluster: Cluster, name: str, say: Say) -> None:
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=name))
    while True:
        try:
            cluster.core.create_namespaced_pod_eviction(name, cluster.namespace, eviction)
        except ApiException as error:
            if error.status != _TOO_MANY:
                raise
            say(f"{name} waits: another pod of its kind is away")
            time.sleep(LOOK_SECONDS)
        else:
            say(f"{name} takes nothing new")
            return


def _wait_gone(cluster: Cluster, pod: Pod, say: Say) -> None:
    began, left = time.monotonic(), None
    while _there(cluster, pod):
        now = _streams(cluster, pod.name)
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


def _ran(cluster: Cluster, pod: str, command: Sequence[str]) -> str:
    """What a command printed that was run in a gateway's pod."""
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
        # When a WebSocket is refused, the client gives the status only as part of a sentence.
        if refused := re.match(r"Handshake status (\d+)", error.reason or ""):
            reason = f"run a command in pod {pod} (pods/exec)"
            raise ApiException(int(refused[1]), reason) from None
        raise
    return answer


def create_key(
    cluster: Cluster, name: str, *, application: bool, change_kind: bool, memory: bool
) -> str:
    """A new key. Raises CannotDo."""
    options = {"--application": application, "--change-kind": change_kind, "--memory": memory}
    given = [option for option, wanted in options.items() if wanted]
    return _key_command(cluster, "cm_live_", "create", name, *given)


def list_keys(cluster: Cluster) -> str:
    """A table of the keys and their accounts. Raises CannotDo."""
    return _key_command(cluster, "KEY ", "list")


def revoke_keys(cluster: Cluster, key_id: str, account: str) -> str:
    """Says what was revoked: a key, or all of an account. Raises CannotDo."""
    words = ["--account", account] if account else [key_id]
    return _key_command(cluster, "revoked ", "revoke", *words)


def _key_command(cluster: Cluster, success: str, *words: str) -> str:
    """Runs `chatmesh key` in a gateway's pod, where the store is. What succeeds begins so."""
    gateway = cluster.view().component("gateway")
    ready = [pod for pod in (gateway.pods if gateway else ()) if pod.ready]
    if not ready:
        raise CannotDo("no gateway is ready: kubectl chatmesh doctor says why")
    told = _ran(cluster, ready[0].name, ["python", "-m", "services", "key", *words]).strip()
    if not told.startswith(success):
        raise CannotDo(f"the gateway says: {told.removeprefix('Error: ')}")
    return told

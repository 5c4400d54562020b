"""What is wrong with a release on its cluster, and what to type against it."""

import re
from collections.abc import Iterator
from typing import Any

from services.cluster.finding import Examination, Finding
from services.cluster.lists import Lists
from services.cluster.surroundings import of_surroundings
from services.cluster.view import Cluster, Component, Pod, View, job_of, statuses

_GROW = "grow the claim (`kubectl -n {namespace} edit pvc {claim}`), or free space on it"
# What a container's last words mean: a pattern, what is wrong, what helps. The first that is found
# counts, so the more certain ones stand first.
_LAST_WORDS = (
    (
        r"database or disk is full|No space left on device|Errno 28",
        "its volume is full",
        _GROW,
    ),
    (
        # SQLite says so when it opens a file on a full volume.
        r"disk I/O error",
        "its volume is full or broken",
        _GROW,
    ),
    (
        r"^weights: ",
        "its model cannot be fetched",
        "look at the pool's model.source, and at the secret, serviceAccount and environment of "
        "inference.weights",
    ),
    (
        r"neither a model's directory nor|it has no (config\.json|weights)|cannot be read",
        "its model is missing or not whole",
        "look at the pool's model.source: the claim, image or path holds no whole model",
    ),
    (
        r"has schema \d+, known are \d+",
        "its store was written by a newer release",
        "`helm upgrade` to that release, or bring back the volume as it was before",
    ),
    (
        r"killed at its memory limit",
        "it has too little memory",
        "raise its resources.limits.memory; a pool on processors may lower its cpu_kv_cache_gib",
    ),
    (
        r"out of memory|OutOfMemory|needs about .* GiB of memory|CUDA out of memory",
        "the engine has too little memory",
        "raise the pool's resources, or lower its gpu_memory_utilization or cpu_kv_cache_gib",
    ),
    (
        r"^([a-z-]+: )?[A-Z]+_[A-Z]\S*: |error parsing value for field",
        "a value of its config is wrong",
        "correct the field that it names under `config` and `helm upgrade`",
    ),
    (
        r"the engine did not start|Engine core initialization failed",
        "the engine dies while it loads",
        "read why: `{logs}`",
    ),
)
_IMAGES = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}
_CONFIGS = {"CreateContainerConfigError", "CreateContainerError"}


# What Kubernetes tells of a pod whose container cannot begin.
_BEGINS = {"ContainerCreating", "PodInitializing"}
_UNMOUNTED = {"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"}


def examine(cluster: Cluster, view: View) -> Examination:
    lists = Lists(cluster)
    findings = list(_findings(cluster, view, lists))
    return Examination(findings, [f"{kind}: you may not list them" for kind in lists.unseen])


def _findings(cluster: Cluster, view: View, lists: Lists) -> Iterator[Finding]:
    if not view.components and not view.job_pods:
        yield Finding(
            f"release {view.release}",
            f"nothing of it is in namespace {view.namespace}",
            "name the right ones: --release and --namespace",
        )
    for component in view.components:
        for pod in component.pods:
            yield from _of_pod(cluster, lists, component.name, pod)
        yield from _of_component(cluster, component)
    # A job that failed has a pod for each of its tries: the last one counts.
    tries = sorted(view.job_pods, key=lambda pod: pod.raw.metadata.creation_timestamp)
    for job, pod in {job_of(pod): pod for pod in tries}.items():
        yield from _of_pod(cluster, lists, f"job {job}", pod)
    yield from of_surroundings(cluster, view, lists)


def _of_pod(cluster: Cluster, lists: Lists, name: str, pod: Pod) -> Iterator[Finding]:
    if pod.ready or pod.phase in {"Terminating", "Succeeded"}:
        return
    told = (
        _put_out(cluster, pod)
        or _not_begun(cluster, pod)
        or _not_mounted(cluster, lists, pod)
        or _ended(cluster, pod)
        or _not_ready(cluster, lists, pod)
    )
    if told:
        yield Finding(f"{name}, pod {pod.name}", *told)


Told = tuple[str, str]


def _put_out(cluster: Cluster, pod: Pod) -> Told | None:
    """What a node did to it: such a pod never comes back, another takes its place."""
    status = pod.raw.status
    if status.phase != "Failed" or not status.reason:
        return None
    forget = f"kubectl -n {cluster.namespace} delete pod {pod.name} forgets it"
    words = status.message or status.reason
    if status.reason == "Evicted":
        remedy = "raise its resources.requests, or give the node more of what it is short of"
        return f"its node has evicted it: {words}", f"{remedy}; {forget}"
    return f"its node refuses it ({status.reason}): {words}", f"{_describe(cluster, pod)}; {forget}"


def _not_begun(cluster: Cluster, pod: Pod) -> Told | None:
    if unplaced := _condition(pod.raw, "PodScheduled"):
        return _unplaced(cluster, pod, unplaced)
    if pod.phase in _IMAGES:
        image = next(s.image for s in statuses(pod.raw) if s.state.waiting)
        return (
            f"its image {image} cannot be had ({pod.phase})",
            "push it, or correct images.prefix and images.tag; see images.pullSecrets",
        )
    if pod.phase in _CONFIGS:
        return f"it cannot be made: {_waiting(pod.raw)}", _describe(cluster, pod)
    return None


def _not_mounted(cluster: Cluster, lists: Lists, pod: Pod) -> Told | None:
    if pod.phase not in _BEGINS:
        return None
    event = lists.warned("Pod", pod.name)
    if event is None or event.reason not in _UNMOUNTED:
        return None
    return f"it cannot begin: {event.message}", _describe(cluster, pod)


def _ended(cluster: Cluster, pod: Pod) -> Told | None:
    if words := _last_words(pod.raw):
        return _told(cluster, pod, words)
    if pod.restarts:
        return f"it has ended {pod.restarts} times without a word", _logs(cluster, pod)
    return None


def _not_ready(cluster: Cluster, lists: Lists, pod: Pod) -> Told | None:
    """Of one that has started and runs. What still starts is not wrong."""
    running = pod.raw.status.container_statuses or ()
    if not running or not all(one.started and one.state.running for one in running):
        return None
    if all(one.ready for one in running):
        words = _condition(pod.raw, "Ready") or "its node does not answer"
        return f"it runs, and counts as not ready: {words}", _describe(cluster, pod)
    event = lists.warned("Pod", pod.name)
    why = f": {event.message}" if event and event.reason == "Unhealthy" else ""
    return f"it runs, and fails its readiness probe{why}", _logs(cluster, pod)


def _unplaced(cluster: Cluster, pod: Pod, words: str) -> Told:
    if re.search("resourceclaim|cannot allocate all claims", words, re.IGNORECASE):
        return (
            f"no node has the device that it claims: {words}",
            f"kubectl -n {cluster.namespace} get resourceclaim; kubectl get deviceclass",
        )
    if re.search("persistentvolumeclaim|volume node affinity", words, re.IGNORECASE):
        return (f"its volume is not there: {words}", f"kubectl -n {cluster.namespace} get pvc")
    if "nvidia.com" in words or (_wants_device(pod.raw) and "affinity" in words):
        return (
            f"no node has the GPU that it asks for: {words}",
            "add nodes of that product, or correct the pool's gpu and tolerations: "
            "kubectl get nodes -L nvidia.com/gpu.product",
        )
    return (
        f"no node has room for it: {words}",
        "add nodes, or lower its resources.requests; see kubectl describe nodes",
    )


def _told(cluster: Cluster, pod: Pod, words: str) -> Told:
    names = {
        "namespace": cluster.namespace,
        "claim": _claim(pod.raw),
        "logs": _logs(cluster, pod),
    }
    for pattern, what, remedy in _LAST_WORDS:
        if re.search(pattern, words, re.MULTILINE):
            return f"{what}: {_line(words, pattern)}", remedy.format(**names)
    return (
        f"it ends by itself: {words.splitlines()[-1]}",
        _logs(cluster, pod),
    )


def _logs(cluster: Cluster, pod: Pod) -> str:
    before = " --previous" if pod.restarts else ""
    return f"kubectl -n {cluster.namespace} logs {pod.name}{before}"


def _line(words: str, pattern: str) -> str:
    """The last line that holds the pattern."""
    lines = [line for line in words.splitlines() if re.search(pattern, line)]
    return (lines or words.splitlines())[-1].strip()[:300]


def _of_component(cluster: Cluster, component: Component) -> Iterator[Finding]:
    workload = component.workload
    if workload.failure:
        yield Finding(
            component.name,
            f"its pods cannot be made: {workload.failure}",
            f"kubectl -n {cluster.namespace} describe replicaset; a quota or a policy of the "
            "namespace stands in the way",
        )
    if workload.stuck:
        yield Finding(
            component.name,
            "its rollout does not get on",
            f"see its pods above; back: kubectl chatmesh -n {cluster.namespace} "
            f"rollout {component.pool or component.name} --undo",
        )


def _condition(pod: Any, kind: str) -> str:
    """Why a condition of the pod is not met; empty: it is."""
    for condition in pod.status.conditions or ():
        if condition.type == kind and condition.status == "False":
            words: str = condition.message or condition.reason or ""
            return words
    return ""


def _wants_device(pod: Any) -> bool:
    """Whether it asks for a device such as `nvidia.com/gpu`. CPU and memory have no domain."""
    limits = pod.spec.containers[0].resources and pod.spec.containers[0].resources.limits
    return any("/" in name for name in limits or ())


def _claim(pod: Any) -> str:
    claims = (volume.persistent_volume_claim for volume in pod.spec.volumes or ())
    return next((claim.claim_name for claim in claims if claim), "CLAIM")


def _waiting(pod: Any) -> str:
    for status in statuses(pod):
        if status.state.waiting:
            words: str = status.state.waiting.message or status.state.waiting.reason
            return words
    return ""


def _last_words(pod: Any) -> str:
    """What a container of the pod said when it last failed; empty: none did."""
    for status in statuses(pod):
        ended = status.state.terminated or (status.last_state and status.last_state.terminated)
        if ended and ended.exit_code:
            words: str = ended.message or ""
            killed = ended.reason == "OOMKilled"
            return "killed at its memory limit" if killed else words.strip()
    return ""


def _describe(cluster: Cluster, pod: Pod) -> str:
    return f"kubectl -n {cluster.namespace} describe pod {pod.name}"

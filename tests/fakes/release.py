"""The objects of a release as an API server tells them: JSON, as `kubectl get -o json` shows it."""

from tests.fakes.kubernetes import Json

NAMESPACE, RELEASE = "chat", "chatmesh"
STARTED = "2026-01-01T09:00:00Z"


def labels(component: str, release: str = RELEASE) -> Json:
    return {
        "app.kubernetes.io/name": "chatmesh",
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/component": component,
    }


def _metadata(name: str, component: str, release: str = RELEASE) -> Json:
    return {
        "name": f"{release}-{name}",
        "namespace": NAMESPACE,
        "uid": f"uid-of-{release}-{name}",
        "labels": labels(component, release),
    }


def _template(component: str, claim: str = "", devices: int = 0) -> Json:
    limits = {"memory": "1Gi"} | ({"nvidia.com/gpu": str(devices)} if devices else {})
    container = {
        "name": "inference" if component.startswith("inference-") else component,
        "image": "ghcr.io/chatmesh/mesh:0.1.0",
        "resources": {"limits": limits},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    volumes: list[Json] = [{"name": "tmp", "emptyDir": {}}]
    if claim:
        volumes.append({"name": "store", "persistentVolumeClaim": {"claimName": claim}})
    return {"containers": [container], "volumes": volumes, "restartPolicy": "Always"}


def deployment(
    component: str, *, wanted: int = 1, ready: int = 1, updated: int = 1, release: str = RELEASE
) -> Json:
    selector = labels(component, release)
    template = {"metadata": {"labels": selector | {"app.kubernetes.io/version": "0.1.0"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(component, component, release) | {"generation": 1},
        "spec": {
            "replicas": wanted,
            "selector": {"matchLabels": selector},
            "template": template | {"spec": _template(component)},
        },
        "status": {
            "observedGeneration": 1,
            "replicas": wanted,
            "updatedReplicas": updated,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "conditions": [progressing("NewReplicaSetAvailable")],
        },
    }


def group(
    component: str, *, wanted: int = 1, ready: int = 1, updated: int = 1, release: str = RELEASE
) -> Json:
    """A LeaderWorkerSet: every replica is a leader and a worker."""
    made = deployment(component, wanted=wanted, ready=ready, updated=updated, release=release)
    template = made["spec"].pop("template")
    del made["spec"]["selector"], made["status"]["availableReplicas"]
    worker = {"metadata": {"labels": {"app.kubernetes.io/name": "chatmesh"}}, "spec": {}}
    templates = {"leaderTemplate": template, "workerTemplate": worker}
    made["spec"]["leaderWorkerTemplate"] = {"size": 2} | templates
    made["status"]["conditions"] = [{"type": "Available", "status": "True", "reason": "AllReady"}]
    kind = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet"}
    return made | kind


def grouped(component: str, does: Json | None = None) -> tuple[Json, Json]:
    """The leader and the worker of its first group; `does`: what the worker's container does."""
    made = pod(component, 0), pod(component, 1, does or RUNS, node="node-2")
    for each in made:
        name = f"{RELEASE}-{component}"
        each["metadata"]["labels"]["leaderworkerset.sigs.k8s.io/name"] = name
    made[1]["metadata"]["name"] = f"{RELEASE}-{component}-0-1"
    del made[1]["metadata"]["labels"]["app.kubernetes.io/component"]
    return made


def tried(job: str, number: int, *, exit_code: int, message: str = "") -> Json:
    """A pod of a job that has ended; later numbers were made later."""
    made = pod(job, number)
    made["metadata"]["labels"]["batch.kubernetes.io/job-name"] = f"{RELEASE}-{job}"
    made["metadata"]["creationTimestamp"] = f"2026-01-01T09:00:0{number}Z"
    ended = {"exitCode": exit_code, "message": message, "startedAt": STARTED}
    status = {"state": {"terminated": ended | {"finishedAt": STARTED}}, "ready": False}
    made["status"]["phase"] = "Failed" if exit_code else "Succeeded"
    made["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
    made["status"]["containerStatuses"][0] |= status
    return made


def progressing(reason: str) -> Json:
    holds = "False" if reason == "ProgressDeadlineExceeded" else "True"
    return {"type": "Progressing", "status": holds, "reason": reason}


# What a pod's container does.
RUNS: Json = {"state": {"running": {"startedAt": STARTED}}, "ready": True, "restartCount": 0}
STARTS: Json = RUNS | {"ready": False}


def waits(reason: str, message: str = "") -> Json:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"state": state, "ready": False, "restartCount": 0}


# What has fetched a model, at the second try.
FETCHED: Json = {
    "state": {
        "terminated": {"exitCode": 0, "startedAt": STARTED, "finishedAt": STARTED},
    },
    "lastState": {
        "terminated": {"exitCode": 1, "message": "gone", "finishedAt": STARTED},
    },
    "ready": True,
    "restartCount": 1,
}


def crashed(message: str, reason: str = "Error", restarts: int = 3) -> Json:
    """Between two starts, as most of the time; `message` is the end of its log."""
    ended = {
        "exitCode": 137 if reason == "OOMKilled" else 1,
        "reason": reason,
        "message": message,
        "startedAt": STARTED,
        "finishedAt": STARTED,
    }
    later = waits("CrashLoopBackOff", "back-off 40s restarting failed container")
    return later | {"lastState": {"terminated": ended}, "restartCount": restarts}


def pod(
    component: str,
    number: int = 0,
    does: Json = RUNS,
    *,
    node: str = "node-1",
    claim: str = "",
    devices: int = 0,
    fetches: Json | None = None,
    release: str = RELEASE,
) -> Json:
    """`fetches`: what its first container does, which fetches a model."""
    made: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(f"{component}-{number}", component, release),
        "spec": _template(component, claim, devices) | {"nodeName": node},
    }
    container = made["spec"]["containers"][0]
    identity = {"name": container["name"], "image": container["image"], "imageID": "sha256:0"}
    running = "running" in does["state"] or "lastState" in does
    made["status"] = {
        "phase": "Running" if running else "Pending",
        "startTime": STARTED,
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": "True" if does["ready"] else "False"},
        ],
        "containerStatuses": [identity | does],
    }
    if fetches:
        fetching = {"name": "fetch-model", "image": "chatmesh/mesh:0.1.0", "imageID": "sha256:1"}
        made["status"]["initContainerStatuses"] = [fetching | fetches]
    return made


def unplaced(component: str, message: str, *, devices: int = 0) -> Json:
    """A pod that no node takes."""
    made = pod(component, devices=devices)
    del made["spec"]["nodeName"]
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    made["status"] = {"phase": "Pending", "conditions": [told | {"message": message}]}
    return made


def claim(
    component: str, phase: str = "Bound", storage_class: str = "", release: str = RELEASE
) -> Json:
    spec: Json = {"accessModes": ["ReadWriteOnce"]}
    if storage_class:
        spec["storageClassName"] = storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(component, component, release),
        "spec": spec,
        "status": {"phase": phase},
    }


def node(name: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {}},
        "spec": {},
    }


def scaled_object(component: str, *conditions: Json, **annotations: str) -> Json:
    """As KEDA has taken it up: `Ready`, unless conditions say otherwise."""
    made = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject"}
    target = {"scaleTargetRef": {"name": f"{RELEASE}-{component}"}}
    metadata = _metadata(component, component)
    if annotations:
        paused = {f"autoscaling.keda.sh/{k.replace('_', '-')}": v for k, v in annotations.items()}
        metadata["annotations"] = paused
    status = {"conditions": list(conditions or [{"type": "Ready", "status": "True"}])}
    return made | {"metadata": metadata, "spec": target, "status": status}


def admin_service(uses: str = "", secret: str = "chatmesh-admin-token") -> Json:
    """Leads to the gateway's administration and metrics."""
    metadata = _metadata("gateway-admin", "gateway")
    metadata["labels"]["chatmesh.io/admin"] = "true"
    metadata["annotations"] = {"chatmesh.io/token-secret": secret, "chatmesh.io/uses": uses}
    spec = {"type": "ClusterIP", "ports": [{"name": "admin", "port": 8001}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec, "status": {}}


def event(
    kind: str, name: str, reason: str, message: str, *, normal: bool = False, at: str = STARTED
) -> Json:
    about = {"kind": kind, "name": name, "namespace": NAMESPACE}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.{reason}.{at}", "namespace": NAMESPACE},
        "involvedObject": about,
        "type": "Normal" if normal else "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
    }


def put_out(component: str, reason: str, message: str) -> Json:
    """A pod that its node has ended, as eviction and full nodes do."""
    made = pod(component)
    made["status"] = {"phase": "Failed", "reason": reason, "message": message, "conditions": []}
    return made


def unready(component: str, *, ready: bool = False) -> Json:
    """A pod that has started and runs, and is not ready; `ready`: its container says it is."""
    made = pod(component)
    made["status"]["conditions"][1] = {"type": "Ready", "status": "False"}
    made["status"]["containerStatuses"][0] |= {"started": True, "ready": ready}
    return made

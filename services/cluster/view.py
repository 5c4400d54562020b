"""A release of chatmesh as its cluster shows it: services, pools, pods, and what they measure."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kubernetes import client
from kubernetes.client import ApiException
from prometheus_client.parser import text_string_to_metric_families

from services.cluster.workloads import GROUP_LABEL, Workload, Workloads

METRICS_PORT = 9090
_INFERENCE = "inference-"
# The order in which a turn meets them.
_ORDER = (
    *("gateway", "moderation", "context-assembly", "memory", "tokenizer"),
    *("inference", "tool-runner"),
)
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """One pod's metrics, by name and labels; empty where it could not be read."""

    samples: Mapping[str, Mapping[Labels, float]] = field(default_factory=dict)

    def one(self, name: str, **labels: str) -> float | None:
        return self.samples.get(name, {}).get(tuple(sorted(labels.items())))

    def total(self, name: str) -> float:
        return sum(self.samples.get(name, {}).values())


@dataclass(frozen=True, slots=True)
class Replica:
    """One pod."""

    name: str
    node: str
    ready: bool
    # In words: Running, Pending, Terminating, or why its container waits.
    phase: str
    restarts: int
    started: datetime | None
    raw: Any
    measured: Measured = Measured()


@dataclass(frozen=True, slots=True)
class Component:
    """A service, or a pool of inference."""

    workload: Workload
    # Its pods.
    replicas: Sequence[Replica]

    @property
    def name(self) -> str:
        return self.workload.component

    @property
    def pool(self) -> str:
        """The pool's name; empty for a service."""
        return self.name.removeprefix(_INFERENCE) if self.name.startswith(_INFERENCE) else ""


@dataclass(frozen=True, slots=True)
class PoolUse:
    """What the gateway knows of a pool's replicas."""

    held: int = 0
    running: int = 0
    waiting: int = 0
    slots: int = 0
    # 0 to 1, of the fullest replica.
    kv_cache_use: float = 0
    # 0 to 1, of all prompt tokens since the replicas started; None: there were none.
    cache_hits: float | None = None


@dataclass(frozen=True, slots=True)
class View:
    release: str
    namespace: str
    components: Sequence[Component]
    turns: int | None
    pools: Mapping[str, PoolUse]
    # The pods of jobs: what makes secrets, migrates stores, fetches weights.
    jobs: Sequence[Replica]

    def component(self, name: str) -> Component | None:
        return next((one for one in self.components if one.name == name), None)


class Cluster:
    """Reads what belongs to one release in one namespace."""

    def __init__(self, api: client.ApiClient, namespace: str, release: str) -> None:
        self.core = client.CoreV1Api(api)
        self.custom = client.CustomObjectsApi(api)
        self.namespace = namespace
        self.release = release
        self.workloads = Workloads(api, namespace, self.selector)

    @property
    def selector(self) -> str:
        return f"app.kubernetes.io/name=chatmesh,app.kubernetes.io/instance={self.release}"

    def view(self) -> View:
        workloads = list(self.workloads.all())
        pods = self.core.list_namespaced_pod(self.namespace, label_selector=self.selector).items
        with ThreadPoolExecutor(8) as pool:
            replicas = list(pool.map(self._replica, pods))
        components = sorted(
            (_component(one, replicas) for one in workloads), key=lambda one: _place(one.name)
        )
        gateways = [r.measured for c in components if c.name == "gateway" for r in c.replicas]
        told = [measured for measured in gateways if measured.samples]
        turns = int(sum(m.total("chatmesh_turns") for m in told)) if told else None
        pools = {c.pool: _use(c, told) for c in components if c.pool}
        jobs = [replica for replica in replicas if job_of(replica)]
        return View(self.release, self.namespace, components, turns, pools, jobs)

    def _replica(self, pod: Any) -> Replica:
        ready = any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())
        measured = self.measured(pod.metadata.name) if ready else Measured()
        return Replica(
            name=pod.metadata.name,
            node=pod.spec.node_name or "",
            ready=ready,
            phase=_phase(pod),
            restarts=sum(status.restart_count for status in statuses(pod)),
            started=pod.status.start_time,
            raw=pod,
            measured=measured,
        )

    def measured(self, pod: str) -> Measured:
        """Through the API server, which knows the way and who may go it."""
        try:
            text = self.core.connect_get_namespaced_pod_proxy_with_path(
                f"{pod}:{METRICS_PORT}", self.namespace, "metrics"
            )
        except ApiException:
            return Measured()
        return Measured(_samples(text))


def age(since: datetime | None) -> str:
    """As kubectl writes it, roughly."""
    if since is None:
        return "-"
    seconds = int((datetime.now(UTC) - since).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def job_of(replica: Replica) -> str:
    """The job that its pod is of; empty: of none."""
    name: str = replica.raw.metadata.labels.get("batch.kubernetes.io/job-name", "")
    return name


def _samples(text: str) -> Mapping[str, Mapping[Labels, float]]:
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def _place(name: str) -> tuple[int, str]:
    kind = "inference" if name.startswith(_INFERENCE) else name
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER), name)


def _component(workload: Workload, replicas: Iterable[Replica]) -> Component:
    """The workers of a group are no component's by their label: callers shall not find them."""
    own = [
        replica
        for replica in replicas
        if replica.raw.metadata.labels.get("app.kubernetes.io/component") == workload.component
        or replica.raw.metadata.labels.get(GROUP_LABEL) == workload.name
    ]
    return Component(workload, sorted(own, key=lambda replica: replica.name))


def statuses(pod: Any) -> Sequence[Any]:
    """Of its containers, in the order in which they run: what fetches a model comes first."""
    return [*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())]


def _phase(pod: Any) -> str:
    if pod.metadata.deletion_timestamp:
        return "Terminating"
    for status in statuses(pod):
        if status.state.waiting and status.state.waiting.reason:
            reason: str = status.state.waiting.reason
            return reason
    phase: str = pod.status.phase or "Unknown"
    return phase


def _use(component: Component, gateways: Sequence[Measured]) -> PoolUse:
    pool = component.pool

    def of(name: str) -> Iterable[float]:
        """Once for each replica, of which every gateway tells."""
        told: dict[Labels, float] = {}
        for gateway in gateways:
            for labels, value in gateway.samples.get(f"chatmesh_replica_{name}", {}).items():
                if ("pool", pool) in labels:
                    told[labels] = max(value, told.get(labels, 0))
        return told.values()

    held = sum(gateway.one("chatmesh_pool_held", pool=pool) or 0 for gateway in gateways)
    prompt = _tokens(component, "prompt")
    return PoolUse(
        held=int(held),
        running=int(sum(of("running"))),
        waiting=int(sum(of("waiting"))),
        slots=int(sum(of("slots"))),
        kv_cache_use=max(of("kv_cache_use"), default=0),
        cache_hits=_tokens(component, "cached") / prompt if prompt else None,
    )


def _tokens(component: Component, kind: str) -> float:
    name = "chatmesh_inference_tokens_total"
    return sum(replica.measured.one(name, kind=kind) or 0 for replica in component.replicas)

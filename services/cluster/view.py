"""A release of chatmesh on its cluster: its services, pools and pods, and the metrics of these."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kubernetes import client
from kubernetes.client import ApiException
from prometheus_client.parser import text_string_to_metric_families

from services.cluster.workloads import GROUP_LABEL, Workload, Workloads

METRICS_PORT = 9090
_CHART = "chatmesh"
_INFERENCE = "inference-"
# The services in the order in which a turn reaches them.
_ORDER = (
    *("gateway", "moderation", "context-assembly", "memory", "tokenizer"),
    *("inference", "tool-runner"),
)
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PodMetrics:
    """One pod's metrics, by name and labels. Empty if they could not be read."""

    samples: Mapping[str, Mapping[Labels, float]] = field(default_factory=dict)

    def one(self, name: str, **labels: str) -> float | None:
        return self.samples.get(name, {}).get(tuple(sorted(labels.items())))

    def total(self, name: str) -> float:
        return sum(self.samples.get(name, {}).values())


@dataclass(frozen=True, slots=True)
class Pod:
    name: str
    # Empty: no node has taken it yet.
    node: str
    ready: bool
    # In one word: Running, Pending, Terminating, or why its container waits.
    phase: str
    restarts: int
    started: datetime | None
    # The Kubernetes client's V1Pod.
    raw: Any
    metrics: PodMetrics = PodMetrics()


@dataclass(frozen=True, slots=True)
class Component:
    """A service, or a pool of inference."""

    workload: Workload
    pods: Sequence[Pod]

    @property
    def name(self) -> str:
        return self.workload.component

    @property
    def pool(self) -> str:
        """The pool's name; empty for a service."""
        return self.name.removeprefix(_INFERENCE) if self.name.startswith(_INFERENCE) else ""


@dataclass(frozen=True, slots=True)
class PoolUse:
    """What the gateways tell of a pool's replicas."""

    # Turns that wait for the pool to have a replica.
    held: int = 0
    running: int = 0
    waiting: int = 0
    slots: int = 0
    # Of the replica whose cache is fullest, 0 to 1.
    kv_cache_use: float = 0
    # The share of prompt tokens that were in the cache, 0 to 1, since the replicas started. None:
    # they have had no prompts.
    cache_hits: float | None = None


@dataclass(frozen=True, slots=True)
class View:
    release: str
    namespace: str
    components: Sequence[Component]
    # How many are running. None: no gateway tells.
    turns: int | None
    pools: Mapping[str, PoolUse]
    # The pods of the jobs that make secrets, migrate stores and fetch models.
    job_pods: Sequence[Pod]

    def component(self, name: str) -> Component | None:
        return next((one for one in self.components if one.name == name), None)


def releases(api: client.ApiClient) -> Iterator["Cluster"]:
    """All releases of all namespaces, by namespace and name."""
    found = client.CustomObjectsApi(api).list_cluster_custom_object(
        "apps", "v1", "deployments", label_selector=f"app.kubernetes.io/name={_CHART}"
    )
    places = {
        (one["metadata"]["namespace"], one["metadata"]["labels"]["app.kubernetes.io/instance"])
        for one in found["items"]
    }
    return (Cluster(api, *place) for place in sorted(places))


class Cluster:
    """Reads what belongs to one release in one namespace."""

    def __init__(self, api: client.ApiClient, namespace: str, release: str) -> None:
        self.api = api
        self.core = client.CoreV1Api(api)
        self.custom = client.CustomObjectsApi(api)
        self.namespace = namespace
        self.release = release
        self.workloads = Workloads(api, namespace, self.selector)

    @property
    def selector(self) -> str:
        return f"app.kubernetes.io/name={_CHART},app.kubernetes.io/instance={self.release}"

    def view(self) -> View:
        workloads = list(self.workloads.all())
        found = self.core.list_namespaced_pod(self.namespace, label_selector=self.selector).items
        with ThreadPoolExecutor(8) as pool:
            pods = list(pool.map(self._pod, found))
        components = sorted(
            (_component(one, pods) for one in workloads), key=lambda one: _place(one.name)
        )
        gateways = [pod for c in components if c.name == "gateway" for pod in c.pods]
        told = [pod.metrics for pod in gateways if pod.metrics.samples]
        if not told and any(pod.ready for pod in gateways):
            told = [each for each in (self._gateway_metrics(),) if each.samples]
        turns = int(sum(m.total("chatmesh_turns") for m in told)) if told else None
        pools = {c.pool: _use(c, told) for c in components if c.pool}
        job_pods = [pod for pod in pods if job_of(pod)]
        return View(self.release, self.namespace, components, turns, pools, job_pods)

    def _pod(self, raw: Any) -> Pod:
        ready = any(c.type == "Ready" and c.status == "True" for c in raw.status.conditions or ())
        return Pod(
            name=raw.metadata.name,
            node=raw.spec.node_name or "",
            ready=ready,
            phase=_phase(raw),
            restarts=sum(status.restart_count for status in statuses(raw)),
            started=raw.status.start_time,
            raw=raw,
            metrics=self.metrics(raw.metadata.name) if ready else PodMetrics(),
        )

    def metrics(self, pod: str) -> PodMetrics:
        """Read through the API server: it reaches every pod, and checks whether we may."""
        try:
            text = self.core.connect_get_namespaced_pod_proxy_with_path(
                f"{pod}:{METRICS_PORT}", self.namespace, "metrics"
            )
        except ApiException:
            return PodMetrics()
        return PodMetrics(_samples(text))

    def admin_service(self) -> Any | None:
        """The Service that leads to the gateway's administration and metrics; None: there is none.

        A release older than 0.2.0 has none.
        """
        selector = f"{self.selector},chatmesh.io/admin=true"
        found = self.core.list_namespaced_service(self.namespace, label_selector=selector).items
        return found[0] if found else None

    def _gateway_metrics(self) -> PodMetrics:
        """Those of one gateway, for whoever may not reach every pod: the viewer's role."""
        try:
            service = self.admin_service()
            if service is None:
                return PodMetrics()
            text = self.core.connect_get_namespaced_service_proxy_with_path(
                f"{service.metadata.name}:metrics", self.namespace, "metrics"
            )
        except ApiException:
            return PodMetrics()
        return PodMetrics(_samples(text))


def age(since: datetime | None) -> str:
    """How long ago that was, roughly as kubectl writes it."""
    if since is None:
        return "-"
    seconds = int((datetime.now(UTC) - since).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def job_of(pod: Pod) -> str:
    """The name of the job that the pod belongs to; empty: it belongs to none."""
    name: str = pod.raw.metadata.labels.get("batch.kubernetes.io/job-name", "")
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


def _component(workload: Workload, pods: Iterable[Pod]) -> Component:
    """The workload with its pods.

    Workers that a LeaderWorkerSet of an earlier release made have no label of their component: they
    are found by the name of their set.
    """
    own = [
        pod
        for pod in pods
        if pod.raw.metadata.labels.get("app.kubernetes.io/component") == workload.component
        or pod.raw.metadata.labels.get(GROUP_LABEL) == workload.name
    ]
    return Component(workload, sorted(own, key=lambda pod: pod.name))


def statuses(pod: Any) -> Sequence[Any]:
    """The states of a pod's containers, in the order in which they run: a fetching one is first."""
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


def _use(component: Component, gateways: Sequence[PodMetrics]) -> PoolUse:
    pool = component.pool

    def of(name: str) -> Iterable[float]:
        """A value for each replica. Every gateway tells of all of them; the highest counts."""
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
    return sum(pod.metrics.one(name, kind=kind) or 0 for pod in component.pods)

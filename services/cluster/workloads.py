"""What keeps a component's pods running.

That is a Deployment, or a LeaderWorkerSet where one replica is several pods. Both are read as the
API server's JSON, so that the same code does for both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes import client
from kubernetes.client import ApiException

# A label on every pod of a LeaderWorkerSet. Its value is the set's name.
GROUP_LABEL = "leaderworkerset.sigs.k8s.io/name"
_RESTARTED = "kubectl.kubernetes.io/restartedAt"
_FORBIDDEN, _NOT_FOUND = 403, 404


@dataclass(frozen=True, slots=True)
class WorkloadKind:
    group: str
    version: str
    plural: str
    # The paths of its pods' templates within its spec.
    templates: Sequence[Sequence[str]]


_DEPLOYMENT = WorkloadKind("apps", "v1", "deployments", [["template"]])
_GROUPS = WorkloadKind(
    "leaderworkerset.x-k8s.io",
    "v1",
    "leaderworkersets",
    [["leaderWorkerTemplate", "leaderTemplate"], ["leaderWorkerTemplate", "workerTemplate"]],
)


@dataclass(frozen=True, slots=True)
class Workload:
    """Counts replicas. A replica is one pod, or a group of pods in a LeaderWorkerSet."""

    kind: WorkloadKind
    name: str
    component: str
    version: str
    wanted: int
    replicas: int
    updated: int
    ready: int
    # Whether these numbers already tell of its newest spec, and not of the one before.
    current: bool
    # Whether its rollout has made no progress for longer than its deadline.
    stuck: bool
    # Why its pods cannot be made, such as a quota; empty: they can.
    failure: str

    @property
    def settled(self) -> bool:
        return self.current and self.updated == self.ready == self.replicas == self.wanted


class Workloads:
    """The workloads of one release in one namespace."""

    def __init__(self, api: client.ApiClient, namespace: str, selector: str) -> None:
        self._api = client.CustomObjectsApi(api)
        self._namespace = namespace
        self._selector = selector

    def all(self) -> Iterator[Workload]:
        yield from self._listed(_DEPLOYMENT)
        try:
            yield from self._listed(_GROUPS)
        except ApiException as error:
            # Most clusters have no LeaderWorkerSets, and most roles do not allow to list them.
            if error.status not in {_FORBIDDEN, _NOT_FOUND}:
                raise

    def _listed(self, kind: WorkloadKind) -> Iterator[Workload]:
        found = self._api.list_namespaced_custom_object(
            kind.group,
            kind.version,
            self._namespace,
            kind.plural,
            label_selector=self._selector,
        )
        return (_workload(kind, each) for each in found["items"])

    def again(self, workload: Workload) -> Workload:
        """The same workload, read anew."""
        found = self._api.get_namespaced_custom_object(*self._place(workload))
        return _workload(workload.kind, found)

    def scale(self, workload: Workload, replicas: int) -> None:
        body = {"spec": {"replicas": replicas}}
        self._api.patch_namespaced_custom_object_scale(*self._place(workload), body)

    def restart(self, workload: Workload) -> None:
        """Replaces all pods by new ones, by the workload's own strategy."""
        stamp = {"metadata": {"annotations": {_RESTARTED: datetime.now(UTC).isoformat()}}}
        spec: dict[str, Any] = {}
        for path in workload.kind.templates:
            inner = spec
            for step in path[:-1]:
                inner = inner.setdefault(step, {})
            inner[path[-1]] = stamp
        self._api.patch_namespaced_custom_object(*self._place(workload), {"spec": spec})

    def _place(self, workload: Workload) -> tuple[str, str, str, str, str]:
        kind = workload.kind
        return kind.group, kind.version, self._namespace, kind.plural, workload.name


def _workload(kind: WorkloadKind, found: Mapping[str, Any]) -> Workload:
    metadata, spec, status = found["metadata"], found["spec"], found.get("status", {})
    template = spec
    for step in kind.templates[0]:
        template = template[step]
    labels = template["metadata"]["labels"]
    return Workload(
        kind=kind,
        name=metadata["name"],
        component=labels["app.kubernetes.io/component"],
        version=labels.get("app.kubernetes.io/version", "?"),
        wanted=spec.get("replicas", 1),
        replicas=status.get("replicas", 0),
        updated=status.get("updatedReplicas", 0),
        ready=status.get("readyReplicas", 0),
        current=status.get("observedGeneration", 0) >= metadata["generation"],
        stuck=any(
            each["type"] == "Progressing" and each.get("reason") == "ProgressDeadlineExceeded"
            for each in status.get("conditions", ())
        ),
        failure=next(
            (
                each.get("message", "")
                for each in status.get("conditions", ())
                if each["type"] == "ReplicaFailure" and each["status"] == "True"
            ),
            "",
        ),
    )

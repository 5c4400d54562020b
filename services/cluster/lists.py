"""Lists of objects around a release, some of which may not be there, or not for us to see."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubernetes.client import ApiException

from services.cluster.view import Cluster

_FORBIDDEN, _NOT_FOUND = 403, 404
_USES = "chatmesh.io/uses"
Json = Mapping[str, Any]


class Lists:
    """Reads each kind once, and notes in `unseen` what may not be read."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.unseen: list[str] = []
        self._events: dict[tuple[str, str], Any] | None = None

    def uses(self) -> frozenset[str]:
        """Of what a cluster may lack, what the release says that it uses; nothing before 0.2.0."""
        service = self._read("services", self._cluster.admin_service, None)
        told = (service.metadata.annotations or {}).get(_USES, "") if service else ""
        return frozenset(told.split(",")) - {""}

    def custom(self, group: str, version: str, plural: str) -> Sequence[Json]:
        """Those of the release; none where the cluster has no such kind."""
        cluster = self._cluster
        found: Sequence[Json] = self._read(
            plural,
            lambda: cluster.custom.list_namespaced_custom_object(
                group, version, cluster.namespace, plural, label_selector=cluster.selector
            )["items"],
            (),
        )
        return found

    def claims(self) -> Sequence[Any]:
        """All of the namespace: some that pods name are not the release's own."""
        cluster = self._cluster
        found: Sequence[Any] = self._read(
            "persistentvolumeclaims",
            lambda: cluster.core.list_namespaced_persistent_volume_claim(cluster.namespace).items,
            (),
        )
        return found

    def services(self) -> Sequence[Any]:
        cluster = self._cluster
        found: Sequence[Any] = self._read(
            "services",
            lambda: (
                cluster.core.list_namespaced_service(
                    cluster.namespace, label_selector=cluster.selector
                ).items
            ),
            (),
        )
        return found

    def warned(self, kind: str, name: str) -> Any | None:
        """The last event of warning that is told of an object; None: there is none."""
        if self._events is None:
            self._events = {}
            for event in sorted(self._warnings(), key=_when):
                about = event.involved_object
                self._events[about.kind, about.name] = event
        return self._events.get((kind, name))

    def last_event(self, kind: str, name: str) -> Any | None:
        """Of any type; None: there is none, or it is forgotten, as events are after an hour."""
        cluster = self._cluster
        about = f"involvedObject.kind={kind},involvedObject.name={name}"
        found = self._read(
            "events",
            lambda: (
                cluster.core.list_namespaced_event(cluster.namespace, field_selector=about).items
            ),
            (),
        )
        return max(found, key=_when, default=None)

    def _warnings(self) -> Sequence[Any]:
        cluster = self._cluster
        found: Sequence[Any] = self._read(
            "events",
            lambda: (
                cluster.core.list_namespaced_event(
                    cluster.namespace, field_selector="type=Warning"
                ).items
            ),
            (),
        )
        return found

    def _read(self, kind: str, read: Callable[[], Any], nothing: Any) -> Any:
        try:
            return read()
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return nothing
            if error.status != _FORBIDDEN:
                raise
            if kind not in self.unseen:
                self.unseen.append(kind)
            return nothing


def _when(event: Any) -> str:
    """Of its last time, as text that sorts."""
    when = event.last_timestamp or event.event_time or event.metadata.creation_timestamp
    return when.isoformat() if when else ""

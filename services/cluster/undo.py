"""Takes a rollout back: a Deployment gets the template of pods that it had before."""

from collections.abc import Mapping
from typing import Any

from services.cluster.refusals import CannotDo
from services.cluster.view import Cluster
from services.cluster.workloads import Workload

_APPS = ("apps", "v1")
_REVISION = "deployment.kubernetes.io/revision"
# A ReplicaSet's own label, which Kubernetes adds to the template that it was given.
_HASH = "pod-template-hash"
_VERSION = "app.kubernetes.io/version"
Json = Mapping[str, Any]


def undo(cluster: Cluster, workload: Workload, to: int = 0) -> int:
    """Goes back to revision `to`, or with 0 to the one before. Says which. Raises CannotDo.

    The config is not taken back with it: pods read it from a ConfigMap, of which there is one.
    """
    if workload.kind.plural != "deployments":
        raise CannotDo(
            f"{workload.name} is a LeaderWorkerSet, which keeps no earlier templates: "
            f"`helm rollback {cluster.release}` takes the whole release back"
        )
    place = (*_APPS, cluster.namespace, "deployments", workload.name)
    deployment = cluster.custom.get_namespaced_custom_object(*place)
    now = int(deployment["metadata"]["annotations"][_REVISION])
    templates = _earlier(cluster, deployment, now)
    if not templates:
        raise CannotDo(f"{workload.name} has had no other template of pods: nothing to undo")
    revision = to or max(templates)
    if revision not in templates:
        known = ", ".join(map(str, sorted(templates)))
        raise CannotDo(f"{workload.name} has no revision {revision} besides {now}; it has: {known}")
    template = templates[revision]
    version = template["metadata"]["labels"].get(_VERSION, "?")
    if version != workload.version:
        raise CannotDo(
            f"revision {revision} is of release {version}, and the others stay {workload.version}: "
            f"`helm rollback {cluster.release}` takes all services back together; stores that were "
            "migrated stay so, as CHANGELOG.md says"
        )
    change = [{"op": "replace", "path": "/spec/template", "value": template}]
    cluster.custom.patch_namespaced_custom_object(
        *place, change, _content_type="application/json-patch+json"
    )
    return revision


def _earlier(cluster: Cluster, deployment: Json, now: int) -> Mapping[int, Json]:
    """The templates that are kept of the Deployment, but for the present one, by revision."""
    found = cluster.custom.list_namespaced_custom_object(
        *_APPS, cluster.namespace, "replicasets", label_selector=cluster.selector
    )
    uid = deployment["metadata"]["uid"]
    kept: dict[int, Json] = {}
    for each in found["items"]:
        owners = {owner["uid"] for owner in each["metadata"].get("ownerReferences", ())}
        revision = int(each["metadata"].get("annotations", {}).get(_REVISION, 0))
        if uid in owners and revision not in {0, now}:
            kept[revision] = _without_hash(each["spec"]["template"])
    return kept


def _without_hash(template: Json) -> Json:
    labels = {k: v for k, v in template["metadata"]["labels"].items() if k != _HASH}
    return {**template, "metadata": {**template["metadata"], "labels": labels}}

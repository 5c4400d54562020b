"""Whether a cluster has what an install needs: `kubectl chatmesh check --pre`."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Any

from kubernetes import client
from kubernetes.client import ApiException

from services.cluster.needs import PRODUCT, Needs
from services.cluster.view import Cluster

# As kubeVersion of the chart says; and since when images are volumes without a feature gate.
_LEAST, _IMAGE_VOLUMES = (1, 31), (1, 35)
_FORBIDDEN, _NOT_FOUND = 403, 404
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


class Readiness(Enum):
    FINE = "fine"
    MISSING = "missing"
    # It could not be looked at, or may come later.
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Check:
    what: str
    verdict: Readiness
    # What was found; for what is missing also what to do.
    told: str


def checks(cluster: Cluster, needs: Needs) -> Iterator[Check]:
    """In the order in which an install would stumble over them."""
    looks: Sequence[Callable[[Cluster, Needs], Iterator[Check]]] = (
        _version,
        _namespace,
        _rights,
        _definitions,
        _storage,
        _named_objects,
        _accelerators,
    )
    for look in looks:
        try:
            yield from look(cluster, needs)
        except ApiException as error:
            if error.status != _FORBIDDEN:
                raise
            what = look.__name__.strip("_").replace("_", " ")
            yield Check(what, Readiness.UNSURE, f"you may not look: {_words(error)}")


def _words(error: ApiException) -> str:
    found = re.search(r'"message":\s*"((?:[^"\\]|\\.)*)"', str(error.body))
    return found[1].replace('\\"', '"') if found else str(error.reason)


def _version(cluster: Cluster, needs: Needs) -> Iterator[Check]:
    told = client.VersionApi(cluster.api).get_code()
    version = int(told.major), int(re.sub(r"\D.*", "", told.minor))
    shown = f"Kubernetes {told.git_version}"
    if version < _LEAST:
        yield Check("version", Readiness.MISSING, f"{shown}; the chart needs 1.31 or later")
    else:
        yield Check("version", Readiness.FINE, shown)
    if needs.image_volumes and version < _IMAGE_VOLUMES:
        said = f"{shown}; a model from an image needs 1.35, or the feature gate ImageVolume"
        yield Check("image volumes", Readiness.UNSURE, said)


def _namespace(cluster: Cluster, needs: Needs) -> Iterator[Check]:
    what = f"namespace {cluster.namespace}"
    try:
        found = cluster.core.read_namespace(cluster.namespace)
    except ApiException as error:
        if error.status != _NOT_FOUND:
            raise
        yield Check(what, Readiness.UNSURE, "it is not there; helm install --create-namespace")
        return
    level = (found.metadata.labels or {}).get("pod-security.kubernetes.io/enforce", "none")
    if needs.locks_memory and level in {"restricted", "baseline"}:
        said = f"Pod Security is {level}; pools with rdma lock memory and need `privileged`"
        yield Check(what, Readiness.MISSING, said)
        return
    yield Check(what, Readiness.FINE, f"Pod Security is {level}")


def _rights(cluster: Cluster, needs: Needs) -> Iterator[Check]:
    api = client.AuthorizationV1Api(cluster.api)

    def denied(right: tuple[str, str, str]) -> str:
        verb, group, resource = right
        name, _, sub = resource.partition("/")
        attributes = client.V1ResourceAttributes(
            namespace=cluster.namespace, verb=verb, group=group, resource=name, subresource=sub
        )
        spec = client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
        review = client.V1SelfSubjectAccessReview(spec=spec)
        allowed = api.create_self_subject_access_review(review).status.allowed
        return "" if allowed else f"{verb} {resource}{f'.{group}' if group else ''}"

    with ThreadPoolExecutor(8) as pool:
        missing = [each for each in pool.map(denied, needs.rights()) if each]
    if missing:
        said = f"you may not: {', '.join(missing)}"
        yield Check("rights", Readiness.MISSING, f"{said}; the namespace's admin may")
    else:
        yield Check("rights", Readiness.FINE, f"all {len(needs.rights())} that an install needs")


def _definitions(cluster: Cluster, needs: Needs) -> Iterator[Check]:
    groups = {each.name for each in client.ApisApi(cluster.api).get_api_versions().groups}
    for what, group, remedy in needs.definitions():
        there = group in groups
        verdict = Readiness.FINE if there else Readiness.MISSING
        yield Check(what, verdict, f"{group} is {'there' if there else f'not there: {remedy}'}")


def _storage(cluster: Cluster, needs: Needs) -> Iterator[Check]:
    if not needs.storage_classes:
        return
    found = client.StorageV1Api(cluster.api).list_storage_class().items
    known = {each.metadata.name: each.metadata.annotations or {} for each in found}
    defaults = [name for name, notes in known.items() if notes.get(_DEFAULT_CLASS) == "true"]
    there = ", ".join(sorted(known)) or "none"
    for wanted in sorted(needs.storage_classes):
        if wanted and wanted not in known:
            said = f"there is no such class; there are: {there}"
            yield Check(f"storage class {wanted}", Readiness.MISSING, said)
        elif not wanted and not defaults:
            said = f"none is the default; there are: {there}: name one in storage.storageClass"
            yield Check("storage class", Readiness.MISSING, said)
        else:
            name = wanted or defaults[0]
            said = "it is there" if wanted else "it is the default"
            yield Check(f"storage class {name}", Readiness.FINE, said)


def _named_objects(cluster: Cluster, needs: Needs) -> Iterator[Check]:
    reads = {
        "secret": cluster.core.read_namespaced_secret,
        "claim": cluster.core.read_namespaced_persistent_volume_claim,
        "configmap": cluster.core.read_namespaced_config_map,
        "serviceaccount": cluster.core.read_namespaced_service_account,
    }
    for kind, name in sorted(needs.objects):
        try:
            reads[kind](name, cluster.namespace)
        except ApiException as error:
            if error.status not in {_FORBIDDEN, _NOT_FOUND}:
                raise
            missing = error.status == _NOT_FOUND
            said = "the values name it, and it is not there" if missing else "you may not look"
            verdict = Readiness.MISSING if missing else Readiness.UNSURE
            yield Check(f"{kind} {name}", verdict, said)
        else:
            yield Check(f"{kind} {name}", Readiness.FINE, "it is there")


def _accelerators(cluster: Cluster, needs: Needs) -> Iterator[Check]:
    if not needs.accelerators:
        return
    nodes = cluster.core.list_node().items
    for pool, wanted in needs.accelerators.items():
        labelled = [node for node in nodes if wanted.suits(node.metadata.labels or {})]
        fitting = [node for node in labelled if _has(node, wanted.resource) >= wanted.count]
        what = f"GPUs of pool {pool}"
        if fitting:
            said = f"{len(fitting)} nodes have {wanted.count} of {wanted.resource}"
            yield Check(what, Readiness.FINE, said)
            continue
        products = {(node.metadata.labels or {}).get(PRODUCT, "") for node in nodes} - {""}
        there = ", ".join(sorted(products)) or "none is labelled"
        lacking = "has enough of it" if labelled else f"is labelled so; products that are: {there}"
        said = f"it wants {wanted.count} of {wanted.shown}, and no node {lacking}"
        later = "the GPU operator labels them, and an autoscaler may bring one"
        yield Check(what, Readiness.UNSURE, f"{said}; {later}")


def _has(node: Any, resource: str) -> int:
    allocatable: Mapping[str, str] = node.status.allocatable or {}
    return int(allocatable.get(resource, 0))

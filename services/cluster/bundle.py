"""Packs what a bug report needs: how a release is, without words of conversations or secrets."""

import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes.client import ApiException

from services import __version__
from services.cluster import redaction
from services.cluster.doctor import examine
from services.cluster.tables import as_json
from services.cluster.view import METRICS_PORT, Cluster, Pod, View

_LINES = 2000
_README = """\
What `kubectl chatmesh bundle` has packed of a release of chatmesh.

Left out: Secrets; values of variables; what containers printed as they ended; of logs all but
numbers, ids, places in the code and the mesh's own sentences. Look through it before you send it.
"""
# Group, version and plural of what stands around the pods.
_KINDS = (
    ("apps", "v1", "deployments"),
    ("apps", "v1", "replicasets"),
    ("leaderworkerset.x-k8s.io", "v1", "leaderworkersets"),
    ("autoscaling", "v2", "horizontalpodautoscalers"),
    ("keda.sh", "v1alpha1", "scaledobjects"),
    ("gateway.networking.k8s.io", "v1", "httproutes"),
    ("gateway.networking.k8s.io", "v1", "grpcroutes"),
    ("networking.k8s.io", "v1", "ingresses"),
)
Part = tuple[str, str]


def pack(cluster: Cluster, file: Path) -> list[str]:
    """Writes a .tar.gz; says what could not be read. Raises FileExistsError."""
    view = cluster.view()
    missing: list[str] = []
    with file.open("xb") as writing, tarfile.open(fileobj=writing, mode="w:gz") as archive:
        for name, text in _parts(cluster, view, missing):
            _add(archive, name, text)
        _add(archive, "missing.json", _json(missing))
    return missing


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    member = tarfile.TarInfo(f"chatmesh-bundle/{name}")
    member.size, member.mtime = len(content), int(time.time())
    archive.addfile(member, io.BytesIO(content))


def _parts(cluster: Cluster, view: View, missing: list[str]) -> Iterator[Part]:
    pods = [*(pod for one in view.components for pod in one.pods), *view.job_pods]
    yield "README.txt", _README
    yield "view.json", _json(as_json(view))
    yield "findings.json", _json(_findings(cluster, view, pods, missing))
    yield "versions.json", _json({"plugin": __version__, "server": _server(cluster)})
    yield "pods.json", _manifests(cluster, [pod.raw for pod in pods])
    yield from _around(cluster, missing)
    for pod in pods:
        yield from _of_pod(cluster, pod, missing)


def _findings(cluster: Cluster, view: View, pods: list[Pod], missing: list[str]) -> Any:
    examined = examine(cluster, view)
    missing += examined.unseen
    quotes = redaction.said(pod.raw for pod in pods)
    return [
        {
            "where": one.where,
            "what": redaction.sentence(one.what, quotes),
            "remedy": one.remedy,
        }
        for one in examined.findings
    ]


def _server(cluster: Cluster) -> str:
    version: str = client.VersionApi(cluster.api).get_code().git_version
    return version


def _around(cluster: Cluster, missing: list[str]) -> Iterator[Part]:
    core, place = cluster.core, cluster.namespace
    chosen = {"label_selector": cluster.selector}
    kinds: dict[str, Callable[[], Any]] = {
        "services": lambda: core.list_namespaced_service(place, **chosen).items,
        "configmaps": lambda: core.list_namespaced_config_map(place, **chosen).items,
        "claims": lambda: core.list_namespaced_persistent_volume_claim(place, **chosen).items,
        "events": lambda: [
            event
            for event in core.list_namespaced_event(place).items
            if (event.involved_object.name or "").startswith(cluster.release)
        ],
    }
    for group, version, plural in _KINDS:
        kinds[plural] = lambda found=(group, version, place, plural): (  # type: ignore[misc]
            cluster.custom.list_namespaced_custom_object(*found, **chosen)["items"]
        )
    for kind, listed in kinds.items():
        found = _tried(kind, listed, missing)
        if found is not None:
            yield f"{kind}.json", _manifests(cluster, found)


def _of_pod(cluster: Cluster, pod: Pod, missing: list[str]) -> Iterator[Part]:
    metrics = _tried(
        f"metrics of {pod.name}",
        lambda: cluster.core.connect_get_namespaced_pod_proxy_with_path(
            f"{pod.name}:{METRICS_PORT}", cluster.namespace, "metrics"
        ),
        missing if pod.ready else [],
    )
    if metrics is not None:
        yield f"metrics/{pod.name}.txt", metrics
    spec = pod.raw.spec
    for container in [*(spec.init_containers or ()), *spec.containers]:
        for previous in (False, True):
            text = _tried(
                f"log of {pod.name}",
                lambda c=container.name, p=previous: cluster.core.read_namespaced_pod_log(  # type: ignore[misc]
                    pod.name, cluster.namespace, container=c, previous=p, tail_lines=_LINES
                ),
                [] if previous else missing,
            )
            if text:
                name = f"{container.name}{'.previous' if previous else ''}.log"
                lines = redaction.log(text.splitlines())
                yield f"logs/{pod.name}/{name}", "\n".join(lines) + "\n"


def _tried(what: str, read: Callable[[], Any], missing: list[str]) -> Any:
    try:
        return read()
    except ApiException as error:
        missing.append(f"{what}: {error.status} {error.reason}")
        return None


def _manifests(cluster: Cluster, found: list[Any]) -> str:
    plain = cluster.api.sanitize_for_serialization(found)
    return _json([redaction.manifest(each) for each in plain])


def _json(thing: Any) -> str:
    return json.dumps(thing, indent=2, default=str) + "\n"

"""What may be typed next: names of pools, components, pods and nodes, as the cluster has them."""

from collections.abc import Callable, Iterator, Sequence

import click
from click.shell_completion import CompletionItem, ShellComplete
from kubernetes.client import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from services.cluster.opening import ReleaseOptions, opened
from services.cluster.view import Cluster

# Where click reads that it is asked for completions.
VARIABLE = "_KUBECTL_CHATMESH_COMPLETE"
# What kubectl reads after the candidates: no names of files beside them.
_NO_FILES = ":4"
_INFERENCE = "inference-"
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def candidates(command: click.Command, words: Sequence[str]) -> Iterator[str]:
    """The lines that kubectl asks `kubectl_complete-chatmesh` for; the last word is not whole."""
    *before, begun = words or [""]
    completing = ShellComplete(command, {}, "kubectl chatmesh", VARIABLE)
    for item in completing.get_completions(before, begun):
        yield f"{item.value}\t{item.help}" if item.help else str(item.value)
    yield _NO_FILES


def pools(cluster: Cluster) -> Iterator[str]:
    names = (one.component for one in cluster.workloads.all())
    return (name.removeprefix(_INFERENCE) for name in names if name.startswith(_INFERENCE))


def components(cluster: Cluster) -> Iterator[str]:
    return (one.component.removeprefix(_INFERENCE) for one in cluster.workloads.all())


def pods_and_nodes(cluster: Cluster) -> Iterator[str]:
    found = cluster.core.list_namespaced_pod(cluster.namespace, label_selector=cluster.selector)
    for pod in found.items:
        yield pod.metadata.name
    yield from {pod.spec.node_name for pod in found.items if pod.spec.node_name}


def named(names: Callable[[Cluster], Iterator[str]]) -> Complete:
    """Completes an argument by the names in the release that the options before it mean."""

    def complete(given: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
        try:
            found = sorted(set(names(opened(_options(given)))))
        except (ApiException, ConfigException, HTTPError):
            # Whoever types on hears why from the command itself.
            return []
        return [CompletionItem(name) for name in found if name.startswith(begun)]

    return complete


def _options(given: click.Context) -> ReleaseOptions:
    """While completing, no command has run that could have put them together."""
    params = given.parent.params if given.parent else {}
    keys = ("release", "namespace", "context", "kubeconfig")
    return ReleaseOptions(*(params.get(key) or "" for key in keys))

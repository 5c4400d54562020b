"""A pool of two nodes a replica on simulated nodes: its pods fit these, and no others.

The cluster needs no LeaderWorkerSet controller: the pods are made here of the set's templates, with
the labels that it gives them. `tests/cluster/definitions` applies the set's definition.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.charts.conftest import Manifest, named
from tests.cluster.test_chart_dry_run import kubectl, of, placed, pytestmark, space

__all__ = ["pytestmark", "space"]
POOL: Manifest = {
    "name": "big",
    "replicas": 1,
    "nodes": 2,
    "tensorParallel": 8,
    "pipelineParallel": 2,
    "gpu": {"preset": "h100", "count": 8},
    "model": {"name": "m", "source": {"bundled": True}, "contextTokens": 4096},
    "resources": {"limits": {"memory": "800Gi"}},
    "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
}
_INDEX = "leaderworkerset.sigs.k8s.io/worker-index"


def simulated() -> Mapping[str, str]:
    """The GPUs of each simulated node, by its name."""
    told = kubectl("get", "nodes", "-l", "chatmesh.io/node=fake", "-o", "json")
    assert told.returncode == 0, told.stderr
    label = "nvidia.com/gpu.product"
    nodes = [one["metadata"] for one in json.loads(told.stdout)["items"]]
    return {one["name"]: one["labels"][label] for one in nodes}


def group_pods(group: Manifest) -> list[Manifest]:
    """As the controller makes them; who finds whom it tells by these variables."""
    template = group["spec"]["leaderWorkerTemplate"]
    made = []
    for index, part in enumerate(("leaderTemplate", "workerTemplate")):
        pod = copy.deepcopy(template[part]) | {"apiVersion": "v1", "kind": "Pod"}
        pod["metadata"] |= {"name": f"big-0-{index}"}
        pod["metadata"]["labels"][_INDEX] = str(index)
        made.append(pod)
    return made


@pytest.fixture(scope="module")
def pods(space: str) -> Iterator[Mapping[str, Any]]:
    """The pods by name, once they run."""
    if not simulated():
        pytest.skip("needs simulated GPU nodes, as ../shared/cluster/fake-nodes makes them")
    manifests = [*of({"inference": {"pools": [POOL]}})]
    (group,) = named(manifests, "LeaderWorkerSet").values()
    whole = placed([*manifests, *group_pods(group)], space)
    made = kubectl("apply", "--validate=strict", "--filename", "-", given=whole)
    assert made.returncode == 0, made.stderr
    names = [f"pod/big-0-{index}" for index in range(2)]
    ready = ("wait", "--for=jsonpath={.status.phase}=Running", "--timeout=120s", *names)
    waited = kubectl("-n", space, *ready)
    told = kubectl("-n", space, "get", *names, "-o", "json")
    assert waited.returncode == 0, waited.stderr + told.stdout[-2000:]
    yield {one["metadata"]["name"]: one for one in json.loads(told.stdout)["items"]}
    kubectl("delete", "--wait=false", "--filename", "-", given=whole)


def test_leader_and_worker_land_on_two_nodes_of_the_gpu_and_take_all_of_them(
    pods: Mapping[str, Any],
) -> None:
    nodes = simulated()
    places = [pod["spec"]["nodeName"] for pod in pods.values()]
    assert len(set(places)) == 2
    assert {nodes[place] for place in places} == {"NVIDIA-H100-80GB-HBM3"}
    for pod in pods.values():
        (container,) = pod["spec"]["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"


def test_the_leader_alone_is_found_by_its_service(pods: Mapping[str, Any], space: str) -> None:
    told = kubectl("-n", space, "get", "service", "chatmesh-leaders-big", "-o", "json")
    assert told.returncode == 0, told.stderr
    selector: Mapping[str, str] = json.loads(told.stdout)["spec"]["selector"]
    found = [
        name for name, pod in pods.items() if selector.items() <= pod["metadata"]["labels"].items()
    ]
    assert found == ["big-0-0"]

"""Pools on simulated nodes with A100 and H100: where they land, what they ask, how they spread."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from kubernetes import client

from tests.cluster.site import Site, Values, labelled, scripted_pool, values

SIMULATED = [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]
pytestmark = [pytest.mark.timeout(300)]


def gpu_pool(name: str, replicas: int, tensor_parallel: int = 1, **gpu: Any) -> Values:
    made = scripted_pool(name)
    del made["image"]
    return made | {
        "replicas": replicas,
        "gpu": gpu,
        "tensorParallel": tensor_parallel,
        "tolerations": SIMULATED,
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
    }


@pytest.fixture(scope="module")
def nodes(here: Site) -> Iterator[Mapping[str, Any]]:
    """The simulated nodes by name, with the pools installed."""
    found = here.core.list_node(label_selector="chatmesh.io/node=fake").items
    if not found:
        pytest.skip("needs simulated GPU nodes, as ../shared/cluster/fake-nodes makes them")
    pools = [
        gpu_pool("h100-8", 2, 8, preset="h100", count=8),
        gpu_pool("a100-1", 4, preset="a100", count=1),
        gpu_pool("h100-nvl", 1, products=["NVIDIA-H100-NVL"], count=1),
        gpu_pool("a100-sxm", 1, products=["NVIDIA-A100-SXM4-80GB"], count=1),
    ]
    here.helm("install", values=values(inference={"pools": pools}))
    yield {node.metadata.name: node for node in found}
    here.helm("uninstall", "--wait")


@pytest.mark.parametrize(
    ("pool", "replicas", "gpus", "products"),
    [
        ("h100-8", 2, "8", {"NVIDIA-H100-80GB-HBM3"}),
        ("a100-1", 4, "1", {"NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-80GB-PCIe"}),
        ("h100-nvl", 1, "1", {"NVIDIA-H100-NVL"}),
        ("a100-sxm", 1, "1", {"NVIDIA-A100-SXM4-80GB"}),
    ],
)
def test_a_pool_lands_on_its_gpus_and_asks_for_them(  # noqa: PLR0917 - a row of the table
    here: Site,
    nodes: Mapping[str, client.V1Node],
    pool: str,
    replicas: int,
    gpus: str,
    products: set[str],
) -> None:
    pods = placed(here, pool, replicas)
    landed = {nodes[pod.spec.node_name].metadata.labels["nvidia.com/gpu.product"] for pod in pods}
    assert landed <= products
    for pod in pods:
        resources = pod.spec.containers[0].resources
        assert resources.limits["nvidia.com/gpu"] == resources.requests["nvidia.com/gpu"] == gpus
    here.tell(f"pool {pool}: {replicas} x {gpus} GPU on {sorted(p.spec.node_name for p in pods)}")


def test_replicas_spread_over_nodes(here: Site, nodes: Mapping[str, client.V1Node]) -> None:
    counted = Counter(pod.spec.node_name for pod in placed(here, "a100-1", 4))
    suitable = [n for n, node in nodes.items() if "A100" in product(node) and n != "nca100-1"]
    assert set(counted) >= set(suitable)
    assert max(counted.values()) - min(counted[name] for name in suitable) <= 1


def product(node: client.V1Node) -> str:
    name: str = node.metadata.labels["nvidia.com/gpu.product"]
    return name


def placed(here: Site, pool: str, replicas: int) -> list[Any]:
    pods = here.until_pods(
        lambda found: sum(bool(pod.spec.node_name) for pod in found.values()) == replicas,
        seconds=60,
        label_selector=labelled(f"inference-{pool}"),
    )
    return list(pods.values())

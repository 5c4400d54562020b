"""KEDA asks the gateway: a burst, to zero, and the first request that wakes a pool."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from kubernetes import client, config
from kubernetes.client import ApiException

from tests.cluster.site import Site, image, labelled, ready, scripted_pool, values

ASK = "say 60 words at 10 a second"
IDLE_SECONDS = 10
# vLLM itself, which `make cluster-images` does not build.
ENGINE = "inference-cpu"
pytestmark = [pytest.mark.timeout(900)]


def scaling(most: int) -> dict[str, object]:
    return {
        "enabled": True,
        "minReplicas": 0,
        "maxReplicas": most,
        "cooldownSeconds": IDLE_SECONDS,
        "stabilizationSeconds": 0,
        "targets": {"slotsPercent": 80},
    }


REAL = {
    "name": "real",
    "model": {
        "name": "chatmesh-demo",
        "source": {"bundled": True},
        "contextTokens": 4096,
        "callsTools": True,
    },
    "replicas": 0,
    "config": {"cpu_kv_cache_gib": 1, "grace_seconds": 60},
    "resources": {"requests": {"cpu": "200m", "memory": "2Gi"}, "limits": {"memory": "5Gi"}},
    "loadSeconds": 300,
    "scaling": scaling(1),
}


def needs_keda() -> None:
    config.load_kube_config()
    definitions = client.ApiextensionsV1Api()
    try:
        definitions.read_custom_resource_definition("scaledobjects.keda.sh")
    except ApiException:
        pytest.skip("needs KEDA: the cluster does not know ScaledObject")


@pytest.fixture(scope="module")
def mesh(here: Site) -> Iterator[Site]:
    needs_keda()
    pools = [scripted_pool(scaling=scaling(4))]
    if here.has_image(image(ENGINE)):  # its pod would wait for it, and the installation with it
        pools.append(REAL)
    here.install(values(keda={"enabled": True, "pollingSeconds": 2}, inference={"pools": pools}))
    yield here
    here.helm("uninstall", "--wait")


def asleep(mesh: Site, pool: str) -> float:
    """Seconds until no pod of it is left."""
    began = time.monotonic()
    mesh.until_pods(lambda pods: not pods, label_selector=labelled(f"inference-{pool}"))
    return time.monotonic() - began


async def test_a_sleeping_pool_is_woken_by_its_first_request(mesh: Site) -> None:
    await asyncio.to_thread(asleep, mesh, "scripted")
    async with mesh.traffic(1, ASK) as traffic:
        await traffic.finished(1)
    assert traffic.failures() == []
    first = traffic.turns[0]
    mesh.tell(f"0 -> 1, scripted engine: {first.seconds - 6:.1f} s until it answered")


async def test_a_burst_gets_more_replicas_and_their_absence_afterwards(mesh: Site) -> None:
    await burst(mesh)


async def burst(mesh: Site) -> None:
    began = time.monotonic()
    async with mesh.traffic(28, ASK) as traffic:
        await asyncio.to_thread(
            mesh.until_pods,
            lambda pods: sum(map(ready, pods.values())) == 4,
            label_selector=labelled("inference-scripted"),
        )
        grown = time.monotonic() - began
        await traffic.finished(28)
    assert traffic.failures() == []
    shrunk = await asyncio.to_thread(asleep, mesh, "scripted")
    mesh.tell(
        f"burst of 28 streams on pools of 8 slots: 4 replicas ready after {grown:.0f} s; "
        f"0 of {len(traffic.turns)} turns failed; asleep {shrunk:.0f} s after the last "
        f"(cool-down {IDLE_SECONDS} s)"
    )


async def test_real_vllm_is_woken_by_its_first_request(mesh: Site) -> None:
    if not mesh.has_image(image(ENGINE)):
        pytest.skip(f"needs the image {image(ENGINE)}: `make images TARGETS={ENGINE}`")
    await asyncio.to_thread(asleep, mesh, "real")
    async with mesh.traffic(1, "what is 17 times 23?", model="chatmesh-demo") as traffic:
        await traffic.finished(1)
    assert traffic.failures() == []
    mesh.tell(
        f"0 -> 1, real vLLM: answered after {traffic.turns[0].seconds:.0f} s, longest silence "
        f"on the wire {traffic.turns[0].silence:.1f} s"
    )

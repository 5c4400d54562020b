"""KEDA asks one of three gateways, whichever it gets: the answer is that of all of them."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.cluster.site import Site, labelled, merged, scripted_pool
from tests.cluster.test_keda import ASK, asleep, burst, needs_keda, scaling
from tests.cluster.test_several import ha_values, stores

pytestmark = [pytest.mark.timeout(900)]
GATEWAY_PORT = 8000


@pytest.fixture(scope="module")
def mesh(here: Site) -> Iterator[Site]:
    needs_keda()
    stores(here)
    keda = {"enabled": True, "pollingSeconds": 2}
    pools = [scripted_pool(scaling=scaling(4))]
    here.install(merged(ha_values(), {"keda": keda, "inference": {"pools": pools}}))
    yield here
    here.helm("uninstall", "--wait")


async def test_a_request_held_at_any_gateway_wakes_the_pool(mesh: Site) -> None:
    gateways = mesh.core.list_namespaced_pod(mesh.namespace, label_selector=labelled("gateway"))
    assert len(gateways.items) == 3
    for number, pod in enumerate(gateways.items, 1):
        await asyncio.to_thread(asleep, mesh, "scripted")
        at = f"http://{pod.status.pod_ip}:{GATEWAY_PORT}"
        async with mesh.traffic(1, ASK, at=at) as traffic:
            await traffic.finished(1)
        assert traffic.failures() == []
        waited = traffic.turns[0].seconds - 6
        mesh.tell(f"0 -> 1, held at gateway {number} of 3: {waited:.1f} s until it answered")


async def test_a_burst_over_all_gateways_gets_replicas_as_at_one(mesh: Site) -> None:
    await asyncio.to_thread(asleep, mesh, "scripted")
    await burst(mesh)

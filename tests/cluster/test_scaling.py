"""Each service scaled 1 -> 3 -> 1 alone under load: nobody notices, and new replicas work."""

import asyncio
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.cluster.site import Site, labelled, ready, values

ASK = "first compute 17 * 23, then say 40 words at 20 a second"
pytestmark = [pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def mesh(here: Site) -> Iterator[Site]:
    here.install(values())
    yield here
    here.helm("uninstall", "--wait")


@pytest.mark.parametrize(
    "component", ["tokenizer", "moderation", "tool-runner", "inference-scripted"]
)
async def test_scaled_alone_under_load(mesh: Site, component: str) -> None:
    await asyncio.to_thread(scaled, mesh, component, 1)
    old = {replica.name for replica in mesh.replicas(component)}
    async with mesh.traffic(12, ASK) as traffic:
        await traffic.finished(12)
        mesh.scale(component, 3)
        added = await new(mesh, component, old)
        served = await asyncio.gather(
            *(asyncio.to_thread(served_after, mesh, name) for name in added)
        )
        await traffic.finished(24)
        await asyncio.to_thread(scaled, mesh, component, 1)
        await traffic.finished(12)
    assert traffic.failures() == []
    waits = ", ".join(f"{seconds:.2f} s" for seconds in served)
    mesh.tell(
        f"{component} 1 -> 3 -> 1: 0 of {len(traffic.turns)} turns failed; new replicas worked "
        f"{waits} after they were ready"
    )


def scaled(mesh: Site, component: str, replicas: int) -> None:
    mesh.scale(component, replicas)
    mesh.settled(component)


async def new(mesh: Site, component: str, old: set[str]) -> Sequence[str]:
    pods = await asyncio.to_thread(
        mesh.until_pods, lambda found: len(found) == 3, label_selector=labelled(component)
    )
    return [name for name in pods if name not in old]


def served_after(mesh: Site, name: str) -> float:
    """Seconds from a pod's readiness to its first call, as seen from here."""
    field = f"metadata.name={name}"
    mesh.until_pods(lambda pods: ready(pods[name]), field_selector=field)
    began = time.monotonic()
    while not worked(mesh, name):
        assert time.monotonic() - began < 60, f"{name} is ready and nobody calls it"
    return time.monotonic() - began


def worked(mesh: Site, name: str) -> bool:
    methods = mesh.cluster.measured(name).samples.get("chatmesh_rpc_running", {})
    return any(not dict(labels)["method"].endswith("/WatchLoad") for labels in methods)

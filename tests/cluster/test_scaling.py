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


CALLS = """
import asyncio, sys
from services.tokenizer.client import connect_tokenizer

async def call():
    async with connect_tokenizer(sys.argv[1], timeout=10) as tokenizer:
        for _ in range(40):
            await tokenizer.encode("scripted", "a word")

asyncio.run(call())
"""


@pytest.mark.parametrize(("service", "shared"), [("pinned", False), ("chatmesh-tokenizer", True)])
def test_calls_are_spread_where_a_plain_service_pins_them(
    mesh: Site, service: str, *, shared: bool
) -> None:
    """The control: one connection to a ClusterIP is one pod's for as long as it lasts."""
    scaled(mesh, "tokenizer", 2)
    before = encoded(mesh)
    address = f"kubernetes:{service}:50052"
    if not shared:
        pinned(mesh, service)
        address = f"{service}:50052"
    caller = mesh.replicas("context-assembly")[0].name
    mesh.kubectl("exec", caller, "--", "python", "-c", CALLS, address)
    after = encoded(mesh)
    assert sum(after) - sum(before) == 40
    idle = [old for old, new in zip(before, after, strict=True) if old == new]
    assert len(idle) == (0 if shared else 1)


def encoded(mesh: Site) -> list[float]:
    """Calls of `Encode` that each replica has answered."""
    return [
        sum(
            calls
            for labels, calls in replica.metrics.samples.get(
                "chatmesh_rpc_handled_total", {}
            ).items()
            if dict(labels)["method"].endswith("/Encode")
        )
        for replica in mesh.replicas("tokenizer")
    ]


def pinned(mesh: Site, name: str) -> None:
    """What a chart that knows nothing of HTTP/2 would have made."""
    selector = dict(pair.split("=") for pair in labelled("tokenizer").split(","))
    spec = {"selector": selector, "ports": [{"port": 50052, "targetPort": "grpc"}]}
    mesh.core.create_namespaced_service(mesh.namespace, {"metadata": {"name": name}, "spec": spec})


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
    methods = mesh.cluster.metrics(name).samples.get("chatmesh_rpc_running", {})
    return any(not dict(labels)["method"].endswith("/WatchLoad") for labels in methods)

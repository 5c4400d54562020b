"""Each service's pod deleted, evicted, killed under load. Undisturbed load is the control."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from kubernetes.client import V1Eviction, V1ObjectMeta

from tests.cluster.site import Site, labelled, ready, values

STREAMS = 12
ASK = "first compute 17 * 23, then say 20 words at 10 a second"
SEVERAL = ("tokenizer", "moderation", "tool-runner", "inference-scripted")
SINGLE = ("gateway", "context-assembly", "memory")
PATIENCE_SECONDS = 60
# The service is the first process after tini.
KILL = (
    "import os; pids = [int(name) for name in os.listdir('/proc') if name.isdigit()];"
    "os.kill(min(pid for pid in pids if pid > 1), 9)"
)
pytestmark = [pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def mesh(here: Site) -> Iterator[Site]:
    here.install(values())
    yield here
    here.helm("uninstall", "--wait")


async def test_undisturbed_turns_end_well(mesh: Site) -> None:
    async with mesh.traffic(STREAMS, ASK) as traffic:
        await traffic.finished(3 * STREAMS)
    assert traffic.failures() == []


@pytest.mark.parametrize("way", ["delete", "evict"])
@pytest.mark.parametrize("component", SEVERAL + SINGLE)
async def test_a_pod_that_goes_takes_no_turn_with_it(mesh: Site, component: str, way: str) -> None:
    patience = PATIENCE_SECONDS if component in SINGLE else 0
    victim = mesh.replicas(component)[0].name
    async with mesh.traffic(STREAMS, ASK, patience=patience) as traffic:
        await traffic.finished(STREAMS)
        await asyncio.to_thread(remove, mesh, victim, way)
        await asyncio.to_thread(replaced, mesh, component, victim)
        await traffic.finished(2 * STREAMS)
    assert traffic.failures() == []
    mesh.tell(
        f"{way} {component}: 0 of {len(traffic.turns)} turns failed, longest wait to be taken "
        f"{traffic.longest_wait:.1f} s, longest silence {traffic.longest_silence:.1f} s"
    )


@pytest.mark.parametrize("component", SEVERAL + SINGLE)
async def test_a_killed_process_fails_turns_with_a_typed_error_and_not_those_after(
    mesh: Site, component: str
) -> None:
    victim = mesh.replicas(component)[0]
    async with mesh.traffic(STREAMS, ASK, patience=PATIENCE_SECONDS) as traffic:
        await traffic.finished(STREAMS)
        await asyncio.to_thread(mesh.kubectl, "exec", victim.name, "--", "python", "-c", KILL)
        await asyncio.to_thread(restarted, mesh, component, victim.name, victim.restarts)
        await traffic.finished(2 * STREAMS)
    async with mesh.traffic(STREAMS, ASK) as after:
        await after.finished(STREAMS)
    assert after.failures() == []
    failures = traffic.failures()
    if component == "gateway":  # whoever held the connection is no more
        assert all("the stream ended" in told or "Error" in told for told in failures)
    else:
        assert all("service_unavailable" in told for told in failures), failures
    mesh.tell(
        f"SIGKILL {component}: {len(failures)} of {len(traffic.turns)} turns failed, longest wait "
        f"{traffic.longest_wait:.1f} s; then 0 of {len(after.turns)}"
    )


def remove(mesh: Site, pod: str, way: str) -> None:
    if way == "delete":
        mesh.kubectl("delete", "pod", pod, "--wait=false")
    else:
        eviction = V1Eviction(metadata=V1ObjectMeta(name=pod))
        mesh.core.create_namespaced_pod_eviction(pod, mesh.namespace, eviction)


def replaced(mesh: Site, component: str, victim: str) -> None:
    mesh.until_pods(
        lambda pods: victim not in pods and all(map(ready, pods.values())) and bool(pods),
        label_selector=labelled(component),
    )


def restarted(mesh: Site, component: str, victim: str, restarts: int) -> None:
    def back(pods: Mapping[str, Any]) -> bool:
        pod = pods[victim]
        return ready(pod) and pod.status.container_statuses[0].restart_count > restarts

    mesh.until_pods(back, label_selector=labelled(component))

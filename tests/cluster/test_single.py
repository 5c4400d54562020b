"""One replica of each, and their pods deleted in turn: who asks again is served."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.cluster.site import Site, local_values, scripted_pool
from tests.cluster.test_faults import PATIENCE_SECONDS, SEVERAL, SINGLE, remove, replaced

CLIENTS, TURNS = 12, 500
ASK = "first compute 17 * 23, then say 10 words at 20 a second"
pytestmark = [pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def mesh(here: Site) -> Iterator[Site]:
    made = local_values()
    made["inference"]["pools"] = [scripted_pool(replicas=1)]
    here.install(made)
    yield here
    here.helm("uninstall", "--wait")


async def test_pods_deleted_in_turn_fail_no_turn(mesh: Site) -> None:
    deleted = 0
    async with mesh.traffic(CLIENTS, ASK, patience=PATIENCE_SECONDS) as traffic:
        await traffic.finished(CLIENTS)
        while not deleted or len(traffic.turns) < TURNS:
            for component in SEVERAL + SINGLE:
                (victim,) = mesh.replicas(component)
                await asyncio.to_thread(remove, mesh, victim.name, "delete")
                await asyncio.to_thread(replaced, mesh, component, victim.name)
                await traffic.finished(CLIENTS)
                deleted += 1
    assert traffic.failures() == []
    assert len(traffic.turns) >= TURNS
    mesh.tell(
        f"one replica of each, {deleted} pods deleted in turn under {CLIENTS} clients: 0 of "
        f"{len(traffic.turns)} turns failed, longest wait {traffic.longest_wait:.1f} s, "
        f"longest silence {traffic.longest_silence:.1f} s"
    )

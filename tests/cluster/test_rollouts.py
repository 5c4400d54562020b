"""Upgrades and rollbacks with fifty turns under way."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from services.cluster.view import Component
from tests.cluster.site import Site, Values, images, merged, scripted_pool, values

STREAMS = 50
ASK = "first compute 17 * 23, then say 40 words at 10 a second"
SEVERAL = ("tokenizer", "moderation", "tool-runner", "inference-scripted")
SINGLE = ("gateway", "context-assembly", "memory")
# How long a client asks again for a turn that nobody has taken, as its own deadline says.
PATIENCE_SECONDS = 60
pytestmark = [pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def mesh(here: Site) -> Iterator[Site]:
    here.install(values())
    yield here
    here.helm("uninstall", "--wait")


def chattier(level: str) -> Values:
    """Another config for all that has two replicas."""
    services = {name: {"config": {"log_level": level}} for name in SEVERAL[:-1]}
    pool = scripted_pool()
    pool["config"] |= {"log_level": level}
    return merged(values(), services | {"inference": {"pools": [pool]}})


def components(mesh: Site) -> list[Component]:
    return list(mesh.cluster.view().components)


@pytest.mark.parametrize("level", ["ERROR", "DEBUG", "WARNING"])
async def test_a_new_config_at_two_replicas_is_noticed_by_nobody(mesh: Site, level: str) -> None:
    before = pods(mesh)
    async with mesh.traffic(STREAMS, ASK) as traffic:
        await traffic.finished(STREAMS)
        await upgraded(mesh, chattier(level))
        await traffic.finished(STREAMS)
    assert all(not before[name] & pods(mesh)[name] for name in SEVERAL), "no pod was replaced"
    assert traffic.failures() == []
    mesh.tell(
        f"upgrade with a new config, two replicas: 0 of {len(traffic.turns)} turns failed, "
        f"longest silence {traffic.longest_silence:.1f} s"
    )


async def test_a_new_image_and_back(mesh: Site) -> None:
    """Embedded stores have one replica each: who asks again is served, and no stream breaks."""
    prefix, _ = images()
    new = values(images={"tag": os.environ["NEXT_TAG"]})
    pool = scripted_pool(image=f"{prefix}scripted:{os.environ['NEXT_TAG']}")
    new["inference"]["pools"] = [pool]
    for step in ("upgrade with a new image", "rollback"):
        before = pods(mesh)
        async with mesh.traffic(STREAMS, ASK, patience=PATIENCE_SECONDS) as traffic:
            await traffic.finished(STREAMS)
            if step == "rollback":
                await asyncio.to_thread(mesh.helm, "rollback", "--wait", "--timeout=600s")
            else:
                await upgraded(mesh, new)
            await traffic.finished(STREAMS)
        assert all(not before[name] & pods(mesh)[name] for name in SEVERAL + SINGLE), step
        assert traffic.failures() == [], step
        mesh.tell(
            f"{step}, all seven services: 0 of {len(traffic.turns)} turns failed, 0 streams broke, "
            f"longest wait of a client to be taken {traffic.longest_wait:.1f} s, "
            f"longest silence {traffic.longest_silence:.1f} s"
        )


async def upgraded(mesh: Site, values: Values) -> None:
    await asyncio.to_thread(mesh.helm, "upgrade", "--wait", "--timeout=600s", values=values)
    for component in await asyncio.to_thread(components, mesh):
        await asyncio.to_thread(mesh.settled, component.name)


def pods(mesh: Site) -> dict[str, set[str]]:
    return {one.name: {replica.name for replica in one.pods} for one in components(mesh)}

"""What KEDA is told, by the core and over its own contract."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from externalscaler import externalscaler_pb2 as keda
from externalscaler import externalscaler_pb2_grpc as keda_grpc
from prometheus_client import CollectorRegistry

from services.gateway.activity import Activity
from services.gateway.adapters.in_memory import NobodyElse
from services.gateway.admission import Admission
from services.gateway.fleet import Fleet
from services.gateway.scaling.scaler import Scaler, UnknownTarget
from services.gateway.scaling.server import ExternalScalerServer
from services.shared.background import in_background
from services.shared.boundary import Boundary
from services.shared.errors import Malformed
from services.shared.metrics import RpcMetrics
from services.shared.peers import Peer, Peers
from services.shared.server import serving
from services.shared.tracing import Tracer
from tests.unit.gateway.test_fleet import LOAD, WAKING, A, B, Site, Told, site

POOL = {"pool": "only"}


def admission() -> Admission:
    return Admission(max_turns=10)


def scaler(here: Site, activity: Activity | None = None) -> Scaler:
    return Scaler(here.fleet, admission(), activity or Activity(), NobodyElse())


async def test_a_pools_totals_are_those_of_its_replicas() -> None:
    async with site(A, B) as here:
        here.replicas[A].tell(
            replace(LOAD, running=6, waiting=2, waiting_tokens=900, kv_cache_use=0.5)
        )
        here.replicas[B].tell(replace(LOAD, running=2, kv_cache_use=0.25))
        await here.until(A, B)
        assert scaler(here).metrics(POOL) == {
            "queuedTokens": 900,
            "slotsPercent": 125,
            "kvPercent": 75,
        }


async def test_a_pool_is_active_while_somebody_waits_runs_or_starts() -> None:
    async with site(pool=WAKING) as here:
        told = scaler(here)
        assert not told.active(POOL)
        asking = asyncio.create_task(here.said())
        async with asyncio.timeout(5):
            while not here.fleet.pools["only"].held:
                await here.fleet.changed.wait()
        assert told.active(POOL)
        assert told.metrics(POOL) == {"queuedTokens": 3, "slotsPercent": 12.5, "kvPercent": 0}
        asking.cancel()
        await asyncio.wait([asking])
        assert not told.active(POOL)
        here.peers.become([], coming=1)
        async with asyncio.timeout(5):
            while not told.active(POOL):
                await here.fleet.changed.wait()


async def test_what_changes_is_pushed() -> None:
    async with site(A, pool=WAKING) as here, aclosing(scaler(here).activity(POOL)) as changes:
        assert not await anext(changes)
        here.replicas[A].tell(replace(LOAD, running=1))
        assert await anext(changes)
        here.replicas[A].tell(LOAD)
        assert not await anext(changes)


async def test_services_are_scaled_by_what_is_asked_of_them() -> None:
    activity = Activity(lambda: 0.0)
    async with site(A) as here:
        told = scaler(here, activity)
        activity.tokens.add(1000)
        activity.characters.add(50)
        with activity.tool():
            assert told.metrics({"service": "tokenizer"}) == {"tokensPerSecond": 100}
            assert told.metrics({"service": "moderation"}) == {"charactersPerSecond": 5}
            assert told.metrics({"service": "tool-runner"}) == {"runningTools": 1}
            assert told.metrics({"service": "gateway"}) == {"turns": 0}
        assert told.active({"service": "tokenizer"})


async def test_targets_are_the_triggers_or_the_usual_ones() -> None:
    async with site(A) as here:
        told = scaler(here)
        assert told.targets(POOL) == {"queuedTokens": 8192, "slotsPercent": 80, "kvPercent": 90}
        # Who says one has thought of it: nothing else scales the pool then.
        assert told.targets(POOL | {"slotsPercent": "50"}) == {"slotsPercent": 50}
        for wrong in ("0", "-1", "many", "nan"):
            with pytest.raises(Malformed, match="slotsPercent"):
                told.targets(POOL | {"slotsPercent": wrong})


WOKEN = replace(WAKING, wake_seconds=600)


async def test_a_pool_that_was_needed_stays_active_until_its_replica_may_have_come() -> None:
    """Its pod may wait for a node, and is seen nowhere meanwhile; who asked may have left."""
    async with site(A, pool=WOKEN) as here:
        told = Scaler(here.fleet, admission(), Activity(), NobodyElse(), lambda: here.now)
        here.peers.become([])
        await here.until()
        asking = asyncio.create_task(here.said())
        async with asyncio.timeout(5):
            while not told.active(POOL):
                await here.fleet.changed.wait()
        asking.cancel()
        await asyncio.wait([asking])
        assert told.active(POOL)
        here.now = 599
        assert told.active(POOL)
        here.now = 600
        assert not told.active(POOL)
        # Once one has come, it is needed as long as it works.
        here.now = 0
        assert told.active(POOL)
        here.replicas[A].tell()
        here.peers.become([A])
        await here.until(A)
        assert not told.active(POOL)
        here.peers.become([])
        await here.until()
        assert not told.active(POOL)


async def test_that_nobody_needs_it_any_more_is_pushed_though_nothing_changes() -> None:
    soon = replace(WOKEN, wake_seconds=0.01)
    async with site(pool=soon) as here, aclosing(scaler(here).activity(POOL)) as changes:
        assert not await anext(changes)
        asking = asyncio.create_task(here.said())
        assert await anext(changes)
        asking.cancel()
        await asyncio.wait([asking])
        async with asyncio.timeout(5):
            assert not await anext(changes)


@asynccontextmanager
async def two_pools(**second: Any) -> AsyncIterator[tuple[Fleet, Told, Scaler]]:
    """The first has one replica. The second, of the same model, has none."""
    replica, known = Told("pod-a"), {"x": Peers([A]), "y": Peers([])}

    @asynccontextmanager
    async def followed(address: str) -> AsyncIterator[Peers]:
        yield known[address]

    @asynccontextmanager
    async def opened(_: Peer) -> AsyncIterator[Told]:
        yield replica

    pools = [replace(WAKING, name="first"), replace(WAKING, name="second", address="y", **second)]
    fleet = Fleet(pools, followed, opened)
    async with in_background(fleet.follow):
        yield fleet, replica, Scaler(fleet, admission(), Activity(), NobodyElse())


async def test_a_sleeping_pool_wakes_while_the_other_of_its_model_is_full() -> None:
    second = {"pool": "second"}
    async with two_pools() as (_, replica, told), aclosing(told.activity(second)) as changes:
        assert not await anext(changes)
        replica.tell(replace(LOAD, running=7))
        replica.tell(replace(LOAD, running=8))
        async with asyncio.timeout(5):
            assert await anext(changes)
        replica.tell(replace(LOAD, running=7))
        async with asyncio.timeout(5):
            assert not await anext(changes)


async def test_a_sleeping_pool_of_another_model_has_no_part_in_that() -> None:
    async with two_pools(model="other") as (fleet, replica, told):
        replica.tell(replace(LOAD, running=8))
        async with asyncio.timeout(5):
            while not fleet.pools["first"].reported:
                await fleet.changed.wait()
        assert told.active({"pool": "first"})
        assert not told.active({"pool": "second"})


async def test_a_pool_whose_scaler_asks_counts_as_scaled() -> None:
    async with site(pool=replace(WAKING, scaled=True)) as here:
        state = here.fleet.pools["only"]
        assert state.unheard
        async with aclosing(scaler(here).activity(POOL)) as changes:
            await anext(changes)
            assert not state.unheard
        assert state.unheard


@pytest.mark.parametrize("trigger", [{}, {"pool": "other"}, {"service": "memory"}])
async def test_what_is_not_known_is_named_with_what_is(trigger: dict[str, str]) -> None:
    async with site(A) as here:
        for ask in (scaler(here).active, scaler(here).targets, scaler(here).metrics):
            with pytest.raises(UnknownTarget, match=r"only|tokenizer"):
                ask(trigger)


@asynccontextmanager
async def stub(here: Site) -> AsyncIterator[Any]:
    boundary = Boundary(
        "gateway",
        Tracer("gateway", otlp_endpoint="", sample_ratio=0),
        RpcMetrics(CollectorRegistry()),
    )
    server = ExternalScalerServer(scaler(here))
    async with (
        serving([server], "127.0.0.1:0", grace=0, interceptors=[boundary]) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield keda_grpc.ExternalScalerStub(channel)


async def test_keda_asks_in_its_own_words() -> None:
    ref = keda.ScaledObjectRef(name="demo", namespace="chat", scalerMetadata=POOL)
    async with site(A) as here, stub(here) as asked:
        here.replicas[A].tell(replace(LOAD, running=4))
        await here.until(A)
        assert (await asked.IsActive(ref)).result
        specs = (await asked.GetMetricSpec(ref)).metricSpecs
        assert {spec.metricName: spec.targetSize for spec in specs} == {
            "queuedTokens": 8192,
            "slotsPercent": 80,
            "kvPercent": 90,
        }
        request = keda.GetMetricsRequest(scaledObjectRef=ref, metricName="slotsPercent")
        (value,) = (await asked.GetMetrics(request)).metricValues
        assert (value.metricValue, value.metricValueFloat) == (50, 50)
        stream = asked.StreamIsActive(ref)
        assert (await stream.read()).result
        here.replicas[A].tell(LOAD)
        assert not (await stream.read()).result
        stream.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await asked.IsActive(keda.ScaledObjectRef(scalerMetadata={"pool": "other"}))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND

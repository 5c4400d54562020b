"""What Prometheus reads of the moment, and of turns that ended."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.gateway.adapters.in_memory import InMemoryAccounts, NobodyElse
from services.gateway.adapters.metered import GatewayGauges, MeteredLedger, MeteredTurns
from services.gateway.admission import Admission
from services.gateway.api import Ask, Response, Started, TurnEvent
from services.gateway.authenticator import Principal
from services.gateway.ports import LedgerEntry
from services.gateway.reply import TurnProgress
from services.inference.api import Usage
from services.shared.errors import Unavailable
from services.shared.scope import Scope
from tests.unit.gateway.test_fleet import LOAD, WAKING, A, B, site


async def test_turns_pools_and_replicas_are_as_they_are() -> None:
    admission = Admission(max_turns=5)
    async with site(A, B, pool=WAKING) as here:
        here.replicas[A].tell(replace(LOAD, running=3, kv_cache_use=0.5))
        here.replicas[B].tell(replace(LOAD, draining=True))
        await here.until(A, B)
        registry = CollectorRegistry()
        registry.register(GatewayGauges(admission, here.fleet, NobodyElse(), lambda: False))
        read = registry.get_sample_value
        with admission.admitted():
            assert read("chatmesh_turns") == 1
        assert read("chatmesh_gateways_known") == 1
        assert read("chatmesh_pool_held", {"pool": "only"}) == 0
        of_a, of_b = ({"pool": "only", "pod": pod} for pod in ("pod-a", "pod-b"))
        assert read("chatmesh_replica_running", of_a) == 3
        assert read("chatmesh_replica_kv_cache_use", of_a) == 0.5
        assert read("chatmesh_replica_slots", of_a) == 8
        assert read("chatmesh_replica_draining", of_b) == 1
        here.peers.become([])
        await here.until()
        assert read("chatmesh_replica_running", of_a) is None


class FailingTurns:
    """Begins a turn, and fails where it has something to fail with."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    async def count(self, principal: Principal, ask: Ask) -> int:
        raise AssertionError("only runs")

    async def record_failed(self, progress: TurnProgress, response: Response) -> None:
        raise AssertionError("only runs")

    async def run(
        self, principal: Principal, ask: Ask, progress: TurnProgress
    ) -> AsyncGenerator[TurnEvent, None]:
        yield Started(progress.response_id, 0, "demo")
        if self._error:
            raise self._error


@pytest.mark.parametrize(
    ("error", "leaves", "code"),
    [
        (None, False, "OK"),
        (None, True, "CANCELLED"),
        (Unavailable("inference cannot be reached"), False, "UNAVAILABLE"),
        (ValueError("a bug"), False, "INTERNAL"),
    ],
)
async def test_a_turn_counts_once_by_how_it_ended(
    error: Exception | None, leaves: bool, code: str
) -> None:
    registry = CollectorRegistry()
    turns = MeteredTurns(FailingTurns(error), registry)
    anything: Any = None
    with suppress(Unavailable, ValueError):
        async with aclosing(turns.run(anything, anything, TurnProgress("resp_1"))) as events:
            async for _ in events:
                if leaves:
                    break
    [counter] = registry.collect()
    totals = {one.labels["code"]: one.value for one in counter.samples if "_total" in one.name}
    assert totals == {code: 1}


def used(organisation: str, number: int) -> LedgerEntry:
    usage = Usage(prompt_tokens=5, cached_tokens=2, completion_tokens=3)
    return LedgerEntry(f"resp_{number}", Scope(organisation, "p", ""), "key", "m", 1, usage)


async def test_what_is_used_is_counted_by_organisation() -> None:
    registry, accounts = CollectorRegistry(), InMemoryAccounts()
    ledger = MeteredLedger(accounts, registry)
    await ledger.add([used("ada", 1), used("ben", 2)])
    await ledger.add([used("ada", 3)])
    read = registry.get_sample_value
    ada = {"organisation": "ada"}
    assert read("chatmesh_organisation_turns_total", ada) == 2
    tokens = [
        read("chatmesh_organisation_tokens_total", {**ada, "kind": kind})
        for kind in ("prompt", "cached", "completion")
    ]
    assert tokens == [10, 4, 6]
    assert await ledger.total("ada") == await accounts.total("ada")


async def test_the_number_of_series_has_an_end() -> None:
    registry = CollectorRegistry()
    ledger = MeteredLedger(InMemoryAccounts(), registry)
    await ledger.add([used(f"o{number}", number) for number in range(510)])
    await ledger.add([used("o1", 511)])
    read = registry.get_sample_value
    assert read("chatmesh_organisation_turns_total", {"organisation": "(others)"}) == 10
    assert read("chatmesh_organisation_turns_total", {"organisation": "o1"}) == 2

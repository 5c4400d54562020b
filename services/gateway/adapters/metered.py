"""The gateway's metrics: how turns end, and what it knows of pools and replicas when asked."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.gateway.admission import Admission
from services.gateway.api import Ask, Response, TurnEvent
from services.gateway.authenticator import Principal
from services.gateway.fleet import Fleet, Replica
from services.gateway.live_turns import Turns
from services.gateway.ports import Ledger, LedgerEntry, OtherGateways
from services.gateway.reply import TurnProgress
from services.inference.api import Usage
from services.shared.errors import MeshError

_OF_REPLICAS: Mapping[str, tuple[str, Callable[[Replica], float]]] = {
    "running": ("Generations that run there.", lambda replica: replica.load.running),
    "waiting": ("Generations that wait there.", lambda replica: replica.load.waiting),
    "slots": ("Most generations that run there at once.", lambda replica: replica.load.slots),
    "kv_cache_use": ("From 0 to 1.", lambda replica: replica.load.kv_cache_use),
    "in_flight": ("Generations that this gateway has there.", lambda replica: replica.in_flight),
    "draining": ("Whether it leaves.", lambda replica: replica.load.draining or replica.left),
}
# Prometheus keeps a series for each label's value. Beyond so many, organisations share one.
_MOST_ORGANISATIONS = 500
_OTHER_ORGANISATIONS = "(others)"


class GatewayGauges(Collector):
    """What the gateway knows now of turns, pools and replicas; read only when Prometheus asks."""

    def __init__(
        self,
        admission: Admission,
        fleet: Fleet,
        others: OtherGateways,
        streams_lost: Callable[[], bool],
    ) -> None:
        self._admission = admission
        self._others = others
        self._fleet = fleet
        self._streams_lost = streams_lost

    def collect(self) -> Iterable[GaugeMetricFamily]:
        yield GaugeMetricFamily(
            "chatmesh_turns", "Turns under way.", value=self._admission.under_way
        )
        yield GaugeMetricFamily(
            "chatmesh_streams_lost",
            "Whether what gateways share cannot be used: Redis is lost.",
            value=self._streams_lost(),
        )
        yield GaugeMetricFamily(
            "chatmesh_gateways_known",
            "Gateways for all of which this one answers KEDA, itself included.",
            value=1 + len(self._others.demands()),
        )
        held = GaugeMetricFamily(
            "chatmesh_pool_held", "Requests that wait for a replica.", labels=["pool"]
        )
        coming = GaugeMetricFamily("chatmesh_pool_coming", "Replicas that start.", labels=["pool"])
        for name, state in self._fleet.pools.items():
            held.add_metric([name], state.held)
            coming.add_metric([name], state.coming)
        yield held
        yield coming
        yield from self._of_replicas()

    def _of_replicas(self) -> Iterable[GaugeMetricFamily]:
        for name, (words, measure) in _OF_REPLICAS.items():
            family = GaugeMetricFamily(f"chatmesh_replica_{name}", words, labels=["pool", "pod"])
            for pool, replica in self._replicas():
                family.add_metric(
                    [pool, replica.peer.pod or replica.peer.address], measure(replica)
                )
            yield family

    def _replicas(self) -> Iterable[tuple[str, Replica]]:
        for name, state in self._fleet.pools.items():
            for replica in state.reported:
                yield name, replica


class MeteredTurns:
    """`Turns` whose ends are counted, those after the first byte too, which HTTP's status hides."""

    def __init__(self, turns: Turns, registry: CollectorRegistry) -> None:
        self._turns = turns
        self._ended = Counter(
            "chatmesh_gateway_turns",
            "Turns ended: OK, CANCELLED by their callers or their deadline, or the error's code.",
            ["code"],
            registry=registry,
        )

    async def run(
        self, principal: Principal, ask: Ask, progress: TurnProgress
    ) -> AsyncGenerator[TurnEvent, None]:
        with self._watched():
            async with aclosing(self._turns.run(principal, ask, progress)) as events:
                async for event in events:
                    yield event

    async def record_failed(self, progress: TurnProgress, response: Response) -> None:
        await self._turns.record_failed(progress, response)

    async def count(self, principal: Principal, ask: Ask) -> int:
        return await self._turns.count(principal, ask)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        code = "INTERNAL"
        try:
            yield
            code = "OK"
        except MeshError as error:
            code = error.status
            raise
        except (GeneratorExit, asyncio.CancelledError):
            code = "CANCELLED"
            raise
        finally:
            self._ended.labels(code).inc()


class MeteredLedger:
    """`Ledger` whose entries are counted by organisation, as far as there is a series for each."""

    def __init__(self, ledger: Ledger, registry: CollectorRegistry) -> None:
        self._ledger = ledger
        self._known: set[str] = set()
        self._turns = Counter(
            "chatmesh_organisation_turns",
            "Turns that an organisation has used, however they ended.",
            ["organisation"],
            registry=registry,
        )
        self._tokens = Counter(
            "chatmesh_organisation_tokens",
            "Tokens that an organisation has used: prompt, completion, and cached of the prompt's.",
            ["organisation", "kind"],
            registry=registry,
        )

    async def add(self, entries: Sequence[LedgerEntry]) -> None:
        await self._ledger.add(entries)
        for entry in entries:
            organisation = self._label(entry.scope.organisation)
            self._turns.labels(organisation).inc()
            for kind in ("prompt", "completion", "cached"):
                used = getattr(entry.usage, f"{kind}_tokens")
                self._tokens.labels(organisation, kind).inc(used)

    async def total(self, organisation: str) -> Usage:
        return await self._ledger.total(organisation)

    def _label(self, organisation: str) -> str:
        if organisation not in self._known and len(self._known) == _MOST_ORGANISATIONS:
            return _OTHER_ORGANISATIONS
        self._known.add(organisation)
        return organisation

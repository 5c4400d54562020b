"""What pods show to Prometheus, written by the product's own collectors."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, ExitStack

from prometheus_client import CollectorRegistry, generate_latest

from services.gateway.adapters.in_memory import NobodyElse
from services.gateway.adapters.metered import GatewayGauges
from services.gateway.admission import Admission
from services.gateway.fleet import Fleet, Pool, Replica
from services.gateway.ports import Inference
from services.inference.adapters.metered import MeteredInference
from services.inference.api import Generation, Load, Piece, Report, Sampling, Usage
from services.shared.metrics import RpcMetrics
from services.shared.peers import Peer, followed
from tests.fakes.mesh import CARD, Script, ScriptedInference

Loads = Mapping[str, Mapping[str, Load]]


def gateway_metrics(
    loads: Loads,
    *,
    turns: int = 0,
    held: Mapping[str, int] | None = None,
    in_flight: Mapping[str, int] | None = None,
) -> str:
    """`loads` by pool and pod, `held` by pool, `in_flight` by pod."""
    fleet = Fleet([Pool(name, "x") for name in loads], followed, _opened)
    for name, state in fleet.pools.items():
        state.held = (held or {}).get(name, 0)
        for pod, load in loads[name].items():
            replica = Replica(Peer(f"{pod}:50053", pod), ScriptedInference())
            replica.report = Report((CARD,), load)
            replica.in_flight = (in_flight or {}).get(pod, 0)
            state.replicas[replica.peer] = replica
    admission = Admission(max_turns=100)
    registry = CollectorRegistry()
    registry.register(GatewayGauges(admission, fleet, NobodyElse(), lambda: False))
    with ExitStack() as under_way:
        for _ in range(turns):
            under_way.enter_context(admission.admitted())
        return generate_latest(registry).decode()


def _opened(peer: Peer) -> AbstractAsyncContextManager[Inference]:
    raise AssertionError(f"nobody calls {peer}")


async def inference_metrics(*, prompt: int, cached: int) -> str:
    """After one generation of so many tokens."""
    registry = CollectorRegistry()
    script = Script([Piece((), Usage(prompt, cached, completion_tokens=1))])
    inference = MeteredInference(ScriptedInference(script), registry)
    async for _ in inference.generate(Generation(CARD.id, "gen", (1,), Sampling())):
        pass
    return generate_latest(registry).decode()


def service_metrics(calls: int) -> str:
    """While it handles so many."""
    registry = CollectorRegistry()
    rpcs = RpcMetrics(registry)
    for _ in range(calls):
        rpcs.started("Screen")
    return generate_latest(registry).decode()

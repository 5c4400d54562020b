"""Which adapter goes where in the gateway."""

import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from services import __version__
from services.context_assembly.client import connect_context_assembly
from services.gateway.activity import Activity
from services.gateway.adapters.counted import CountedContext, CountedModeration, CountedTools
from services.gateway.adapters.metered import MeteredTurns, Moment
from services.gateway.adapters.remembering import BufferedLedger, CachedKeys, CachedTools, buffered
from services.gateway.adapters.sqlite import SqliteAccounts, open_accounts
from services.gateway.admission import Admission
from services.gateway.authenticator import Authenticator
from services.gateway.config import GatewayConfig
from services.gateway.fleet import Fleet
from services.gateway.front import Front, Turns
from services.gateway.guard import guards
from services.gateway.http.app import application
from services.gateway.http.server import serving_http
from services.gateway.ids import make_id
from services.gateway.ports import Mesh
from services.gateway.router import Router
from services.gateway.scaler import Scaler
from services.gateway.server import ExternalScalerServer, GatewayServer
from services.gateway.turn import TurnLoop
from services.inference.client import InferenceClient, connect_inference
from services.moderation.client import connect_moderation
from services.shared.background import every, in_background
from services.shared.boundary import Boundary
from services.shared.metrics import RpcMetrics
from services.shared.peers import Peer, followed
from services.shared.process import Service
from services.shared.server import Servable, serving
from services.shared.tracing import Tracer
from services.tool_runner.client import connect_tool_runner

_log = structlog.get_logger()
# How often the streams of replicas are written on their pods.
_PRICE_SECONDS = 5


@asynccontextmanager
async def build(
    config: GatewayConfig, registry: CollectorRegistry
) -> AsyncIterator[Sequence[Servable]]:
    """The public endpoints; leaving lets nobody in, lets turns finish, then closes the rest."""
    async with AsyncExitStack() as stack:
        accounts = await stack.enter_async_context(open_accounts(config.accounts_url))
        ledger = await stack.enter_async_context(buffered(accounts))
        fleet = Fleet(config.inference_pools, followed, partial(_replica, config))
        activity = Activity()
        mesh = await stack.enter_async_context(_mesh(config, fleet, activity))
        await stack.enter_async_context(in_background(fleet.follow))
        turns = MeteredTurns(_turns(config, ledger, mesh, fleet), registry)
        front = _front(config, accounts, mesh, fleet, turns)
        registry.register(Moment(front.admission, fleet))
        tracer = Tracer(
            "gateway",
            otlp_endpoint=config.otlp_endpoint,
            sample_ratio=config.trace_sample_ratio,
        )
        stack.callback(tracer.close)
        if config.scaler_address:
            scaler = Scaler(fleet, front.admission, activity)
            await stack.enter_async_context(_scaling(config, scaler, tracer))
        if config.deletion_costs:
            await stack.enter_async_context(_pricing(fleet))
        app = application(
            front,
            registry,
            tracer,
            version=__version__,
            max_body_bytes=config.max_body_bytes,
            body_seconds=config.body_seconds,
        )
        url = await stack.enter_async_context(
            serving_http(app, config.http_address, grace=config.grace_seconds)
        )
        _log.info("serving http", url=url)
        stack.callback(front.admission.close)
        yield [GatewayServer(front)]


SERVICE = Service(
    "gateway", GatewayConfig, build, store=lambda config: open_accounts(config.accounts_url)
)


@asynccontextmanager
async def _scaling(config: GatewayConfig, scaler: Scaler, tracer: Tracer) -> AsyncIterator[None]:
    """KEDA's questions are not the mesh's work: they have no part in its metrics."""
    boundary = Boundary("gateway", tracer, RpcMetrics(CollectorRegistry()))
    server = ExternalScalerServer(scaler)
    async with serving([server], config.scaler_address, grace=0, interceptors=[boundary]):
        yield


@asynccontextmanager
async def _pricing(fleet: Fleet) -> AsyncIterator[None]:
    # Only where Kubernetes is.
    from services.gateway.adapters.deletion_costs import open_deletion_costs  # noqa: PLC0415

    async with (
        open_deletion_costs(fleet) as costs,
        in_background(lambda: every(_PRICE_SECONDS, costs.write)),
    ):
        yield


@asynccontextmanager
async def _mesh(config: GatewayConfig, fleet: Fleet, activity: Activity) -> AsyncIterator[Mesh]:
    timeout = config.call_seconds
    async with (
        connect_moderation(config.moderation_address, timeout=timeout) as moderation,
        connect_context_assembly(config.context_assembly_address, timeout=timeout) as context,
        connect_tool_runner(config.tool_runner_address, timeout=timeout) as tools,
    ):
        yield Mesh(
            CountedModeration(moderation, activity),
            CountedContext(context, activity),
            Router(fleet),
            CachedTools(CountedTools(tools, activity)),
        )


def _replica(config: GatewayConfig, peer: Peer) -> AbstractAsyncContextManager[InferenceClient]:
    return connect_inference(peer.address, timeout=config.turn_seconds)


def _turns(config: GatewayConfig, ledger: BufferedLedger, mesh: Mesh, fleet: Fleet) -> TurnLoop:
    return TurnLoop(
        mesh,
        fleet,
        ledger,
        guards(mesh.moderation, config.output_moderation),
        make_id,
        tool_rounds=config.tool_rounds,
    )


def _front(
    config: GatewayConfig, accounts: SqliteAccounts, mesh: Mesh, fleet: Fleet, turns: Turns
) -> Front:
    return Front(
        Authenticator(CachedKeys(accounts), pepper=pepper(config.pepper_file)),
        Admission(max_turns=config.max_turns, max_turns_per_tenant=config.max_turns_per_tenant),
        turns,
        fleet,
        mesh.context,
        turn_seconds=config.turn_seconds,
    )


@asynccontextmanager
async def open_authenticator(config: GatewayConfig) -> AsyncIterator[Authenticator]:
    """For the commands that make keys: the same store, without the endpoints."""
    async with open_accounts(config.accounts_url) as accounts:
        yield Authenticator(accounts, pepper=pepper(config.pepper_file))


def pepper(file: Path) -> bytes:
    """The secret under which keys are hashed; made once, readable by its owner alone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_bytes()
    with os.fdopen(descriptor, "wb") as writing:
        writing.write(made := secrets.token_bytes(32))
    return made

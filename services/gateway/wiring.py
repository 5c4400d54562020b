"""Which adapter goes where in the gateway."""

import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from services import __version__
from services.context_assembly.client import connect_context_assembly
from services.gateway.activity import Activity
from services.gateway.adapters.counted import CountedContext, CountedModeration, CountedTools
from services.gateway.adapters.metered import GatewayGauges, MeteredLedger, MeteredTurns
from services.gateway.adapters.remembering import CachedKeys, CachedTools, buffered
from services.gateway.adapters.sqlite import open_sqlite_accounts
from services.gateway.adapters.streams import Streams, open_streams
from services.gateway.admin_token import AdminToken
from services.gateway.admission import Admission
from services.gateway.authenticator import Authenticator
from services.gateway.config import GatewayConfig
from services.gateway.connections import Connections
from services.gateway.conversations import ConversationKeeper
from services.gateway.elsewhere import Elsewhere
from services.gateway.fleet import Fleet
from services.gateway.front import Front
from services.gateway.guard import guards
from services.gateway.http.admin import admin_application
from services.gateway.http.app import application
from services.gateway.http.server import HttpServer, serving_http
from services.gateway.key_issuer import KeyIssuer
from services.gateway.lanes import Lanes
from services.gateway.letter_answers import LetterAnswers
from services.gateway.limits import Limits
from services.gateway.live_turns import LiveTurns, TurnBounds, Turns
from services.gateway.ports import AccountStore, Ledger, Neighbours, OtherGateways
from services.gateway.repeats import Repeats
from services.gateway.resuming import ResumableTurns
from services.gateway.router import Router
from services.gateway.scaling.scaler import Scaler
from services.gateway.scaling.server import ExternalScalerServer
from services.gateway.scaling.sharing import DemandSharing
from services.gateway.server import GatewayServer
from services.gateway.takeover import Takeover
from services.gateway.turn import TurnLoop
from services.inference.client import InferenceClient, connect_inference
from services.moderation.client import connect_moderation
from services.shared.background import every, in_background
from services.shared.boundary import Boundary
from services.shared.errors import CannotStart
from services.shared.metrics import RpcMetrics
from services.shared.peers import Peer, followed
from services.shared.process import Service
from services.shared.server import Served, serving
from services.shared.store_url import StoreUrl
from services.shared.tracing import Tracer
from services.tool_runner.client import connect_tool_runner

_log = structlog.get_logger()
# How often the streams of replicas are written on their pods.
_PRICE_SECONDS = 5
# Who starts a turn reads it at once.
_JOINING_SECONDS = 10
# How often it is looked for turns whose keys were revoked.
_REVOKED_SECONDS = 3
# How often idempotency keys that are old enough are dropped.
_FORGET_SECONDS = 3600
# Of turns that no other gateway knows, so that nobody takes them over.
_LEASE_SECONDS = 15
# How often it is looked for turns whose gateway has died.
_LOOK_SECONDS = 0.25


@asynccontextmanager
async def build(
    config: GatewayConfig, registry: CollectorRegistry
) -> AsyncIterator[Sequence[Served]]:
    """The public endpoints, and the turns under way, which drain beside them."""
    async with AsyncExitStack() as stack:
        accounts = await stack.enter_async_context(open_accounts(config.accounts_url))
        fleet = Fleet(config.inference_pools, followed, partial(_replica, config))
        activity = Activity()
        neighbours = await stack.enter_async_context(_neighbours(config, fleet, activity))
        await stack.enter_async_context(in_background(fleet.follow))
        lanes = Lanes(neighbours.context)
        running = await stack.enter_async_context(
            _running_turns(config, neighbours, accounts, registry, fleet=fleet, lanes=lanes)
        )
        live_turns = running.live_turns
        # Asks the store itself: a key that is cached as valid would last longer.
        front = _front(config, accounts, neighbours, fleet, running, lanes=lanes)
        for stop_revoked in (live_turns.stop_revoked, front.connections.stop_revoked):
            action = partial(every, _REVOKED_SECONDS, partial(stop_revoked, accounts))
            await stack.enter_async_context(in_background(action))
        await stack.enter_async_context(
            in_background(lambda: every(_FORGET_SECONDS, front.repeats.forget_old))
        )
        if running.streams.journal.shared:
            await stack.enter_async_context(_together(config, front, running, registry))
        streams = running.streams
        registry.register(GatewayGauges(front.admission, fleet, streams.others, streams.lost))
        tracer = _tracer(config)
        stack.callback(tracer.close)
        scaler = Scaler(fleet, front.admission, activity, streams.others)
        if streams.journal.shared:
            await stack.enter_async_context(_sharing(scaler, fleet, streams.others))
        if config.scaler_address:
            await stack.enter_async_context(_scaling(config, scaler, tracer))
        if config.deletion_costs:
            await stack.enter_async_context(_pricing(fleet))
        served: list[Served] = [GatewayServer(front), live_turns, front.connections]
        if config.admin_address:
            served.append(await stack.enter_async_context(_admin(config, accounts, tracer)))
        yield [*served, await stack.enter_async_context(_http(config, front, registry, tracer))]


@asynccontextmanager
async def open_accounts(url: StoreUrl) -> AsyncIterator[AccountStore]:
    """The store that the URL's scheme names. A file of SQLite is migrated, a server is not.

    The client of a server that is not used is not imported: that takes a fifth of a second.
    """
    if url.scheme == "postgresql":
        from services.gateway.adapters.postgres import open_postgres_accounts  # noqa: PLC0415

        async with open_postgres_accounts(url) as accounts:
            yield accounts
        return
    async with open_sqlite_accounts(url.get_secret_value()) as in_file:
        yield in_file


async def _migrate(config: GatewayConfig) -> None:
    if config.accounts_url.scheme == "postgresql":
        from services.gateway.adapters.postgres import migrate_postgres_accounts  # noqa: PLC0415

        await migrate_postgres_accounts(config.accounts_url)
        return
    async with open_accounts(config.accounts_url):
        pass


SERVICE = Service(
    "gateway",
    GatewayConfig,
    build,
    store=lambda config: open_accounts(config.accounts_url),
    migrate=_migrate,
    max_message_bytes=lambda config: config.max_body_bytes,
)


def _tracer(config: GatewayConfig) -> Tracer:
    return Tracer(
        "gateway", otlp_endpoint=config.otlp_endpoint, sample_ratio=config.trace_sample_ratio
    )


@asynccontextmanager
async def _http(
    config: GatewayConfig, front: Front, registry: CollectorRegistry, tracer: Tracer
) -> AsyncIterator[HttpServer]:
    app = application(
        front,
        registry,
        tracer,
        version=__version__,
        max_body_bytes=config.max_body_bytes,
        body_seconds=config.body_seconds,
        cors_origins=config.cors_origins,
        socket_seconds=config.socket_seconds,
    )
    max_message_bytes = config.max_body_bytes
    async with serving_http(
        app, config.http_address, max_message_bytes=max_message_bytes
    ) as server:
        _log.info("serving http", url=server.url)
        yield server


@asynccontextmanager
async def _admin(
    config: GatewayConfig, accounts: AccountStore, tracer: Tracer
) -> AsyncIterator[HttpServer]:
    issuer = KeyIssuer(accounts, Authenticator(accounts, pepper=pepper(config.pepper_file)))
    try:
        token = AdminToken(config.admin_token_file.read_bytes)
    except OSError as error:
        said = f"{config.admin_token_file}: {error.strerror}: it holds the admin token"
        raise CannotStart(said) from None
    async with serving_http(admin_application(issuer, token, tracer), config.admin_address) as app:
        yield app


@asynccontextmanager
async def _scaling(config: GatewayConfig, scaler: Scaler, tracer: Tracer) -> AsyncIterator[None]:
    """KEDA's questions are not the mesh's work: they have no part in its metrics."""
    boundary = Boundary("gateway", tracer, RpcMetrics(CollectorRegistry()))
    server = ExternalScalerServer(scaler)
    async with serving([server], config.scaler_address, grace=0, interceptors=[boundary]):
        yield


@asynccontextmanager
async def _sharing(scaler: Scaler, fleet: Fleet, others: OtherGateways) -> AsyncIterator[None]:
    sharing = DemandSharing(scaler, fleet, others)
    async with in_background(sharing.tell), in_background(sharing.hear):
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
async def _neighbours(
    config: GatewayConfig, fleet: Fleet, activity: Activity
) -> AsyncIterator[Neighbours]:
    timeout = config.call_seconds
    async with (
        connect_moderation(config.moderation_address, timeout=timeout) as moderation,
        connect_context_assembly(config.context_assembly_address, timeout=timeout) as context,
        connect_tool_runner(config.tool_runner_address, timeout=timeout) as tools,
    ):
        yield Neighbours(
            CountedModeration(moderation, activity),
            CountedContext(context, activity),
            Router(fleet),
            CachedTools(CountedTools(tools, activity)),
        )


def _replica(config: GatewayConfig, peer: Peer) -> AbstractAsyncContextManager[InferenceClient]:
    return connect_inference(peer.address, timeout=config.turn_seconds)


def _turn_loop(
    config: GatewayConfig, neighbours: Neighbours, *, fleet: Fleet, lanes: Lanes
) -> TurnLoop:
    return TurnLoop(
        neighbours,
        fleet,
        guards(neighbours.moderation, config.output_moderation),
        lanes,
        tool_rounds=config.tool_rounds,
    )


@dataclass(frozen=True, slots=True)
class _Running:
    """Turns under way, and what gateways share of them."""

    live_turns: LiveTurns
    streams: Streams
    elsewhere: Elsewhere


@asynccontextmanager
async def _running_turns(
    config: GatewayConfig,
    neighbours: Neighbours,
    accounts: AccountStore,
    registry: CollectorRegistry,
    *,
    fleet: Fleet,
    lanes: Lanes,
) -> AsyncIterator[_Running]:
    async with AsyncExitStack() as stack:
        opening = open_streams(config.streams_url, max_bytes=config.events_kept_bytes)
        streams = await stack.enter_async_context(opening)
        elsewhere = Elsewhere(streams.presence, streams.mail, turn_seconds=config.turn_seconds)
        loop_over = partial(_turn_loop, config, fleet=fleet, lanes=lanes)
        turns: Turns = loop_over(neighbours)
        # A gateway that dies takes what is buffered with it, but others go on with its turns.
        ledger: Ledger = accounts
        if streams.journal.shared:
            turns = ResumableTurns(neighbours, loop_over)
        else:
            ledger = await stack.enter_async_context(buffered(accounts))
        turns = MeteredTurns(turns, registry)
        ledger = MeteredLedger(ledger, registry)
        live_turns = _live_turns(config, turns, ledger, streams, elsewhere)
        await stack.enter_async_context(in_background(live_turns.keep_leases))
        yield _Running(live_turns, streams, elsewhere)


@asynccontextmanager
async def _together(
    config: GatewayConfig, front: Front, running: _Running, registry: CollectorRegistry
) -> AsyncIterator[None]:
    """Answers other gateways, and goes on with the turns of those that have died."""
    takeover = Takeover(
        running.live_turns,
        running.streams.journal,
        running.elsewhere,
        lambda origin: front.principal_of(origin.account, origin.key_id),
        registry,
        clock=time.monotonic,
        reader_seconds=config.reader_seconds,
    )
    async with (
        in_background(partial(running.elsewhere.serve, LetterAnswers(running.live_turns).answer)),
        in_background(partial(takeover.watch, _LOOK_SECONDS)),
    ):
        yield


def _live_turns(
    config: GatewayConfig, turns: Turns, ledger: Ledger, streams: Streams, elsewhere: Elsewhere
) -> LiveTurns:
    journal = streams.journal
    lease_seconds = config.streams_lease_seconds if journal.shared else _LEASE_SECONDS
    return LiveTurns(
        turns,
        journal,
        Admission(max_turns=config.max_turns),
        ledger,
        elsewhere,
        limits=Limits(
            streams.limiter,
            config.usage_limits,
            time.time,
            turn_seconds=config.turn_seconds,
            turns=config.max_turns_per_organisation,
            background_turns=config.max_background_turns_per_organisation,
        ),
        bounds=TurnBounds(
            turn_seconds=config.turn_seconds,
            joining_seconds=_JOINING_SECONDS,
            lease_seconds=lease_seconds,
            kept_seconds=config.events_kept_seconds,
            event_bytes=config.turn_event_bytes,
        ),
    )


def _front(
    config: GatewayConfig,
    accounts: AccountStore,
    neighbours: Neighbours,
    fleet: Fleet,
    running: "_Running",
    *,
    lanes: Lanes,
) -> Front:
    secret = pepper(config.pepper_file)
    authenticator = Authenticator(CachedKeys(accounts), pepper=secret)
    return Front(
        authenticator,
        running.live_turns,
        fleet,
        neighbours,
        connections=Connections(max_per_key=config.max_sockets_per_key),
        repeats=Repeats(accounts, secret=secret),
        conversations=ConversationKeeper(neighbours, lanes),
        streams_lost=running.streams.lost,
    )


@asynccontextmanager
async def open_key_issuer(config: GatewayConfig) -> AsyncIterator[KeyIssuer]:
    """For the commands of operators: the same store, without the endpoints."""
    async with open_accounts(config.accounts_url) as accounts:
        yield KeyIssuer(accounts, Authenticator(accounts, pepper=pepper(config.pepper_file)))


@asynccontextmanager
async def open_authenticator(config: GatewayConfig) -> AsyncIterator[Authenticator]:
    """For `make up`, which makes its own key."""
    async with open_accounts(config.accounts_url) as accounts:
        yield Authenticator(accounts, pepper=pepper(config.pepper_file))


def pepper(file: Path) -> bytes:
    """The secret under which keys are hashed; made once, readable by its owner alone.

    Raises `CannotStart` for an empty file, under which a key would be no secret.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        _make_pepper(file)
    kept = file.read_bytes()
    if not kept:
        raise CannotStart(f"{file} is empty: put the secret back, or remove it and make keys anew")
    return kept


def _make_pepper(file: Path) -> None:
    """The file appears with all its bytes; where two processes make it, the first one's counts."""
    descriptor, aside = tempfile.mkstemp(dir=file.parent, prefix=f"{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as writing:
            writing.write(secrets.token_bytes(32))
            writing.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(aside, file)
    finally:
        Path(aside).unlink()

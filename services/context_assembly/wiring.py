"""Which adapter goes where in context-assembly."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from prometheus_client import CollectorRegistry

from services.context_assembly.adapters.by_model import InferenceByModel
from services.context_assembly.adapters.in_memory import InMemoryTurns
from services.context_assembly.adapters.metered import (
    MeteredMemory,
    MeteredSummariser,
    MeteredTokenizer,
    MeteredTurns,
    StepTimer,
)
from services.context_assembly.adapters.sqlite import open_sqlite_turns
from services.context_assembly.assembler import Assembler
from services.context_assembly.config import ContextAssemblyConfig
from services.context_assembly.forgetting import Forgetter
from services.context_assembly.memories import Recaller
from services.context_assembly.ports import TurnStore
from services.context_assembly.server import ContextAssemblyServer
from services.context_assembly.summaries import Compactor, ModelSummariser
from services.context_assembly.trimmer import Trimmer
from services.inference.client import connect_inference
from services.memory.client import connect_memory
from services.shared.background import in_background
from services.shared.process import Service
from services.shared.server import Servable
from services.shared.store_url import StoreUrl
from services.tokenizer.client import connect_tokenizer

_log = structlog.get_logger()

# How long after a failure memory is asked again what it has erased.
_RETRY_SECONDS = 1


@asynccontextmanager
async def build(
    config: ContextAssemblyConfig, registry: CollectorRegistry
) -> AsyncIterator[Sequence[Servable]]:
    async with (
        _open_turns(config) as turns,
        connect_memory(config.memory_address, timeout=config.memory_seconds) as memory,
        connect_tokenizer(config.tokenizer_address, timeout=config.tokenizer_seconds) as tokenizer,
        _by_model(config) as inference,
    ):
        timer = StepTimer(registry)
        store = MeteredTurns(turns, timer, registry)
        remembered = MeteredMemory(memory, timer, registry)
        writer = ModelSummariser(
            tokenizer,
            inference,
            lambda: f"summary_{secrets.token_hex(12)}",
            max_tokens=config.max_summary_tokens,
            seconds=config.summary_seconds,
        )
        assembler = Assembler(
            store,
            Recaller(remembered, query_chars=config.query_chars),
            Trimmer(MeteredTokenizer(tokenizer, timer, registry)),
            Compactor(store, MeteredSummariser(writer, timer, registry)),
            max_summary_tokens=config.max_summary_tokens,
        )
        forgetter = Forgetter(remembered, store, retry_seconds=_RETRY_SECONDS)
        async with in_background(forgetter.run):
            yield [ContextAssemblyServer(assembler)]


@asynccontextmanager
async def _by_model(config: ContextAssemblyConfig) -> AsyncIterator[InferenceByModel]:
    async with AsyncExitStack() as stack:
        yield InferenceByModel(
            {
                model: await stack.enter_async_context(
                    connect_inference(address, timeout=config.summary_seconds)
                )
                for model, address in config.inference_addresses.items()
            }
        )


@asynccontextmanager
async def _open_turns(config: ContextAssemblyConfig) -> AsyncIterator[TurnStore]:
    if config.turns_url.scheme == "memory":
        _log.warning("conversations are kept in memory and end with this process")
    opened = open_turns(config.turns_url, erased_within_seconds=config.erased_within_seconds)
    async with opened as turns:
        yield turns


@asynccontextmanager
async def open_turns(url: StoreUrl, *, erased_within_seconds: float) -> AsyncIterator[TurnStore]:
    """The store that the URL's scheme names. A file of SQLite is migrated, a server is not.

    The client of a server that is not used is not imported: that takes longer than all else here.
    """
    match url.scheme:
        case "memory":
            yield InMemoryTurns()
        case "postgresql":
            from services.context_assembly.adapters.postgres import (  # noqa: PLC0415
                open_postgres_turns,
            )

            async with open_postgres_turns(url) as turns:
                yield turns
        case "cassandra":
            from services.context_assembly.adapters.cassandra import (  # noqa: PLC0415
                open_cassandra_turns,
            )

            async with open_cassandra_turns(
                url, erased_within_seconds=erased_within_seconds
            ) as in_rows:
                yield in_rows
        case "mongodb":
            from services.context_assembly.adapters.mongodb import (  # noqa: PLC0415
                open_mongodb_turns,
            )

            async with open_mongodb_turns(
                url, erased_within_seconds=erased_within_seconds
            ) as in_documents:
                yield in_documents
        case _:
            async with open_sqlite_turns(
                url.get_secret_value(), erased_within_seconds=erased_within_seconds
            ) as in_file:
                yield in_file


async def _migrate(config: ContextAssemblyConfig) -> None:
    url = config.turns_url
    match url.scheme:
        case "postgresql":
            from services.context_assembly.adapters.postgres import (  # noqa: PLC0415
                migrate_postgres_turns,
            )

            await migrate_postgres_turns(url)
        case "cassandra":
            from services.context_assembly.adapters.cassandra import (  # noqa: PLC0415
                migrate_cassandra_turns,
            )

            await migrate_cassandra_turns(url)
        case "mongodb":
            from services.context_assembly.adapters.mongodb import (  # noqa: PLC0415
                migrate_mongodb_turns,
            )

            await migrate_mongodb_turns(url)
        case _:
            async with _open_turns(config):
                pass


SERVICE = Service(
    "context-assembly",
    ContextAssemblyConfig,
    build,
    store=_open_turns,
    migrate=_migrate,
)

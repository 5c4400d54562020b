"""How the tokenizer is put together."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from services.shared.process import Service
from services.shared.server import Servable
from services.tokenizer.adapters import hugging_face
from services.tokenizer.adapters.metered import MeteredTokenizer
from services.tokenizer.config import TokenizerConfig
from services.tokenizer.encoder import Encoder
from services.tokenizer.server import TokenizerServer


@asynccontextmanager
async def build(
    config: TokenizerConfig, registry: CollectorRegistry
) -> AsyncIterator[Sequence[Servable]]:
    # The library's own threads gain nothing where each call encodes one text, and they print
    # warnings when the process forks.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(config.threads, "tokenizer") as executor:
        models = {
            name: await loop.run_in_executor(executor, hugging_face.load, source)
            for name, source in config.models.items()
        }
        yield [TokenizerServer(MeteredTokenizer(Encoder(models, executor), registry))]


SERVICE = Service("tokenizer", TokenizerConfig, build)

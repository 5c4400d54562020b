"""`python -m loadtest.gateways.surroundings ADDRESS WORDS PACE`: all that gateways call.

One process, which nobody disturbs. Its engine says `w0 w1 ...`, so many words to every request and
so many a second, and goes on where the prompt's last ids end.
"""

import asyncio
import sys
from dataclasses import replace

from prometheus_client import CollectorRegistry

from services.context_assembly.server import ContextAssemblyServer
from services.inference.server import InferenceServer
from services.moderation.server import ModerationServer
from services.shared import logs
from services.shared.boundary import Boundary
from services.shared.metrics import RpcMetrics
from services.shared.process import told_to_stop
from services.shared.server import Served, serving
from services.shared.tracing import Tracer
from services.tool_runner.server import ToolRunnerServer
from tests.fakes.mesh import CARD, FewTools, WordContext
from tests.fakes.moderation import WordModeration
from tests.fakes.word_engine import WordEngine

MODEL = replace(CARD, context_tokens=1_000_000, reasons=False)


def boundary() -> Boundary:
    """Without it, an error of a service is none that the gateway knows."""
    tracer = Tracer("surroundings", otlp_endpoint="", sample_ratio=0)
    return Boundary("surroundings", tracer, RpcMetrics(CollectorRegistry()))


async def serve(address: str, words: int, pace: float) -> None:
    engine = WordEngine(words, seconds_per_word=1 / pace, card=MODEL)
    served: list[Served] = [
        ContextAssemblyServer(WordContext()),
        ModerationServer(WordModeration()),
        InferenceServer(engine),
        ToolRunnerServer(FewTools()),
    ]
    async with serving(served, address, grace=0, interceptors=[boundary()]):
        await told_to_stop()


if __name__ == "__main__":
    logs.configure("WARNING")
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))

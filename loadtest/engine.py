"""`python -m loadtest.engine`: inference without a model, for clusters that hold many.

It is configured as the real one and says what the user asks for last: `say 40 words at 20 a
second`, after a call of the calculator where that begins with `first compute`. Whatever else it
reads, it answers in a word.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from prometheus_client import CollectorRegistry

from services.inference.adapters.metered import MeteredInference
from services.inference.api import Generation
from services.inference.config import InferenceConfig
from services.inference.engine import Engine
from services.inference.generation_queue import QueueLimits
from services.inference.ports import Output
from services.inference.server import InferenceServer
from services.inference.wiring import ended_by
from services.shared.process import Service, run
from services.shared.server import Servable
from tests.fakes.inference import CARD, LIMITS, Rule, Script, ScriptedBackend, ScriptedDialect

_TURN = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>", re.DOTALL)
_REPLY = "<|im_start|>assistant\n"
_SAY = re.compile(r"say (\d+) words at (\d+) a second")
_CALL = '<tool_call>\n{"name": "calculator", "arguments": {"expression": "17 * 23"}}\n</tool_call>'


@dataclass(frozen=True, slots=True)
class Paced(Script):
    """So many seconds between two words. A late one does not delay those after it.

    Of tokens a word may have several, and an output may hold several words.
    """

    seconds: float = 0
    since: float = field(default_factory=time.monotonic)


def rule(prompt: str) -> Script:
    turns = _TURN.findall(prompt)
    asked = next((text for role, text in reversed(turns) if role == "user" and "say" in text), "")
    wanted = _SAY.search(asked)
    if wanted is None:
        return Script("Yes.")
    if "first compute" in asked and "tool_response" not in turns[-1][1]:
        return Script(_CALL)
    words, pace = map(int, wanted.groups())
    # Another replica may have begun to say it.
    begun = prompt.rpartition(_REPLY)[2]
    text = " ".join(["word"] * words)
    assert text.startswith(begun), begun
    return Paced(text.removeprefix(begun), seconds=1 / pace)


class PacedBackend(ScriptedBackend):
    """Runs so many at once and has the others wait."""

    def __init__(self, directory: Path, rule: Rule, slots: int) -> None:
        super().__init__(directory, rule)
        self._slots = asyncio.Semaphore(slots)

    async def pause(self, script: Script, said: str) -> None:
        due = 0.0
        if isinstance(script, Paced):
            due = script.since + len(said.split()) * script.seconds
        await asyncio.sleep(max(0, due - time.monotonic()))

    async def generate(
        self, generation: Generation, request: object, *, stream_interval: int
    ) -> AsyncGenerator[Output, None]:
        async with (
            self._slots,
            aclosing(
                super().generate(generation, request, stream_interval=stream_interval)
            ) as outputs,
        ):
            async for output in outputs:
                yield output


@asynccontextmanager
async def build(
    config: InferenceConfig, registry: CollectorRegistry
) -> AsyncIterator[Sequence[Servable]]:
    directory = Path(config.model)
    limits = replace(
        LIMITS,
        queue=QueueLimits(config.max_waiting, config.max_waiting_tokens),
        slots=config.engine_args.get("max_num_seqs", LIMITS.slots),
        check_seconds=1,
    )
    engine = Engine(
        PacedBackend(directory, rule, limits.slots),
        ScriptedDialect(directory),
        replace(CARD, id=config.name, created_at=int(time.time())),
        limits=limits,
        clock=time.monotonic,
    )
    async with ended_by(engine.guard()):
        yield [InferenceServer(MeteredInference(engine, registry), engine.drain)]


if __name__ == "__main__":
    run(Service("inference", InferenceConfig, build))

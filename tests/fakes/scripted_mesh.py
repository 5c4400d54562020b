"""The seven services with an engine that says what a play says."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from services.inference.adapters.metered import MeteredInference
from services.inference.api import ModelCard
from services.inference.config import DEMO_DIRECTORY, InferenceConfig
from services.inference.server import InferenceServer
from services.local.mesh import SERVICES
from services.shared.background import in_background
from services.shared.process import Service
from services.shared.server import Servable
from tests.fakes.inference import Script, ScriptedBackend, scripted_engine

END = "<|im_end|>"
_TURN = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>", re.DOTALL)


@dataclass(slots=True)
class Play:
    """What the model says: the reply to what it reads last, by the last words of that."""

    # By these last words, and by words that stand anywhere in the prompt.
    lines: dict[tuple[str, str], Script] = field(default_factory=dict)
    prompts: list[str] = field(default_factory=list)

    def when(self, read: str, reply: str | Script, *, shown: str = "") -> None:
        """Of several lines for the same last words, the one with the most words `shown` counts."""
        self.lines[read, shown] = Script(reply) if isinstance(reply, str) else reply

    def __call__(self, prompt: str) -> Script:
        self.prompts.append(prompt)
        turns = _TURN.findall(prompt)
        last = turns[-1][1].strip() if turns else ""
        last = last.removesuffix("</tool_response>").strip()
        fitting = [
            (len(read), len(shown), script)
            for (read, shown), script in self.lines.items()
            if last.endswith(read) and shown in prompt
        ]
        if not fitting:
            return Script("I have no line for this.")
        return max(fitting, key=lambda each: each[:2])[2]


def call(name: str, arguments: str) -> str:
    """A reply that calls a function."""
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def scripted_services(
    play: Callable[[str], Script], made: list[ScriptedBackend], card: ModelCard
) -> Sequence[Service[Any]]:
    """The services. The engine's backend is added to `made` when the engine starts."""

    @asynccontextmanager
    async def build(
        config: InferenceConfig, registry: CollectorRegistry
    ) -> AsyncIterator[Sequence[Servable]]:
        engine, backend = scripted_engine(DEMO_DIRECTORY, play, card)
        made.append(backend)
        async with in_background(engine.guard):
            yield [InferenceServer(MeteredInference(engine, registry), engine.drain)]

    scripted = Service("inference", InferenceConfig, build)
    return [scripted if service.name == "inference" else service for service in SERVICES]

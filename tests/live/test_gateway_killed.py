"""A gateway that is killed at every step of a turn of five tools: no effect comes twice.

Two gateways are real processes on a real Redis. The services around them are in the test: each turn
waits there at a step of its own, and all of them are killed with their gateway at once.
"""

import asyncio
import json
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtest.gateways.faults import Plan, Site, gateways
from loadtest.gateways.surroundings import boundary
from loadtest.processes import free_ports
from services.context_assembly.api import Assembly, Context, Turn
from services.context_assembly.server import ContextAssemblyServer
from services.inference.api import CallDelta, Delta, FinishReason, Generation, Piece, Usage
from services.inference.server import InferenceServer
from services.moderation.server import ModerationServer
from services.shared.conversation import Call, Item, Message, Text
from services.shared.scope import Scope
from services.shared.server import Served, serving
from services.shared.tools import Tool, ToolCall
from services.tool_runner.api import Outcome
from services.tool_runner.server import ToolRunnerServer
from tests.fakes.mesh import CARD, WordContext
from tests.fakes.moderation import WordModeration
from tests.fakes.word_engine import WordEngine

pytestmark = pytest.mark.timeout(400)
CALLS = 5
REPLY = "all five are done"
OWN = {"type": "mcp", "server_label": "chatmesh"}
IN_ROUNDS = ("assemble", "generate", "before the tool", "after the tool")
# Then the caller has no answer yet, and so no response.
FIRST = ("assemble", 0)
STEPS = [
    *(
        f"{step} {number}"
        for number in range(CALLS)
        for step in IN_ROUNDS
        if (step, number) != FIRST
    ),
    f"assemble {CALLS}",
    f"generate {CALLS}",
    "before the record",
    "after the record",
    "nowhere",
]
# Here the gateway does not know whether the tool has run.
UNSURE = [step for step in STEPS if "the tool" in step]


@dataclass(slots=True)
class Stops:
    """Each turn waits once, at the step that its number tells, until its gateway is dead."""

    waiting: set[str] = field(default_factory=set)
    all_wait: asyncio.Event = field(default_factory=asyncio.Event)

    async def at(self, turn: int, step: str) -> None:
        if step != STEPS[turn] or step in self.waiting:
            return
        self.waiting.add(step)
        if len(self.waiting) == len(STEPS) - 1:
            self.all_wait.set()
        await asyncio.Event().wait()  # the caller's death ends it


class NumberedContext(WordContext):
    """A prompt is the turn's number, and how many tools have run."""

    def __init__(self, stops: Stops) -> None:
        super().__init__()
        self._stops = stops

    async def assemble(self, assembly: Assembly) -> Context:
        turn = _number(assembly.input)
        ran = sum(isinstance(item, Call) for item in assembly.produced)
        await self._stops.at(turn, f"assemble {ran}")
        return Context((turn, ran))

    async def record(self, turn: Turn) -> None:
        await self._stops.at(_number(turn.input), "before the record")
        await super().record(turn)
        await self._stops.at(_number(turn.input), "after the record")


def _number(items: Sequence[Item]) -> int:
    assert isinstance(items[0], Message)
    return int(items[0].text)


class NumberedEngine(WordEngine):
    """Calls one tool after the other, and then speaks."""

    stops: Stops

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        turn, ran = generation.prompt_ids
        await self.stops.at(turn, f"generate {ran}")
        delta, reason = Delta(0, (1,), REPLY), FinishReason.STOP
        if ran < CALLS:
            call = CallDelta(0, "act", json.dumps({"turn": turn, "number": ran}))
            delta, reason = Delta(0, (1,), calls=(call,)), FinishReason.TOOL_CALLS
        yield Piece((delta,))
        yield Piece((Delta(0, finish_reason=reason),), Usage(2, 0, 1))


@dataclass(slots=True)
class Effects:
    """`ToolRunner` with a tool whose every run is one effect more."""

    stops: Stops
    had: Counter[tuple[int, int]] = field(default_factory=Counter)

    async def list_tools(self, scope: Scope) -> Sequence[Tool]:
        return [Tool("act", "acts", '{"type": "object"}')]

    async def run(self, scope: Scope, call: ToolCall) -> Outcome:
        told = json.loads(call.arguments)
        turn, number = told["turn"], told["number"]
        await self.stops.at(turn, f"before the tool {number}")
        self.had[turn, number] += 1
        await self.stops.at(turn, f"after the tool {number}")
        return Outcome((Text("done"),))


@dataclass(slots=True)
class Killed:
    """What became of each turn, by its step."""

    stops: Stops
    effects: Effects
    context: NumberedContext
    folder: Path
    here: Site
    responses: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def ask(self, client: httpx.AsyncClient, turn: int) -> str:
        body = {"model": "demo", "input": str(turn), "background": True, "tools": [OWN]}
        asked = await client.post(self.here.url(0), json=body)
        assert asked.status_code == 200, asked.text
        return str(asked.json()["id"])

    async def read(self, client: httpx.AsyncClient, turn: int, response_id: str) -> None:
        """The last response that the other gateway tells."""
        url = f"{self.here.url(1)}/{response_id}?stream=true"
        async with client.stream("GET", url) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    event = json.loads(line.removeprefix("data: "))
                    assert event["type"] not in {"error", "response.failed"}, event
                    self.responses[STEPS[turn]] = event.get("response", {})

    def unknown(self, step: str) -> list[str]:
        """The outcomes that tell the model that nobody knows."""
        told = [str(item.get("error") or item.get("output")) for item in self._calls(step)]
        return [each for each in told if "not known" in each]

    def _calls(self, step: str) -> list[dict[str, Any]]:
        return [item for item in self.responses[step]["output"] if item["type"] == "mcp_call"]

    def entries(self) -> list[tuple[str, int, int]]:
        with sqlite3.connect(self.folder / "gateway.sqlite") as database:
            asked = "SELECT response_id, prompt_tokens, completion_tokens FROM ledger"
            return database.execute(asked).fetchall()


@asynccontextmanager
async def killed(folder: Path, module: str) -> AsyncIterator[Killed]:
    """All turns but one are killed, each at its step, and are read to their ends elsewhere."""
    stops = Stops()
    engine = NumberedEngine(0, card=replace(CARD, reasons=False))
    engine.stops = stops
    context, effects = NumberedContext(stops), Effects(stops)
    served: list[Served] = [
        ContextAssemblyServer(context),
        ModerationServer(WordModeration()),
        InferenceServer(engine),
        ToolRunnerServer(effects),
    ]
    address = f"127.0.0.1:{free_ports(1)[0]}"
    plan = Plan(streams=len(STEPS), gateways=2)
    async with serving(served, address, grace=0, interceptors=[boundary()]):
        with ExitStack() as stack:
            opening = gateways(folder, plan, address, module)
            here = await asyncio.to_thread(stack.enter_context, opening)
            site = Killed(stops, effects, context, folder, here)
            try:
                await _kill(site)
                yield site
            finally:
                await asyncio.to_thread(stack.close)


async def _kill(site: Killed) -> None:
    headers = {"Authorization": f"Bearer {site.here.key}"}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        headers=headers, limits=limits, timeout=120, trust_env=False
    ) as client:
        ids = [await site.ask(client, turn) for turn in range(len(STEPS))]
        nowhere = len(STEPS) - 1
        await site.read(client, nowhere, ids[nowhere])
        await asyncio.wait_for(site.stops.all_wait.wait(), 60)
        victim = site.here.gateways[0]
        victim.signal(signal.SIGKILL)
        await asyncio.to_thread(victim.wait, 10)
        await asyncio.gather(
            *(site.read(client, turn, response_id) for turn, response_id in enumerate(ids))
        )


async def test_each_effect_comes_once_and_each_turn_is_billed_once(tmp_path: Path) -> None:
    async with killed(tmp_path, "services.gateway") as site:
        assert site.stops.waiting == set(STEPS[:-1]), "a turn was not killed at its step"
        for turn, step in enumerate(STEPS):
            response = site.responses[step]
            assert response["status"] == "completed", step
            assert response["output"][-1]["content"][0]["text"] == REPLY
            assert len(site.unknown(step)) == (step in UNSURE), step
            had = [site.effects.had[turn, number] for number in range(CALLS)]
            never = step.removeprefix("before the tool ") if step.startswith("before the t") else ""
            assert had == [int(str(number) != never) for number in range(CALLS)], step
        entries = site.entries()
        assert sorted(each[0] for each in entries) == sorted(
            response["id"] for response in site.responses.values()
        )
        assert {each[1:] for each in entries} == {(2 * (CALLS + 1), CALLS + 1)}
        recorded = {turn.id for turn in site.context.recorded}
        assert recorded == {response["id"] for response in site.responses.values()}


async def test_a_gateway_that_keeps_no_steps_of_tools_repeats_their_effects(
    tmp_path: Path,
) -> None:
    """The test above sees it when effects come twice."""
    async with killed(tmp_path, "tests.fakes.forgetful") as site:
        doubled = {turn for (turn, _), count in site.effects.had.items() if count > 1}
        after = {turn for turn, step in enumerate(STEPS) if step.startswith("after the tool")}
        assert doubled >= after

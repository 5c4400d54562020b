"""The mesh and bare vLLM, asked the same questions one after the other, and what that cost."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadtest.bare import BareServer
from loadtest.client import Load, Target, load
from loadtest.meters import Counters, counters
from loadtest.process import Process
from loadtest.processes import SERVICES, SevenProcesses
from loadtest.prompts import TOKENS, Questions, completion_body, plain_chat_body, prompt_ids
from loadtest.sameness import check_answers, check_work

_SETTLE_SECONDS = 10
Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU of many requests, in seconds; `processes` are by name, engine cores left out."""

    processes: Mapping[str, float]
    engine: float
    # The bench's own, which shares the machine.
    client: float


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two, and the names under which its engine counts."""

    name: str
    target: Target
    processes: Mapping[str, Process]
    # Whose child is the EngineCore.
    engine: Process
    metrics_url: str
    generations: str
    prompt_tokens: Mapping[str, str]
    written_tokens: Mapping[str, str]

    def spent(self) -> Cost:
        """Since the processes were started."""
        return Cost(
            {name: process.cpu_seconds() for name, process in self.processes.items()},
            self.engine.children_cpu_seconds(),
            time.process_time(),
        )

    async def counted(self) -> tuple[int, int, int]:
        """Generations, tokens that the engine read and tokens that it wrote."""
        seen = await counters(self.metrics_url)
        return (
            seen.total(self.generations),
            _total(seen, self.prompt_tokens),
            _total(seen, self.written_tokens),
        )


def _total(seen: Counters, sample: Mapping[str, str]) -> int:
    labels = {key: value for key, value in sample.items() if key != "name"}
    return seen.total(sample["name"], **labels)


def mesh_side(mesh: SevenProcesses) -> Side:
    return Side(
        "the mesh",
        Target(f"{mesh.base_url}/chat/completions", mesh.api_key),
        {name.replace("_", "-"): mesh.processes[name] for name in SERVICES},
        mesh.processes["inference"],
        mesh.metrics_url("inference"),
        "chatmesh_inference_generations_total",
        {"name": "chatmesh_inference_tokens_total", "kind": "prompt"},
        {"name": "chatmesh_inference_tokens_total", "kind": "generated"},
    )


def bare_side(bare: BareServer) -> Side:
    return Side(
        "bare vLLM",
        Target(f"{bare.base_url}/completions", "none"),
        {"bare API server": bare.process},
        bare.process,
        bare.metrics_url,
        "vllm:request_success_total",
        {"name": "vllm:prompt_tokens_total"},
        {"name": "vllm:generation_tokens_total"},
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """What one side did."""

    load: Load
    cost: Cost


@dataclass(frozen=True, slots=True)
class Pair:
    """The same requests on both sides."""

    ours: Measured
    theirs: Measured
    prompt_tokens: int
    different_texts: int


class Sides:
    """Asks both the same, new questions each time, and never both at once."""

    def __init__(self, mesh: SevenProcesses, bare: BareServer, questions: Questions) -> None:
        self.mesh = mesh
        self._bare = bare
        self._questions = questions
        self._mesh_first = False

    async def ask(self, requests: int, *, streams: int) -> Pair:
        """Raises `NotTheSame`. Which side goes first changes from time to time."""
        self._mesh_first = not self._mesh_first
        texts = self._questions.take(requests)
        prompts = await prompt_ids(self.mesh, texts)
        asked: list[tuple[Side, list[Body]]] = [
            (mesh_side(self.mesh), [plain_chat_body(text) for text in texts]),
            (bare_side(self._bare), [completion_body(prompt) for prompt in prompts]),
        ]
        measured = dict[str, Measured]()
        for side, bodies in asked if self._mesh_first else reversed(asked):
            measured[side.name] = await _measure(side, bodies, prompts, streams)
        ours, theirs = measured["the mesh"], measured["bare vLLM"]
        different = check_answers(
            texts, prompts, ours.load.answers, theirs.load.answers, tokens=TOKENS
        )
        return Pair(ours, theirs, sum(map(len, prompts)), different)


async def _measure(
    side: Side, bodies: Sequence[Body], prompts: Sequence[Sequence[int]], streams: int
) -> Measured:
    counted, spent = await side.counted(), side.spent()
    done = await load(side.target, bodies, streams=streams)
    cost = between(spent, side.spent())
    seen = await _settled(side, counted, len(bodies))
    check_work(side.name, prompts, tokens=TOKENS, seen=seen)
    return Measured(done, cost)


async def _settled(side: Side, before: tuple[int, int, int], requests: int) -> tuple[int, int, int]:
    """What was counted since; a generation is counted a moment after its last token is read."""
    due = time.monotonic() + _SETTLE_SECONDS
    while True:
        now = await side.counted()
        if now[0] - before[0] >= requests or time.monotonic() > due:
            return now[0] - before[0], now[1] - before[1], now[2] - before[2]
        await asyncio.sleep(0.05)


def between(before: Cost, after: Cost) -> Cost:
    return Cost(
        {name: after.processes[name] - before.processes[name] for name in after.processes},
        after.engine - before.engine,
        after.client - before.client,
    )

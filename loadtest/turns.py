"""Turns in which the demo model calls tools and reads memories: what a turn of that kind takes."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.client import Answer, Load, Target, load, quantile
from loadtest.meters import counters
from loadtest.processes import SevenProcesses
from loadtest.prompts import chat_body
from loadtest.report import progress, table
from loadtest.sides import Cost, between, mesh_side

_STREAMS = (1, 8, 64)
_MAX_TOKENS = 128
_ANIMALS = "dog cat horse rabbit parrot hamster turtle goat".split()
_NAMES = "Rex Minka Bella Otto Luna Max Nora Felix".split()
_PEOPLE = "brother sister neighbour uncle aunt teacher".split()
_LIKES = "jazz chess tennis coffee poetry sailing gardening pottery".split()


@dataclass(frozen=True, slots=True)
class Exercise:
    """A request, and a word that a right answer holds; empty: it has none that is known."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was done at one width."""

    load: Load
    cost: Cost
    rounds: int
    tools: int
    right: int


async def with_tools(mesh: SevenProcesses, *, requests: int) -> str:
    seen = []
    for streams in _STREAMS:
        progress(f"turns: {requests} with tools and memory, {streams} at once")
        seen.append(await _measured(mesh, requests, streams))
    rows = {
        "turns/s": [requests / each.load.seconds for each in seen],
        "p50 of a whole turn, ms": [_end_ms(each.load.answers, 0.5) for each in seen],
        "p99 of a whole turn, ms": [_end_ms(each.load.answers, 0.99) for each in seen],
        "rounds of the model a turn": [each.rounds / requests for each in seen],
        "tools run a turn": [each.tools / requests for each in seen],
        "answered as expected, %": [100 * each.right / requests for each in seen],
    }
    for name in seen[0].cost.processes:
        rows[f"CPU ms a turn: {name}"] = [
            1000 * each.cost.processes[name] / requests for each in seen
        ]
    rows["CPU ms a turn: all of these"] = [
        1000 * sum(each.cost.processes.values()) / requests for each in seen
    ]
    rows["CPU ms a turn: EngineCore"] = [1000 * each.cost.engine / requests for each in seen]
    return table(
        f"WITH tools and memory in use, the mesh alone, {requests} turns at each width: a third"
        " computes, a third remembers, a third recalls",
        ("", *(f"{streams} streams" for streams in _STREAMS)),
        [(name, *values) for name, values in rows.items()],
    )


async def _measured(mesh: SevenProcesses, requests: int, streams: int) -> _Seen:
    """As an account of its own, which knows of the animals before it is measured."""
    key = mesh.key(f"turns {streams} {time.time_ns()}")
    target = Target(f"{mesh.base_url}/chat/completions", key)
    told = [_told(number) for number in range(len(_ANIMALS))]
    await load(target, [chat_body(text, _MAX_TOKENS) for text in told], streams=1)
    wanted = [exercise(number) for number in range(requests)]
    side = mesh_side(mesh)
    spent, rounds, tools = side.spent(), await _rounds(mesh), await _tools_run(mesh)
    bodies = [chat_body(each.text, _MAX_TOKENS) for each in wanted]
    done = await load(target, bodies, streams=streams)
    return _Seen(
        done,
        between(spent, side.spent()),
        await _rounds(mesh) - rounds,
        await _tools_run(mesh) - tools,
        sum(each.answer in answer.text for each, answer in zip(wanted, done.answers, strict=True)),
    )


def exercise(number: int) -> Exercise:
    """One of three kinds in turn, not the same words twice in a few hundred."""
    which = number // 3
    if number % 3 == 0:
        left, right = 12 + which % 83, 3 + which % 17
        return Exercise(f"what is {left} times {right}", str(left * right))
    if number % 3 == 1:
        person = _PEOPLE[which % len(_PEOPLE)]
        liking = _LIKES[which // len(_PEOPLE) % len(_LIKES)]
        return Exercise(f"remember that my {person} likes {liking}", "")
    animal = which % len(_ANIMALS)
    return Exercise(f"what is my {_ANIMALS[animal]} called?", _NAMES[animal])


def _told(number: int) -> str:
    return f"remember that my {_ANIMALS[number]} is called {_NAMES[number]}"


async def _rounds(mesh: SevenProcesses) -> int:
    """Generations so far; each is counted a moment after its client has the end of the turn."""
    while True:
        seen = await counters(mesh.metrics_url("inference"))
        gauges = ("chatmesh_inference_waiting", "chatmesh_inference_running")
        if not sum(map(seen.total, gauges)):
            return seen.total("chatmesh_inference_generations_total")
        await asyncio.sleep(0.05)


async def _tools_run(mesh: SevenProcesses) -> int:
    seen = await counters(mesh.metrics_url("tool_runner"))
    return seen.total("chatmesh_rpc_handled_total", method="/Run")


def _end_ms(answers: Sequence[Answer], share: float) -> float:
    return 1000 * quantile([answer.end for answer in answers], share)

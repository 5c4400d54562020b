"""Calls of tools that the demo model has never seen, with the engine's grammar on and off."""

import asyncio
import json
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator

from loadtest.process import Process
from loadtest.report import progress, table
from services.inference.api import Calling, FinishReason, Generation, ParsedCall, Sampling
from services.inference.client import InferenceClient, connect_inference
from services.inference.demo_model.generator.composer import Composer
from services.inference.demo_model.generator.lexicon import Lexicon, read_words
from services.inference.demo_model.generator.outside import NOTHING_OUTSIDE
from services.inference.demo_model.generator.split import Split
from services.inference.demo_model.probes import Probe, probes
from services.inference.demo_model.rendering import MODEL_FOLDER, ChatEncoder
from services.inference.models import DEMO
from services.local.preflight import free_port
from services.shared.tools import Tool

_STREAMS = 16
_MOST_TOKENS = 400
_HOST = "127.0.0.1"
_START_SECONDS = 600
# The engine reads what all requests share once, so that the first one does not pay for it.
_WARMING = 16
_SEED = 1
# What `INFERENCE_TOOL_STRICT_LEVEL` is in each row.
_LEVELS = {"off": "auto", "on": "parameter"}


@dataclass(frozen=True, slots=True)
class AskedCall:
    """A prompt, and the one call that is right."""

    prompt_ids: Sequence[int]
    tools: tuple[Tool, ...]
    right: tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of one prompt."""

    calls: tuple[ParsedCall, ...]
    finish: FinishReason | None
    first_token_seconds: float
    seconds: float
    tokens: int


def measured(words: Path, *, requests: int, folder: Path) -> str:
    """The same prompts with the grammar off and on, one engine after the other."""
    progress(f"calls: inventing {requests} requests")
    asked = _asked(words, requests + _WARMING)
    rows = []
    for grammar, level in _LEVELS.items():
        progress(f"calls: grammar {grammar}, starting the engine")
        with _inference(folder / f"{grammar}.log", level) as (process, port):
            rows.append((grammar, *asyncio.run(_row(process, port, asked))))
    return table(
        f"{requests} requests for invented tools, greedy, {_STREAMS} at a time;"
        " CPU is of the inference service and its engine",
        (
            *("grammar", "calls left", "malformed among them", "cut off by max_tokens"),
            "written but none",
            *(
                "exact",
                "exact %",
                "first token ms p50",
                "p99",
                "CPU ms a request",
                "CPU ms a token",
            ),
        ),
        rows,
    )


def _asked(words: Path, count: int) -> Sequence[AskedCall]:
    encoder = ChatEncoder.load(MODEL_FOLDER)
    lexicon = Lexicon(read_words(words), Split.HELD_OUT)
    composer = Composer(lexicon, Split.HELD_OUT, NOTHING_OUTSIDE)
    return [_call(encoder, each) for each in probes(composer, "unseen tool called", count, _SEED)]


def _call(encoder: ChatEncoder, probe: Probe) -> AskedCall:
    rendered = encoder.encode([*probe.messages, probe.target], probe.tools)
    (called,) = cast("list[dict[str, Any]]", probe.target["tool_calls"])
    right = called["function"]
    tools = tuple(_tool(cast("Mapping[str, Any]", each["function"])) for each in probe.tools)
    prompt = rendered.ids[: rendered.replies[-1][0]]
    return AskedCall(prompt, tools, (right["name"], right["arguments"]))


def _tool(function: Mapping[str, Any]) -> Tool:
    parameters = json.dumps(function.get("parameters") or {})
    return Tool(function["name"], function.get("description") or "", parameters)


@contextmanager
def _inference(log: Path, level: str) -> Iterator[tuple[Process, int]]:
    port = free_port(_HOST)
    environment = {"INFERENCE_ADDRESS": f"{_HOST}:{port}", "INFERENCE_TOOL_STRICT_LEVEL": level}
    process = Process("inference", (sys.executable, "-m", "services.inference"), environment, log)
    try:
        process.start()
        _wait_listening(process, port)
        yield process, port
    finally:
        process.stop()


def _wait_listening(process: Process, port: int) -> None:
    due = time.monotonic() + _START_SECONDS
    while time.monotonic() < due and process.alive:
        with socket.socket() as probe:
            if probe.connect_ex((_HOST, port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"inference does not listen: see {process.log}")


async def _row(process: Process, port: int, asked: Sequence[AskedCall]) -> tuple[object, ...]:
    async with connect_inference(f"{_HOST}:{port}", timeout=600) as inference:
        await _all(inference, asked[:_WARMING])
        before = _cpu_seconds(process)
        heard = await _all(inference, asked[_WARMING:])
        spent = _cpu_seconds(process) - before
    return _counted(asked[_WARMING:], heard, spent)


def _cpu_seconds(process: Process) -> float:
    return process.cpu_seconds() + process.children_cpu_seconds()


async def _all(inference: InferenceClient, asked: Sequence[AskedCall]) -> Sequence[Heard]:
    places = asyncio.Semaphore(_STREAMS)

    async def one(number: int, call: AskedCall) -> Heard:
        async with places:
            return await _heard(inference, f"call-{number}", call)

    return await asyncio.gather(*(one(number, call) for number, call in enumerate(asked)))


async def _heard(inference: InferenceClient, request_id: str, asked: AskedCall) -> Heard:
    sampling = Sampling(temperature=0, max_tokens=_MOST_TOKENS)
    generation = Generation(
        DEMO, request_id, asked.prompt_ids, sampling, calling=Calling(asked.tools)
    )
    calls: dict[int, list[str]] = {}
    finish, first, tokens, started = None, 0.0, 0, time.monotonic()
    async with aclosing(inference.generate(generation)) as pieces:
        async for piece in pieces:
            first = first or time.monotonic() - started
            for delta in piece.deltas:
                tokens += len(delta.ids)
                finish = delta.finish_reason
                for call in delta.calls:
                    parts = calls.setdefault(call.index, ["", ""])
                    parts[0] += call.name
                    parts[1] += call.arguments
    whole = tuple(ParsedCall(*calls[number]) for number in sorted(calls))
    return Heard(whole, finish, first, time.monotonic() - started, tokens)


def _counted(
    asked: Sequence[AskedCall], heard: Sequence[Heard], cpu_seconds: float
) -> tuple[object, ...]:
    counts = Counter[str]()
    for call, reply in zip(asked, heard, strict=True):
        unsound = sum(not _sound(call, each) for each in reply.calls)
        counts["left"] += len(reply.calls)
        # Its caller is told that the reply, and the call with it, is not whole.
        counts["cut" if reply.finish is FinishReason.LENGTH else "malformed"] += unsound
        counts["none"] += reply.finish is FinishReason.INVALID_CALL
        counts["exact"] += [_read(each) for each in reply.calls] == [call.right]
    first = sorted(reply.first_token_seconds * 1000 for reply in heard)
    tokens = sum(reply.tokens for reply in heard)
    return (
        *(counts[each] for each in ("left", "malformed", "cut", "none", "exact")),
        *(
            100 * counts["exact"] / len(heard),
            first[len(first) // 2],
            first[len(first) * 99 // 100],
        ),
        *(1000 * cpu_seconds / len(heard), 1000 * cpu_seconds / tokens),
    )


def _read(call: ParsedCall) -> tuple[str, Any]:
    try:
        return call.name, json.loads(call.arguments)
    except ValueError:
        return call.name, None


def _sound(asked: AskedCall, call: ParsedCall) -> bool:
    """Judged by jsonschema alone, whatever the service thinks of it."""
    tool = next((tool for tool in asked.tools if tool.name == call.name), None)
    _, arguments = _read(call)
    return tool is not None and bool(
        isinstance(arguments, dict)
        and Draft202012Validator(json.loads(tool.parameters)).is_valid(arguments)
    )

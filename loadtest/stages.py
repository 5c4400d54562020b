"""The time to the first token, split by the spans of the services that a request went through.

The mesh that is measured here exports all of its spans, which costs it some time: the sums are told
beside the stages, and the part `latency` measures without spans.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from loadtest.client import Answer, Load, Target, load, quantile
from loadtest.latency import STREAMS
from loadtest.processes import SERVICES, SevenProcesses, seven_processes
from loadtest.prompts import TOKENS, Questions, plain_chat_body
from loadtest.report import progress, table
from loadtest.spans import Collector, Span, collecting

_HTTP, _SCREEN, _ASSEMBLE, _GENERATE = "POST http", "Screen", "Assemble", "Generate"
_EXPORT_SECONDS = 60
_WHOLE = "to the first token"


def by_stage(folder: Path, *, requests: int) -> str:
    """Starts a mesh for this alone."""
    with collecting() as collector:
        settings = {
            name: {
                f"{name.upper()}_OTLP_ENDPOINT": collector.endpoint,
                f"{name.upper()}_TRACE_SAMPLE_RATIO": "1",
            }
            for name in SERVICES
        }
        with seven_processes(folder, settings) as mesh:
            return asyncio.run(_by_stage(mesh, collector, requests))


async def _by_stage(mesh: SevenProcesses, collector: Collector, requests: int) -> str:
    questions = Questions()
    columns = []
    for streams in STREAMS:
        progress(f"stages: {streams} streams")
        await _asked(mesh, questions, max(streams, 32), streams)  # warms, not counted
        done = await _asked(mesh, questions, requests, streams)
        columns.append(await _split(done.answers, collector))
    heads = [f"{head}, {streams} streams" for streams in STREAMS for head in ("p50", "p99")]
    rows = [
        (
            stage,
            *(
                quantile([1000 * split[stage] for split in column], share)
                for column in columns
                for share in (0.5, 0.99)
            ),
        )
        for stage in columns[0][0]
    ]
    return table(
        f"Time to the first token by stage, ms, output moderation block, {requests} requests of"
        f" {TOKENS} tokens. Each stage ends where the next begins; those in brackets are parts of"
        " the stage above them, Screen and Assemble run side by side. A span is a call as its"
        " server saw it. Every column has its own quantile, so stages do not add up to the sum",
        ("stage", *heads),
        rows,
    )


async def _asked(mesh: SevenProcesses, questions: Questions, requests: int, streams: int) -> Load:
    target = Target(f"{mesh.base_url}/chat/completions", mesh.api_key)
    bodies = [plain_chat_body(text) for text in questions.take(requests)]
    return await load(target, bodies, streams=streams)


async def _split(answers: Sequence[Answer], collector: Collector) -> list[dict[str, float]]:
    names = {_HTTP, _SCREEN, _ASSEMBLE, _GENERATE}
    ids = {answer.trace_id for answer in answers}
    traces = await asyncio.to_thread(collector.wait, ids, names, _EXPORT_SECONDS)
    return [stages(answer, traces[answer.trace_id]) for answer in answers]


def stages(answer: Answer, spans: Sequence[Span]) -> dict[str, float]:
    """Seconds by stage, in their order; the last one is the sum."""
    sent, shown = answer.began_at, answer.began_at + answer.first_token
    http, screen = _first(spans, _HTTP), _first(spans, _SCREEN)
    assemble, generate = _first(spans, _ASSEMBLE), _first(spans, _GENERATE)
    prepared, ready = min(screen.begin, assemble.begin), max(screen.end, assemble.end)
    return {
        "the client sends, until the gateway's HTTP span begins": http.begin - sent,
        "until Screen or Assemble begins": prepared - http.begin,
        "until both have ended": ready - prepared,
        "(Screen, of the input)": screen.end - screen.begin,
        "(Assemble)": assemble.end - assemble.begin,
        "(of Assemble: memory)": _of(spans, "chatmesh-memory", assemble.end),
        "(of Assemble: tokenizer)": _of(spans, "chatmesh-tokenizer", assemble.end),
        "until Generate begins": generate.begin - ready,
        "until the client has the first token": shown - generate.begin,
        _WHOLE: shown - sent,
    }


def _first(spans: Sequence[Span], name: str) -> Span:
    return min((span for span in spans if span.name == name), key=lambda span: span.begin)


def _of(spans: Sequence[Span], service: str, until: float) -> float:
    return sum(
        span.end - span.begin for span in spans if span.service == service and span.end <= until
    )

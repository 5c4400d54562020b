"""Output tokens per second at many streams: the whole mesh against bare vLLM, turn about."""

import statistics
from collections.abc import Sequence

from loadtest.bare import BareServer
from loadtest.client import Load, Target, load
from loadtest.processes import SevenProcesses
from loadtest.prompts import chat_body, completion_body, prompt_ids, questions
from loadtest.report import table

STREAMS = 64
MAX_TOKENS = 64


async def compare(mesh: SevenProcesses, bare: BareServer, *, rounds: int, requests: int) -> str:
    """Each round asks new questions of both, in turn; the ratio is taken round by round."""
    rows = []
    await _round(mesh, bare, questions(requests // 4), first="mesh")  # warms both, not counted
    for number in range(1, rounds + 1):
        texts = questions(requests * (number + 1))[-requests:]
        ours, theirs = await _round(mesh, bare, texts, first="mesh" if number % 2 else "bare")
        ratio = ours.tokens_per_second / theirs.tokens_per_second
        rows.append((number, ours.tokens_per_second, theirs.tokens_per_second, ratio))
    median = statistics.median(row[3] for row in rows)
    return table(
        f"Output tokens/s at {STREAMS} streams, everything on ({requests} requests a round)",
        ("round", "mesh", "bare vLLM", "ratio"),
        [*rows, ("median", "", "", median)],
    )


async def _round(
    mesh: SevenProcesses, bare: BareServer, texts: Sequence[str], *, first: str
) -> tuple[Load, Load]:
    ids = await prompt_ids(mesh, texts)
    chat = Target(f"{mesh.base_url}/chat/completions", mesh.api_key)
    completions = Target(f"{bare.base_url}/completions", "none")
    ask_mesh = [chat_body(text, MAX_TOKENS) for text in texts]
    ask_bare = [completion_body(prompt, MAX_TOKENS) for prompt in ids]
    if first == "mesh":
        ours = await load(chat, ask_mesh, streams=STREAMS)
        return ours, await load(completions, ask_bare, streams=STREAMS)
    theirs = await load(completions, ask_bare, streams=STREAMS)
    return await load(chat, ask_mesh, streams=STREAMS), theirs

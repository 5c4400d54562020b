"""Output tokens per second at many streams: the whole mesh against bare vLLM, turn about."""

import statistics

from loadtest.prompts import TOKENS
from loadtest.report import progress, table
from loadtest.sides import Sides

STREAMS = 64


async def compare(sides: Sides, *, rounds: int, requests: int) -> str:
    """Each round asks new questions of both; the ratio is taken round by round."""
    rows = []
    await sides.ask(max(STREAMS, requests // 4), streams=STREAMS)  # warms both, not counted
    prompts = different = 0
    for number in range(1, rounds + 1):
        progress(f"throughput: round {number} of {rounds}")
        pair = await sides.ask(requests, streams=STREAMS)
        ours, theirs = pair.ours.load.tokens_per_second, pair.theirs.load.tokens_per_second
        rows.append((number, ours, theirs, ours / theirs))
        prompts += pair.prompt_tokens
        different += pair.different_texts
    asked = rounds * requests
    medians = [statistics.median(row[column] for row in rows) for column in (1, 2, 3)]
    return table(
        f"Output tokens/s at {STREAMS} streams: the same {requests} requests a round on both sides,"
        f" tools not offered, {prompts / asked:.0f} prompt and {TOKENS} output tokens each"
        f" (checked; {different} of {asked} texts differ)",
        ("round", "mesh", "bare vLLM", "ratio"),
        [*rows, ("median", *medians)],
    )

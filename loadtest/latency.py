"""The time to the first token: what the mesh adds to bare vLLM, by output moderation."""

from loadtest.prompts import TOKENS
from loadtest.report import progress, table
from loadtest.sides import Sides

STREAMS = (1, 16, 64)
# The last one is the gateway's default, which then stays.
_MODES = ("off", "parallel", "block")


async def added(sides: Sides, *, requests: int) -> str:
    rows = []
    for mode in _MODES:
        sides.mesh.restart("gateway", GATEWAY_OUTPUT_MODERATION=mode)
        sides.mesh.wait_ready()
        for streams in STREAMS:
            progress(f"latency: output moderation {mode}, {streams} streams")
            rows.append((mode, streams, *await _first_tokens(sides, requests, streams)))
    return table(
        f"Time to the first token, ms: the same {requests} requests of {TOKENS} tokens on both"
        " sides, as many at once as there are streams",
        (
            *("output moderation", "streams", "mesh p50", "bare p50", "added p50"),
            *("mesh p99", "bare p99", "added p99"),
        ),
        rows,
    )


async def _first_tokens(sides: Sides, requests: int, streams: int) -> list[float]:
    await sides.ask(max(streams, 8), streams=streams)  # warms, not counted
    pair = await sides.ask(requests, streams=streams)
    times = list[float]()
    for share in (0.5, 0.99):
        ours = pair.ours.load.first_token_ms(share)
        theirs = pair.theirs.load.first_token_ms(share)
        times += (ours, theirs, ours - theirs)
    return times

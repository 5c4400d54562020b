"""CPU of a streamed request: each service's process beside bare vLLM's API server."""

from loadtest.prompts import TOKENS
from loadtest.report import progress, table
from loadtest.sides import Measured, Sides

_STREAMS = (1, 8, 64)


async def shares(sides: Sides, *, requests: int) -> str:
    """Milliseconds; the same requests on both sides."""
    columns = []
    for streams in _STREAMS:
        progress(f"cpu: {requests} requests on either side, {streams} at once")
        await sides.ask(max(streams, requests // 4), streams=streams)  # warms, not counted
        pair = await sides.ask(requests, streams=streams)
        columns.append(_ours(pair.ours, requests) | _theirs(pair.theirs, requests))
    return table(
        f"CPU ms per streamed request of {TOKENS} tokens, the same requests on both sides"
        f" ({requests} at each width), tools not offered",
        ("process", *(f"{streams} streams" for streams in _STREAMS)),
        [(name, *(column[name] for column in columns)) for name in columns[0]],
    )


def _ours(measured: Measured, requests: int) -> dict[str, float]:
    cost = measured.cost
    rows = {name: 1000 * seconds / requests for name, seconds in cost.processes.items()}
    rows["the mesh without its EngineCore"] = sum(rows.values())
    rows["the mesh's EngineCore"] = 1000 * cost.engine / requests
    rows["the bench, reading the mesh"] = 1000 * cost.client / requests
    return rows


def _theirs(measured: Measured, requests: int) -> dict[str, float]:
    cost = measured.cost
    rows = {name: 1000 * seconds / requests for name, seconds in cost.processes.items()}
    rows["bare EngineCore"] = 1000 * cost.engine / requests
    rows["the bench, reading bare vLLM"] = 1000 * cost.client / requests
    return rows

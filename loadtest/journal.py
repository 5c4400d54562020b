"""What it costs to keep streams and limits in Redis: the same turns, beside a gateway without it.

Both gateways are processes of their own, in front of one scripted engine, and are measured by
turns. Every stream is read whole and compared with what the engine says.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from loadtest.gateways.faults import Plan, Site, site
from loadtest.process import Process
from loadtest.processes import free_ports
from loadtest.report import progress, table
from loadtest.sameness import NotTheSame
from services.gateway.adapters.redis_limiter import RedisLimiter
from services.gateway.ports import Bucket, Reservation
from services.shared.redis import open_redis

_STREAMS, _WORDS = 32, 256
_CHECKS = 1000
_READY_SECONDS = 120
# With Redis, tokens that come while it is busy share an event: then less is sent, too.
_HEADER = (
    *("journal", "tokens/s", "gateway CPU us/token", "Redis CPU us/token", "us/token"),
    "deltas/token",
)
# As a turn has them of itself, and one more of each kind of limit.
_BUCKETS = (
    Bucket("organisation as a whole:bench", turns=10**6),
    Bucket("key:bench", 10**6, 10**9, 10**6, 10**12, 10**12),
)


@dataclass(slots=True)
class _Side:
    name: str
    url: str
    gateway: Process
    # Of each round: seconds, and CPU of the gateway and of Redis, in seconds.
    rounds: list[tuple[float, float, float]] = field(default_factory=list)
    # How many deltas the streams of each round had.
    deltas: list[int] = field(default_factory=list)

    def row(self) -> Sequence[object]:
        tokens = _STREAMS * _WORDS
        wall, own, redis = (statistics.median(each) for each in zip(*self.rounds, strict=True))
        shares = (own, redis, own + redis)
        costs = (f"{1e6 * s / tokens:.1f}" for s in shares)
        deltas = statistics.median(self.deltas) / tokens
        return (self.name, f"{tokens / wall:,.0f}", *costs, deltas)


def measured(folder: Path, *, rounds: int) -> str:
    plan = Plan(streams=_STREAMS, words=_WORDS, pace=10**6, gateways=1)
    with site(folder, plan) as here:
        shared = here.gateways[0]
        port, grpc_port = free_ports(2)
        there = {
            "GATEWAY_STREAMS_URL": "memory:",
            "GATEWAY_ADDRESS": f"127.0.0.1:{grpc_port}",
            "GATEWAY_HTTP_ADDRESS": f"127.0.0.1:{port}",
            "GATEWAY_METRICS_ADDRESS": "127.0.0.1:0",
        }
        log = folder / "gateway-memory.log"
        alone = Process("alone", shared.command, {**shared.environment, **there}, log)
        try:
            alone.start()
            sides = [
                _Side("in memory", f"http://127.0.0.1:{port}/v1/responses", alone),
                _Side("in Redis", here.url(0), shared),
            ]
            return asyncio.run(_measured(here, sides, shared.environment, rounds))
        finally:
            alone.stop()


async def _measured(
    here: Site, sides: Sequence[_Side], environment: dict[str, str], rounds: int
) -> str:
    redis_url = environment["GATEWAY_STREAMS_URL"]
    headers = {"Authorization": f"Bearer {here.key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        open_redis(redis_url) as store,
    ):
        for side in sides:
            await _ready(client, side)
            await _streams(client, side)  # warm
        pid = (await store.run(store.client.info("server")))["process_id"]
        for number in range(rounds):
            for side in sides if number % 2 else [*reversed(sides)]:
                progress(f"journal: round {number + 1}, {side.name}")
                before = time.perf_counter(), side.gateway.cpu_seconds(), _cpu(pid)
                deltas = await _streams(client, side)
                after = time.perf_counter(), side.gateway.cpu_seconds(), _cpu(pid)
                spent = [late - early for early, late in zip(before, after, strict=True)]
                side.rounds.append((spent[0], spent[1], spent[2]))
                side.deltas.append(deltas)
        checks = await _checks(RedisLimiter(store))
    title = f"{_STREAMS} streams of {_WORDS} tokens at once over SSE, the median of {rounds} rounds"
    rows = table(title, _HEADER, [side.row() for side in sides])
    return f"{rows}\n{checks}"


async def _ready(client: aiohttp.ClientSession, side: _Side) -> None:
    async with asyncio.timeout(_READY_SECONDS):
        while True:
            try:
                async with client.get(side.url.replace("/v1/responses", "/readyz")) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


async def _streams(client: aiohttp.ClientSession, side: _Side) -> int:
    """How many deltas they had, together."""
    expected = "".join(f"w{number} " for number in range(_WORDS))
    streams = await asyncio.gather(*(_stream(client, side.url) for _ in range(_STREAMS)))
    for deltas in streams:
        said = "".join(deltas)
        if said != expected:
            raise NotTheSame(f"{side.name}: a stream has {len(said)} of {len(expected)} characters")
    return sum(map(len, streams))


async def _stream(client: aiohttp.ClientSession, url: str) -> Sequence[str]:
    said: list[str] = []
    body = {"model": "demo", "input": "go on", "stream": True}
    async with client.post(url, json=body) as answer:
        async for line in answer.content:
            if line.startswith(b"data: {"):
                event = json.loads(line.removeprefix(b"data: "))
                if event["type"] == "response.output_text.delta":
                    said.append(event["delta"])
    return said


async def _checks(limiter: RedisLimiter) -> str:
    """One after the other, as a turn waits for its own."""
    times = []
    for number in range(_CHECKS):
        wanted = Reservation(f"turn-{number}", "bench", _BUCKETS, tokens=1000, seconds=600)
        began = time.perf_counter()
        await limiter.reserve(wanted, time.time())
        times.append(1000 * (time.perf_counter() - began))
        await limiter.settle(wanted, time.time())
    shares = statistics.quantiles(times, n=100)
    return f"a limit check: p50 {shares[49]:.2f} ms, p99 {shares[98]:.2f} ms, of {_CHECKS}"


def _cpu(pid: int) -> float:
    """CPU of a process that somebody else has started, in seconds."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / 100

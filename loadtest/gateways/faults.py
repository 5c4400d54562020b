"""Gateways that are killed and paused under streams whose readers resume elsewhere.

What readers got is compared with what the engine says: each word is known by its place.
"""

import asyncio
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from loadtest.process import Process
from loadtest.processes import free_ports
from tests.servers.redis import redis_server

_HOST = "127.0.0.1"
# A reader that hears nothing for so long asks another gateway, in seconds.
_SILENCE = 5.0
# How often it is looked for a gateway that has turns, before one without is taken.
_LOOKS = 50
_TAKEN = re.compile(r'"a turn was taken over"')
# In what a gateway's metrics say.
_TURNS = re.compile(r"^chatmesh_turns (\S+)$", re.MULTILINE)
_FENCED = re.compile(r'"another gateway goes on with a turn"')


@dataclass(frozen=True, slots=True)
class Plan:
    # Of those in the background, and of those whose callers wait for them.
    streams: int = 60
    foreground: int = 6
    words: int = 1200
    # Of each stream, a second.
    pace: float = 10
    kills: int = 48
    pauses: int = 30
    lease_seconds: float = 2
    gateways: int = 3
    # Whether a writer that has lost its lease is refused: off, the report is to be red.
    fenced: bool = True
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Resumed:
    """A reader that had to come again."""

    seconds: float
    # Faults that came while it waited, and the one that broke its stream.
    faults: int


@dataclass(slots=True)
class Tally:
    """What the readers saw."""

    whole: int = 0
    # Of these, those that somebody waited for, and of them, those whose reader had to come again.
    foreground: int = 0
    foreground_resumed: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    # Ended with an error that was told, by its code and words.
    failed: Counter[str] = field(default_factory=Counter)
    resumed: list[Resumed] = field(default_factory=list)
    # Streams that a gateway did not begin: it was away.
    refused: int = 0
    kills: int = 0
    pauses: int = 0
    # After how many kills turns were taken over, and after how many pauses a writer was refused.
    kills_that_bit: int = 0
    pauses_that_bit: int = 0
    taken_over: int = 0
    fenced: int = 0

    @property
    def broken(self) -> int:
        return self.lost + self.doubled + self.wrong

    @property
    def faults(self) -> int:
        return self.kills + self.pauses

    def percentile(self, part: float, *, most_faults: int = sys.maxsize) -> float:
        """Of the seconds until readers heard on, who met so many faults at most meanwhile."""
        ordered = sorted(each.seconds for each in self.resumed if each.faults <= most_faults)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


@dataclass(slots=True)
class Site:
    """Gateways on one Redis, each a process."""

    gateways: list[Process]
    ports: list[int]
    metrics: list[int]
    key: str
    logs: list[Path]

    def url(self, number: int) -> str:
        return f"http://{_HOST}:{self.ports[number]}/v1/responses"

    def turns(self, number: int) -> int:
        """How many turns one gateway has now; none, where it does not answer."""
        url = f"http://{_HOST}:{self.metrics[number]}/metrics"
        with suppress(httpx.HTTPError):
            told = _TURNS.search(httpx.get(url, trust_env=False).text)
            return int(float(told[1])) if told else 0
        return 0

    def counted(self, pattern: re.Pattern[str]) -> int:
        return sum(len(pattern.findall(log.read_text())) for log in self.logs)


@contextmanager
def site(folder: Path, plan: Plan) -> Iterator[Site]:
    (around,) = free_ports(1)
    address = f"{_HOST}:{around}"
    command = [sys.executable, "-m", "loadtest.gateways.surroundings", address]
    command += [str(plan.words), str(plan.pace)]
    services = Process("surroundings", command, {}, folder / "surroundings.log")
    with ExitStack() as stack:
        stack.callback(services.stop)
        services.start()
        module = "services.gateway" if plan.fenced else "tests.fakes.unfenced"
        yield stack.enter_context(gateways(folder, plan, address, module))


@contextmanager
def gateways(folder: Path, plan: Plan, around: str, module: str) -> Iterator[Site]:
    """They call the services at `around`. Each runs `module`."""
    ports = free_ports(3 * plan.gateways)
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(folder))
        made = [
            Process(
                f"gateway {number}",
                [sys.executable, "-m", module],
                _environment(folder, around, ports[number :: plan.gateways], redis.url, plan),
                folder / f"gateway-{number}.log",
            )
            for number in range(plan.gateways)
        ]
        key = _key(folder)
        for process in made:
            stack.callback(process.stop)
            process.start()
        _, http, metrics = (
            ports[kind * plan.gateways : (kind + 1) * plan.gateways] for kind in range(3)
        )
        _wait_ready(http)
        yield Site(made, http, metrics, key, [process.log for process in made])


def _environment(
    folder: Path, around: str, ports: list[int], redis: str, plan: Plan
) -> dict[str, str]:
    called = ("CONTEXT_ASSEMBLY", "TOOL_RUNNER", "MODERATION")
    most = str(10 * plan.streams)
    return {
        **{f"GATEWAY_{each}_ADDRESS": around for each in called},
        "GATEWAY_INFERENCE_POOLS": json.dumps([{"name": "only", "address": around}]),
        "GATEWAY_ADDRESS": f"{_HOST}:{ports[0]}",
        "GATEWAY_HTTP_ADDRESS": f"{_HOST}:{ports[1]}",
        "GATEWAY_METRICS_ADDRESS": f"{_HOST}:{ports[2]}",
        "GATEWAY_ACCOUNTS_URL": f"sqlite:{folder}/gateway.sqlite",
        "GATEWAY_PEPPER_FILE": str(folder / "pepper"),
        "GATEWAY_STREAMS_URL": redis,
        "GATEWAY_STREAMS_LEASE_SECONDS": str(plan.lease_seconds),
        "GATEWAY_OUTPUT_MODERATION": "off",
        "GATEWAY_MAX_TURNS": most,
        "GATEWAY_MAX_TURNS_PER_ORGANISATION": most,
        "GATEWAY_MAX_BACKGROUND_TURNS_PER_ORGANISATION": most,
        "GATEWAY_GRACE_SECONDS": "1",
    }


def _key(folder: Path) -> str:
    command = [sys.executable, "-m", "services", "key", "create", "faults", "--data", str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _wait_ready(ports: list[int], seconds: float = 120) -> None:
    due = time.monotonic() + seconds
    for port in ports:
        while not _ready(port):
            if time.monotonic() > due:
                raise TimeoutError(f"the gateway at {port} is not ready after {seconds} s")
            time.sleep(0.05)


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://{_HOST}:{port}/readyz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


class Reader:
    """Reads one stream after the other, each to its end, from whichever gateway answers.

    As behind a balancer, chance says which one is asked, and after one that broke off another.
    """

    def __init__(
        self,
        here: Site,
        plan: Plan,
        tally: Tally,
        client: httpx.AsyncClient,
        *,
        number: int,
        background: bool,
    ) -> None:
        self._background = background
        self._chance = random.Random(plan.seed + number)
        self._gateway = self._chance.randrange(plan.gateways)
        self._site = here
        self._plan = plan
        self._tally = tally
        self._client = client

    async def read_until(self, ended: asyncio.Event) -> None:
        """The stream that runs when it has ended is read to its end."""
        while not ended.is_set():
            await self._read()
            self._gateway = self._chance.randrange(self._plan.gateways)

    async def _read(self) -> None:
        response_id, last, words = "", -1, list[str]()
        # When, and how many faults there had been.
        broke: tuple[float, int] | None = None
        resumed = 0
        while True:
            try:
                asked = self._asked(response_id, last)
                async with aclosing(asked) as events:
                    async for event in events:
                        if broke is not None:
                            self._tally.resumed.append(self._waited(*broke))
                            broke = None
                            resumed += 1
                        response_id = response_id or event.get("response", {}).get("id", "")
                        last = self._heard(event, last, words)
                        if self._is_last(event, words):
                            self._count_foreground(event, resumed)
                            return
            except Lost as lost:
                self._tally.failed[f"{lost} when its reader came again"] += 1
                return
            except (httpx.HTTPError, Refused):
                if response_id:
                    broke = broke or (time.monotonic(), self._tally.faults)
                else:
                    self._refused()
                self._gateway = self._another()
                await asyncio.sleep(0.05)

    def _another(self) -> int:
        others = [each for each in range(self._plan.gateways) if each != self._gateway]
        return self._chance.choice(others or [self._gateway])

    def _waited(self, since: float, faults: int) -> Resumed:
        return Resumed(time.monotonic() - since, 1 + self._tally.faults - faults)

    def _count_foreground(self, event: dict[str, Any], resumed: int) -> None:
        if not self._background and event["type"] == "response.completed":
            self._tally.foreground += 1
            self._tally.foreground_resumed += resumed > 0

    def _refused(self) -> None:
        """A gateway that is away takes no streams; if none does, nothing is measured."""
        self._tally.refused += 1
        if self._tally.refused > 100 * self._plan.streams:
            raise RuntimeError("the gateways take no streams: see their logs")

    def _heard(self, event: dict[str, Any], last: int, words: list[str]) -> int:
        number = event["sequence_number"]
        assert isinstance(number, int)
        if number <= last:
            self._tally.doubled += 1
        if number > last + 1:
            self._tally.lost += number - last - 1
        if event["type"] == "response.output_text.delta":
            words += str(event["delta"]).split()
        return max(last, number)

    def _is_last(self, event: dict[str, Any], words: list[str]) -> bool:
        kind = event["type"]
        if kind == "response.completed":
            expected = [f"w{each}" for each in range(self._plan.words)]
            self._tally.whole += words == expected
            counted, wanted = Counter(words), Counter(expected)
            self._tally.lost += (wanted - counted).total()
            self._tally.doubled += (counted - wanted).total()
            self._tally.wrong += words != expected and counted == wanted
            return True
        if kind == "error":
            self._tally.failed[f"{event['code']}: {event['message']}"] += 1
            return True
        if kind in {"response.failed", "response.incomplete"}:
            self._tally.failed[str(kind)] += 1
            return True
        return False

    async def _asked(self, response_id: str, last: int) -> AsyncGenerator[dict[str, Any], None]:
        url = self._site.url(self._gateway)
        if response_id:
            query = {"stream": "true", "starting_after": str(last)}
            asking = self._client.stream("GET", f"{url}/{response_id}", params=query)
        else:
            body: dict[str, Any] = {"model": "demo", "input": "go on", "stream": True}
            body["background"] = self._background
            asking = self._client.stream("POST", url, json=body)
        async with asking as response:
            if response.status_code in {404, 410}:
                raise Lost(response.status_code)
            if response.status_code != 200:
                raise Refused(response.status_code)
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line.removeprefix("data: "))
            raise Refused(0)  # it ended before its end


class Lost(Exception):
    """No gateway knows the stream any more."""


class Refused(Exception):
    """A gateway did not give the stream, or broke it off."""


async def run(here: Site, plan: Plan) -> Tally:
    tally, ended = Tally(), asyncio.Event()
    limits = httpx.Limits(max_connections=None)
    timeout = httpx.Timeout(_SILENCE, connect=1)
    headers = {"Authorization": f"Bearer {here.key}"}
    async with (
        httpx.AsyncClient(
            limits=limits, timeout=timeout, headers=headers, trust_env=False
        ) as client,
        asyncio.TaskGroup() as group,
    ):
        for number in range(plan.streams + plan.foreground):
            background = number < plan.streams
            reader = Reader(here, plan, tally, client, number=number, background=background)
            group.create_task(reader.read_until(ended))
        await asyncio.sleep(2 * plan.lease_seconds)  # all have begun
        await _disturb(here, plan, tally)
        ended.set()
    tally.taken_over = here.counted(_TAKEN)
    tally.fenced = here.counted(_FENCED)
    return tally


async def _disturb(here: Site, plan: Plan, tally: Tally) -> None:
    """One gateway at a time, in a random order; the others serve meanwhile."""
    chance = random.Random(plan.seed)
    faults = ["kill"] * plan.kills + ["pause"] * plan.pauses
    chance.shuffle(faults)
    victim = 0
    for fault in faults:
        victim = await _with_turns(here, chance, but=victim)
        process = here.gateways[victim]
        taken, fenced = here.counted(_TAKEN), here.counted(_FENCED)
        if fault == "kill":
            tally.kills += 1
            process.signal(signal.SIGKILL)
            await asyncio.to_thread(process.wait, 10)
            process.start()
        else:
            tally.pauses += 1
            process.signal(signal.SIGSTOP)
            await asyncio.sleep(plan.lease_seconds + 1.5)
            process.signal(signal.SIGCONT)
        await asyncio.to_thread(_wait_ready, [here.ports[victim]])
        await asyncio.sleep(chance.uniform(0.5, 1.5))
        tally.kills_that_bit += fault == "kill" and here.counted(_TAKEN) > taken
        tally.pauses_that_bit += fault == "pause" and here.counted(_FENCED) > fenced


async def _with_turns(here: Site, chance: random.Random, *, but: int) -> int:
    """Another gateway than the last one, by chance; a fault of one without turns hits nobody.

    One that was killed or paused has none until it takes over another one's. If no gateway has any
    for a while, the fault comes all the same, and is counted as one that did not bite.
    """
    numbers = [each for each in range(len(here.gateways)) if each != but]
    for _ in range(_LOOKS):
        turns = [await asyncio.to_thread(here.turns, each) for each in numbers]
        if busy := [each for each, own in zip(numbers, turns, strict=True) if own]:
            return chance.choice(busy)
        await asyncio.sleep(0.1)
    return chance.choice(numbers)

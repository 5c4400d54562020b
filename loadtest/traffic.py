"""Turns against a mesh, from inside its cluster, until standard input ends; a JSON line for each.

`python -m loadtest.traffic URL --key KEY --streams 50 --ask "say 40 words at 20 a second"`
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp

_RETRY_SECONDS = 0.2
_TRANSIENT = {429, 502, 503, 504}


@dataclass(slots=True)
class Turn:
    """One request; times in seconds, `began` since the epoch."""

    began: float
    seconds: float = 0
    # Until it was taken.
    waited: float = 0
    # The longest silence between two pieces, and before the first.
    silence: float = 0
    # When that one began, since the epoch.
    silent_since: float = 0
    tries: int = 0
    words: int = 0
    # How often it broke off and was read on, by those who can.
    resumed: int = 0
    # Empty: it ended as it should. Else what went wrong, before or within the stream.
    refused: str = ""
    broken: str = ""

    def heard(self, before: float, now: float) -> None:
        """Nothing was heard from `before` to `now`, both by the monotonic clock."""
        if now - before > self.silence:
            self.silence = now - before
            self.silent_since = time.time() - self.silence


class Refused(Exception):
    """Not taken; the words say why."""


async def converse(
    session: aiohttp.ClientSession, url: str, body: Mapping[str, Any], patience: float
) -> Turn:
    """Asks until it is taken, for so long as `patience`, and reads to the end."""
    turn = Turn(time.time())
    began = time.monotonic()
    while True:
        turn.tries += 1
        turn.waited = time.monotonic() - began
        try:
            await _stream(session, url, body, turn)
        except Refused as error:
            if time.monotonic() - began < patience:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            turn.refused = str(error)
        except (aiohttp.ClientError, TimeoutError) as error:
            turn.broken = f"{type(error).__name__}: {error}"
        turn.seconds = time.monotonic() - began
        return turn


async def _stream(
    session: aiohttp.ClientSession, url: str, body: Mapping[str, Any], turn: Turn
) -> None:
    last = time.monotonic()
    try:
        response = await session.post(url, json=body)
    except aiohttp.ClientConnectionError as error:  # as the SDKs: what has no answer is asked again
        raise Refused(f"{type(error).__name__}: {error}") from None
    async with response:
        if response.status != 200:
            words = f"{response.status}: {(await response.text())[:300]}"
            if response.status in _TRANSIENT:
                raise Refused(words)
            turn.refused = words
            return
        ended = False
        async for line in response.content:
            if not line.startswith(b"data: "):
                continue
            now = time.monotonic()
            turn.heard(last, now)
            last = now
            if line.startswith(b"data: [DONE]"):
                ended = True
                continue
            event = json.loads(line.removeprefix(b"data: "))
            if "error" in event:
                turn.broken = json.dumps(event["error"])
            for choice in event.get("choices", ()):
                turn.words += len((choice["delta"].get("content") or "").split())
        if not ended and not turn.broken:
            turn.broken = "the stream ended without [DONE]"


async def follow(
    session: aiohttp.ClientSession, url: str, body: Mapping[str, Any], patience: float
) -> Turn:
    """As `converse`, over Responses: a stream that breaks off is read on by its last number."""
    turn = Turn(time.time())
    began = broke = last_piece = time.monotonic()
    response_id, last, ended, broken_off = "", -1, False, False
    while not ended:
        turn.tries += 1
        if not response_id:
            turn.waited = time.monotonic() - began
        try:
            async with aclosing(_events(session, url, body, response_id, last)) as events:
                async for event in events:
                    now = time.monotonic()
                    turn.heard(last_piece, now)
                    last_piece = broke = now
                    turn.resumed += broken_off
                    broken_off = False
                    response_id = response_id or event.get("response", {}).get("id", "")
                    last = event["sequence_number"]
                    ended = _heard(event, turn)
                    if ended:
                        break
        except (Refused, aiohttp.ClientError, TimeoutError) as error:
            if time.monotonic() - broke >= patience:
                words = f"{type(error).__name__}: {error}"
                turn.broken, turn.refused = (words, "") if response_id else ("", words)
                break
            broken_off = bool(response_id)
            await asyncio.sleep(_RETRY_SECONDS)
    turn.seconds = time.monotonic() - began
    return turn


def _heard(event: Mapping[str, Any], turn: Turn) -> bool:
    """Whether it was the last one."""
    kind = event["type"]
    if kind == "response.output_text.delta":
        turn.words += len(str(event["delta"]).split())
    if kind in {"response.failed", "response.incomplete", "error"}:
        turn.broken = json.dumps(event)
        return True
    return bool(kind == "response.completed")


async def _events(
    session: aiohttp.ClientSession, url: str, body: Mapping[str, Any], response_id: str, last: int
) -> AsyncGenerator[dict[str, Any], None]:
    """The events of a new response, or of one from its last number on. Raises Refused."""
    if response_id:
        asked = session.get(
            f"{url}/{response_id}", params={"stream": "true", "starting_after": str(last)}
        )
    else:
        asked = session.post(url, json=body)
    async with asked as response:
        if response.status != 200:
            raise Refused(f"{response.status}: {(await response.text())[:300]}")
        async for line in response.content:
            if line.startswith(b"data: {"):
                yield json.loads(line.removeprefix(b"data: "))
    raise Refused("the stream ended before its last event")


async def drive(options: argparse.Namespace) -> None:
    """So many conversations side by side until somebody closes our standard input."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, _read, told)
    tools = [{"type": "mcp", "server_label": "chatmesh"}]
    body = {"model": options.model, "stream": True, "tools": tools}
    headers = {"authorization": f"Bearer {options.key}"}
    if options.resume:
        talk, url = follow, f"{options.url}/v1/responses"
        body |= {"input": options.ask}
    else:
        talk, url = converse, f"{options.url}/v1/chat/completions"
        body |= {"messages": [{"role": "user", "content": options.ask}]}

    async def stream(session: aiohttp.ClientSession) -> None:
        while not told.is_set():
            turn = await talk(session, url, body, options.patience)
            print(json.dumps(asdict(turn)), flush=True)

    timeout = aiohttp.ClientTimeout(total=None, sock_read=120)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=5)
    async with (
        aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(options.streams):
            group.create_task(stream(session))


def _read(told: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin)
        told.set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--key", required=True)
    parser.add_argument("--model", default="scripted")
    parser.add_argument("--ask", required=True)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--patience", type=float, default=0)
    parser.add_argument("--resume", action="store_true", help="streams that break off are read on")
    asyncio.run(drive(parser.parse_args()))


if __name__ == "__main__":
    main()

"""Turns against a mesh, from inside its cluster, until standard input ends; a JSON line for each.

`python -m loadtest.traffic URL --key KEY --streams 50 --ask "say 40 words at 20 a second"`
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
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
    tries: int = 0
    words: int = 0
    # Empty: it ended as it should. Else what went wrong, before or within the stream.
    refused: str = ""
    broken: str = ""


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
            turn.silence, last = max(turn.silence, now - last), now
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


async def drive(options: argparse.Namespace) -> None:
    """So many conversations side by side until somebody closes our standard input."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, _read, told)
    body = {
        "model": options.model,
        "stream": True,
        "messages": [{"role": "user", "content": options.ask}],
        "tools": [{"type": "mcp", "server_label": "chatmesh"}],
    }
    headers = {"authorization": f"Bearer {options.key}"}
    url = f"{options.url}/v1/chat/completions"

    async def stream(session: aiohttp.ClientSession) -> None:
        while not told.is_set():
            turn = await converse(session, url, body, options.patience)
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
    asyncio.run(drive(parser.parse_args()))


if __name__ == "__main__":
    main()

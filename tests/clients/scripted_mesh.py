"""A mesh for clients, in a process of its own: `python -m tests.clients.scripted_mesh FOLDER`.

All services are real but the engine, which says what it is told to; its window is as large as
coding agents want it. The first line on stdout says where the mesh is. Then each line on stdin is
an object of one member, which is carried out, and answered by a line on stdout:

    {"when": [what is read last, what else is in the prompt, reply,
              after how many tokens it waits or null]}
    {"prompts": null}    the prompts that the model has read since this was last asked
    {"hold": null}       replies that wait do so from now on
    {"holding": null}    answered when a reply waits
    {"release": null}    what waits goes on
    {"idle": null}       answered when the model says nothing

It ends with its stdin.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from services.gateway.config import GatewayConfig
from services.gateway.ports import Account, AccountKind
from services.gateway.wiring import open_authenticator
from services.inference.config import DEMO_DIRECTORY
from services.local.mesh import Settings, mesh
from services.local.preflight import free_port
from services.shared import logs
from tests.fakes.inference import CARD, Script, ScriptedBackend
from tests.fakes.scripted_mesh import Play, scripted_services

HOST = "127.0.0.1"
CONTEXT_TOKENS = 131_072
LONGEST_SECONDS = 90


class Stage:
    """Carries out what a test says."""

    def __init__(self, play: Play, backend: ScriptedBackend) -> None:
        self._play = play
        self._backend = backend

    async def carry_out(self, said: dict[str, Any]) -> Any:
        ((word, given),) = said.items()
        match word:
            case "when":
                read, shown, reply, hold_after = given
                self._play.when(read, Script(reply, hold_after=hold_after), shown=shown)
            case "prompts":
                prompts = [*self._play.prompts]
                self._play.prompts.clear()
                return prompts
            case "hold":
                self._backend.hold()
            case "holding":
                await self._backend.holding.wait()
            case "release":
                self._backend.release()
            case "idle":
                await self._backend.idle.wait()
            case _:
                raise ValueError(word)
        return None


@asynccontextmanager
async def scripted_mesh(folder: Path) -> AsyncIterator[tuple[dict[str, str], Stage]]:
    play, backends = Play(), list[ScriptedBackend]()
    card = replace(CARD, context_tokens=CONTEXT_TOKENS)
    port, grpc_port = free_port(HOST), free_port(HOST)
    settings = Settings(folder, HOST, port, grpc_port, str(DEMO_DIRECTORY), card.id)
    async with mesh(lambda *_: None) as made:
        configs = settings.configs()
        services = scripted_services(play, backends, card)
        endpoints = await made.start(configs, lambda *_: None, services)
        gateway = configs["gateway"]
        assert isinstance(gateway, GatewayConfig)
        async with open_authenticator(gateway) as authenticator:
            account = Account("acct_ada", "ada", AccountKind.PERSONAL, memory_write=True)
            key = await authenticator.create_key(account)
        url = f"http://{HOST}:{port}"
        await _ready(url)
        where = {"base_url": f"{url}/v1", "api_key": key, "model": card.id}
        where["metrics"] = endpoints["gateway"].metrics_url
        yield where, Stage(play, backends[0])


async def _ready(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        while (await http.get("/readyz")).status_code != 200:
            pass


async def main(folder: Path) -> None:
    reader = asyncio.StreamReader(limit=2**24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with scripted_mesh(folder) as (where, stage):
        print(json.dumps(where), flush=True)
        while line := await reader.readline():
            async with asyncio.timeout(LONGEST_SECONDS):  # what is waited for may never come
                done = await stage.carry_out(json.loads(line))
            print(json.dumps(done), flush=True)


if __name__ == "__main__":
    logs.configure("INFO", sys.stderr)
    asyncio.run(main(Path(sys.argv[1])))

"""The whole mesh with everything on one PostgreSQL, as `make up STORES=postgresql://...` has it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import openai

from services.gateway.config import GatewayConfig
from services.gateway.ports import Account, AccountKind
from services.gateway.wiring import open_authenticator
from services.inference.config import DEMO_DIRECTORY
from services.local.mesh import Settings, mesh
from services.local.migrate import migrate
from services.local.preflight import free_port
from services.shared.store_url import StoreUrl
from tests.fakes.inference import CARD
from tests.fakes.scripted_mesh import Play, call, scripted_services
from tests.mesh.conftest import OWN
from tests.servers.postgres import empty_database

HOST = "127.0.0.1"
ADA = Account("acct_ada", "ada", AccountKind.PERSONAL, memory_write=True)
FACT = "my dog is called Rex"


@asynccontextmanager
async def running_on(
    url: StoreUrl, data: Path, play: Play, key: str = ""
) -> AsyncIterator[openai.AsyncOpenAI]:
    """A mesh of its own, with a key of the one before or a new one."""
    ports = (free_port(HOST), free_port(HOST))
    settings = Settings(
        data, HOST, *ports, str(DEMO_DIRECTORY), CARD.id, stores=url.get_secret_value()
    )
    configs = settings.configs()
    await migrate(configs)
    gateway = configs["gateway"]
    assert isinstance(gateway, GatewayConfig)
    if not key:
        async with open_authenticator(gateway) as authenticator:
            key = await authenticator.create_key(ADA)
    async with mesh(lambda *_: None) as made:
        await made.start(configs, lambda *_: None, scripted_services(play, [], CARD))
        where = f"http://{HOST}:{settings.port}/v1"
        async with openai.AsyncOpenAI(base_url=where, api_key=key, max_retries=0) as sdk:
            await _ready(sdk)
            yield sdk


async def _ready(sdk: openai.AsyncOpenAI) -> None:
    """The gateway knows the model when the engine has reported it."""
    async with asyncio.timeout(30):
        while True:
            with suppress(openai.APIStatusError):
                if (await sdk.models.list()).data:
                    return


async def test_what_one_mesh_kept_on_a_server_the_next_one_has(tmp_path: Path) -> None:
    play = Play()
    play.when(f"remember: {FACT}", call("remember", f'{{"fact": "{FACT}"}}'))
    play.when(f"Saved: {FACT}", "Kept.")
    play.when("what is my dog called?", "Rex.")
    async with empty_database() as url:
        async with running_on(url, tmp_path, play) as sdk:
            key = sdk.api_key
            first = await sdk.responses.create(
                model=CARD.id, input=f"remember: {FACT}", tools=[OWN]
            )
            assert first.output_text == "Kept."
        async with running_on(url, tmp_path, play, key) as sdk:
            assert (await sdk.responses.retrieve(first.id)).output_text == "Kept."
            second = await sdk.responses.create(
                model=CARD.id,
                input="what is my dog called?",
                tools=[OWN],
                previous_response_id=first.id,
            )
            assert second.output_text == "Rex."
    assert f"- {FACT}" in play.prompts[-1]
    assert f"remember: {FACT}" in play.prompts[-1]
    # Nothing but what keys are hashed with is kept here.
    assert os.listdir(tmp_path) == ["pepper"]

"""`make up`: starts the mesh, says how to talk to it, and drains it at Ctrl-C."""

import asyncio
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import uvloop

from services import __version__
from services.gateway.config import GatewayConfig
from services.gateway.ports import Account, AccountKind
from services.gateway.wiring import open_authenticator
from services.inference.config import InferenceConfig
from services.local import preflight
from services.local.mesh import Mesh, ServiceEnded, Settings, mesh
from services.local.migrate import migrate
from services.local.run_file import RunFile, RunningMesh
from services.shared import logs
from services.shared.errors import CannotStart, MeshError
from services.shared.process import told_to_stop

# The account for which `make up` makes a key. It revokes the key of the run before.
LOCAL = Account("acct_local", "this machine", AccountKind.PERSONAL, memory_write=True)


def up(settings: Settings) -> None:
    """Runs until told to stop. Ends the process with a sentence when it cannot start."""
    try:
        _check(settings)
        with (settings.data / "chatmesh.log").open("a", buffering=1) as log:
            logs.configure("INFO", log)
            uvloop.run(_run(settings))
    except (CannotStart, ServiceEnded, MeshError) as error:
        sys.exit(f"chatmesh: {error}")


def _check(settings: Settings) -> None:
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    runs = RunFile(settings.data).read()
    if runs:
        raise CannotStart(
            f"it already runs at {runs.base_url} (process {runs.pid}): `make down` stops it."
        )
    preflight.check(
        model=settings.model,
        host=settings.host,
        ports=(settings.port, settings.grpc_port),
        kv_cache_gib=InferenceConfig().cpu_kv_cache_gib,
    )


async def _run(settings: Settings) -> None:
    say(f"chatmesh {__version__}: {settings.model_name}, data in {settings.data}/")
    stopping = asyncio.create_task(told_to_stop())
    run_file = RunFile(settings.data)
    async with mesh(_announce) as started:
        serving = asyncio.create_task(_serve(settings, started, run_file))
        await asyncio.wait((stopping, serving), return_when=asyncio.FIRST_COMPLETED)
        run_file.remove()
        say("draining: running turns may end; Ctrl-C again stops at once")
        if serving.done():
            serving.result()
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
    say("stopped")


async def _serve(settings: Settings, started: Mesh, run_file: RunFile) -> None:
    configs = settings.configs()
    await migrate(configs)
    say(f"  {'inference':17} loading {settings.model}: half a minute for a small model")
    services = await started.start(configs, _announce)
    base_url = f"http://{settings.host}:{settings.port}"
    await _ready(base_url)
    gateway = configs["gateway"]
    assert isinstance(gateway, GatewayConfig)
    async with open_authenticator(gateway) as authenticator:
        await authenticator.revoke_keys(LOCAL)
        key = await authenticator.create_key(LOCAL)
    grpc_address = services["gateway"].address
    run_file.write(
        RunningMesh(f"{base_url}/v1", grpc_address, key, settings.model_name, os.getpid(), services)
    )
    say(_greeting(base_url, key, settings.model_name, grpc_address, run_file.path))
    await started.ended()


async def _ready(base_url: str) -> None:
    """Waits until the gateway knows the model: the engine reports it soon after its start."""
    async with httpx.AsyncClient(trust_env=False) as http:
        while (await http.get(f"{base_url}/readyz")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def _greeting(base_url: str, key: str, model: str, grpc_address: str, path: Path) -> str:
    body = json.dumps(
        {
            "model": model,
            "stream": True,
            "messages": [{"role": "user", "content": "What is 17 times 23?"}],
            "tools": [{"type": "mcp", "server_label": "chatmesh"}],
        }
    )
    return f"""
chatmesh is up at {base_url}/v1 (gRPC {grpc_address}); the key is kept in {path}

  curl -N {base_url}/v1/chat/completions -H 'Content-Type: application/json' \\
    -H 'Authorization: Bearer {key}' \\
    -d '{body}'

Ctrl-C stops it, and so does `make down`."""


def _announce(service: str, what: str) -> None:
    say(f"  {service:17} {what}")


def say(text: str) -> None:
    print(text, flush=True)


def follow(log: Path, pid: int, run_file: RunFile) -> bool:
    """Prints what a detached mesh writes to its log until it is up or has ended; true: it is up."""
    with log.open() as reading:
        while True:
            text = reading.read()
            sys.stdout.write(text)
            sys.stdout.flush()
            runs = run_file.read()
            if runs and runs.pid == pid:
                sys.stdout.write(reading.read())
                return True
            if os.waitpid(pid, os.WNOHANG)[0]:
                sys.stdout.write(reading.read())
                return False
            time.sleep(0.1)

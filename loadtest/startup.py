"""From nothing to the first streamed token: a fresh clone, `make up`, one request."""

import asyncio
import json
import subprocess
import tempfile
import time
from pathlib import Path

from loadtest.client import Target, ask, connected
from loadtest.process import Process
from loadtest.prompts import Questions, chat_body
from loadtest.report import progress, table

_ROOT = Path(__file__).parent.parent
_PORT = 18080


def first_token(*, cold: bool) -> str:
    """With package caches as they are, and then, where `cold`, with empty ones."""
    rows = []
    for name in ("warm", *(["cold"] if cold else [])):
        with tempfile.TemporaryDirectory(prefix="chatmesh-clone-") as folder:
            clone = Path(folder) / "chatmesh"
            progress(f"`make up` in a fresh clone, twice, package caches {name}")
            subprocess.run(["git", "clone", "-q", str(_ROOT), str(clone)], check=True)
            environment = _caches(Path(folder)) if name == "cold" else {}
            fresh = _up(clone, environment)
            again = _up(clone, environment)
            rows.append((name, fresh, again))
    return table(
        "From `make up` to the first streamed token, s (fresh clone, then once more)",
        ("package caches", "fresh", "again"),
        rows,
    )


def _caches(folder: Path) -> dict[str, str]:
    return {"UV_CACHE_DIR": str(folder / "uv"), "PIP_CACHE_DIR": str(folder / "pip")}


def _up(clone: Path, environment: dict[str, str]) -> float:
    command = ("make", "up", f"PORT={_PORT}")
    make = Process("make up", command, environment, clone.parent / "up.log", clone)
    began = time.monotonic()
    try:
        make.start()
        run = _run_file(make, clone / ".chatmesh" / "run.json")
        ready = time.monotonic() - began
        return ready + asyncio.run(_first(run))
    finally:
        make.stop()


def _run_file(make: Process, path: Path) -> dict[str, str]:
    """What the mesh writes when it is ready; it puts the whole file there at once."""
    while not path.exists():
        if not make.alive:
            raise RuntimeError(f"`make up` ended: {make.log.read_text()[-2000:]}")
        time.sleep(0.05)
    run: dict[str, str] = json.loads(path.read_text())
    return run


async def _first(run: dict[str, str]) -> float:
    target = Target(f"{run['base_url']}/chat/completions", run["api_key"])
    async with connected(1) as session:
        answer = await ask(session, target, chat_body(Questions().take(1)[0]))
    return answer.first_token

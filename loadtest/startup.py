"""From nothing to the first streamed token: a fresh clone, `make up`, one request."""

import asyncio
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from loadtest.client import Target, ask, connected
from loadtest.prompts import chat_body, questions
from loadtest.report import table

_ROOT = Path(__file__).parent.parent
_PORT = 18080


def first_token(*, cold: bool) -> str:
    """With package caches as they are, and then, where `cold`, with empty ones."""
    rows = []
    for name in ("warm", *(["cold"] if cold else [])):
        with tempfile.TemporaryDirectory(prefix="chatmesh-clone-") as folder:
            clone = Path(folder) / "chatmesh"
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
    make = {**os.environ, **environment}
    began = time.monotonic()
    up = ["make", "up", "DETACH=1", f"PORT={_PORT}"]
    subprocess.run(up, cwd=clone, env=make, check=True, stdout=subprocess.DEVNULL)
    try:
        run = json.loads((clone / ".chatmesh" / "run.json").read_text())
        ready = time.monotonic() - began
        return ready + asyncio.run(_first(run))
    finally:
        subprocess.run(["make", "down"], cwd=clone, env=make, check=True, stdout=subprocess.DEVNULL)


async def _first(run: dict[str, str]) -> float:
    target = Target(f"{run['base_url']}/chat/completions", run["api_key"])
    async with connected(1) as session:
        answer = await ask(session, target, chat_body(questions(1)[0], 64))
    return answer.first_token

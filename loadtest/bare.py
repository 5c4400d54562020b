"""vLLM's own OpenAI server, with the model and settings of the mesh's engine."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.inference.config import InferenceConfig

_HOST = "127.0.0.1"
NAME = "bare"


@dataclass(frozen=True, slots=True)
class BareServer:
    base_url: str
    # From the process's start to its first answer, in seconds.
    start_seconds: float


@contextmanager
def bare_vllm(log: Path) -> Iterator[BareServer]:
    """Starts it, waits until it answers, stops it."""
    config = InferenceConfig()
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", config.model, "--served-model-name", NAME),
        *("--host", _HOST, "--port", str(port), "--disable-uvicorn-access-log"),
        *("--dtype", config.dtype, "--scheduling-policy", "priority"),
    ]
    kv_cache = {"VLLM_CPU_KVCACHE_SPACE": f"{config.cpu_kv_cache_gib:g}"}
    began = time.monotonic()
    with log.open("wb") as writing:
        process = subprocess.Popen(
            command,
            env={**os.environ, **kv_cache, "VLLM_NO_USAGE_STATS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
        )
    try:
        _wait(process, port, log)
        yield BareServer(f"http://{_HOST}:{port}/v1", time.monotonic() - began)
    finally:
        process.terminate()
        process.wait(60)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    due = time.monotonic() + 600
    while time.monotonic() < due:
        if process.poll() is not None:
            raise RuntimeError(f"bare vLLM ended with {process.returncode}: see {log}")
        with socket.socket() as probe:
            if probe.connect_ex((_HOST, port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"bare vLLM does not listen: see {log}")

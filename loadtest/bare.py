"""vLLM's own OpenAI server, with the model and settings of the mesh's engine."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtest.process import Process
from loadtest.processes import wait_listening
from services.inference.config import InferenceConfig
from services.local.preflight import free_port

_HOST = "127.0.0.1"
NAME = "bare"


@dataclass(frozen=True, slots=True)
class BareServer:
    root: str
    process: Process
    # From the process's start to its first answer, in seconds.
    start_seconds: float

    @property
    def base_url(self) -> str:
        return f"{self.root}/v1"

    @property
    def metrics_url(self) -> str:
        return f"{self.root}/metrics"


@contextmanager
def bare_vllm(log: Path) -> Iterator[BareServer]:
    """Starts it, waits until it answers, stops it."""
    config = InferenceConfig()
    port = free_port(_HOST)
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", config.model, "--served-model-name", NAME),
        *("--host", _HOST, "--port", str(port), "--disable-uvicorn-access-log"),
        *("--dtype", config.dtype, "--scheduling-policy", "priority"),
    ]
    environment = {
        "VLLM_CPU_KVCACHE_SPACE": f"{config.cpu_kv_cache_gib:g}",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_USE_AOT_COMPILE": "0",  # as in the mesh's engine
    }
    process = Process(NAME, command, environment, log)
    began = time.monotonic()
    try:
        process.start()
        wait_listening(process, port, 600)
        yield BareServer(f"http://{_HOST}:{port}", process, time.monotonic() - began)
    finally:
        process.stop()

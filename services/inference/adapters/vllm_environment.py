"""What vLLM reads from the environment when it is imported, here and in its own processes."""

import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from services.shared import logs

_VARIABLES = {
    # Nothing is told to anybody.
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # A fork of a process that runs gRPC's threads may hang.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    # As many as the gateway takes.
    "VLLM_MAX_STOP_STRINGS": "16",
    "VLLM_LOGGING_CONFIG_PATH": str(Path(__file__).with_name("vllm_logging.json")),
}
# Names the file of `reasons` to the engine's processes.
_REASONS = "CHATMESH_ENGINE_REASONS"
_STDERR = 2
# So long an engine whose service is gone may take to end by itself.
_LAST_SECONDS = 10


def prepare() -> None:
    """To be called before the first import of vLLM; what the operator has set stays."""
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)


def prepare_for_cpu() -> None:
    """To be called where vLLM has found no accelerator."""
    # On a CPU vLLM cannot load again what it has compiled ahead of time: every start would compile.
    os.environ.setdefault("VLLM_USE_AOT_COMPILE", "0")


def log_output() -> logging.Handler:
    """Writes vLLM's logs in the mesh's format and to the same place.

    `vllm_logging.json` names this function, so each of the engine's processes calls it when it
    starts. Beside it only `WaitingExecutor` is code of ours that runs in them.
    """
    if not logging.getLogger().handlers:
        logs.configure("INFO")
        logs.service_name.set("inference")
        logging.captureWarnings(capture=True)
        threading.Thread(target=_end_with_parent, daemon=True).start()
    ours = _our_output()
    handler = _Output(ours.stream)
    handler.setFormatter(ours.formatter)
    return handler


class _Output(logging.StreamHandler[TextIO]):
    """Also writes to the file of `reasons` what broke a start.

    vLLM's own words may be used there, as no user has said anything yet.
    """

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        file = os.environ.get(_REASONS)
        if file and record.exc_info and record.exc_info[1]:
            error = record.exc_info[1]
            with suppress(FileNotFoundError), Path(file).open("r+") as reasons:
                reasons.seek(0, os.SEEK_END)
                reasons.write(f"{type(error).__name__}: {error}\n")


@contextmanager
def reasons() -> Iterator[Path]:
    """A file in which processes that are started within say why they cannot start.

    The root cause comes first. The process that starts an engine hears from vLLM only that it did
    not start.
    """
    with tempfile.NamedTemporaryFile() as file:
        os.environ[_REASONS] = file.name
        try:
            yield Path(file.name)
        finally:
            del os.environ[_REASONS]


@contextmanager
def errors_to_log() -> Iterator[None]:
    """The standard error of processes that are started within goes to this process's log."""
    try:
        log = _our_output().stream.fileno()
    except (OSError, ValueError):  # not a file: a test's
        yield
        return
    terminal = os.dup(_STDERR)
    os.dup2(log, _STDERR)
    try:
        yield
    finally:
        os.dup2(terminal, _STDERR)
        os.close(terminal)


def _our_output() -> "logging.StreamHandler[TextIO]":
    return next(h for h in logging.getLogger().handlers if isinstance(h, logging.StreamHandler))


def _end_with_parent() -> None:
    """Ends this process when its parent, the service, is gone.

    Otherwise a killed service would leave an engine that holds its memory and serves nobody.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_LAST_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)

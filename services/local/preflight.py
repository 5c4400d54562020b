"""What would keep the mesh from starting on this machine, in one sentence each."""

import platform
import random
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from services.shared.errors import CannotStart

# What the seven services and vLLM need besides the model and its KV cache: measured, rounded up.
_BASE_GIB = 3.0
_OUTGOING_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
# Those below are well known.
_LEAST_PORT = 10_000
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def check(*, model: str, host: str, ports: tuple[int, ...], kv_cache_gib: float) -> None:
    """Raises CannotStart with the first reason that it finds."""
    _platform()
    weights = _model(model)
    for port in ports:
        _port(host, port)
    _memory(_BASE_GIB + kv_cache_gib + weights)


def _platform() -> None:
    if sys.platform != "linux" or platform.machine() not in {"x86_64", "aarch64"}:
        here = f"{platform.system()} on {platform.machine()}"
        raise CannotStart(
            f"vLLM needs Linux on x86-64 or arm64 and this is {here}: use another machine."
        )


def _model(model: str) -> float:
    """How much memory the weights take, in GiB. 0 for a model on the hub: its size is not known."""
    directory = Path(model)
    if not directory.is_dir():
        if not _HUB_ID.fullmatch(model):
            raise CannotStart(
                f"MODEL={model} is neither a directory nor a hub id such as Qwen/Qwen3-0.6B."
            )
        return 0.0
    if not (directory / "config.json").is_file():
        raise CannotStart(f"{model} holds no config.json: MODEL must be a Hugging Face model.")
    return sum(file.stat().st_size for file in directory.glob("*.safetensors")) / 2**30


def _port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotStart(
                f"{host}:{port} cannot be used ({error.strerror}): choose another with PORT=."
            ) from None


def _memory(needed_gib: float) -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    free_gib = int(fields["MemAvailable"].split()[0]) / 2**20
    if free_gib < needed_gib:
        raise CannotStart(
            f"about {needed_gib:.1f} GiB of memory are needed and {free_gib:.1f} are free:"
            " close something, or choose a smaller MODEL."
        )


def free_port(host: str) -> int:
    """One that is not given twice, and to no outgoing connection before somebody listens on it.

    The kernel takes the ports of those from a range of its own.
    """
    for port in _candidates():
        with suppress(OSError), socket.socket() as probe:
            probe.bind((host, port))
            return port
    raise CannotStart(f"no port of {host} is free.")


@cache
def _candidates() -> Iterator[int]:
    first_outgoing = int(_OUTGOING_PORTS.read_text().split()[0])
    below = range(_LEAST_PORT, first_outgoing)
    others = range(max(first_outgoing, _LEAST_PORT), 2**16)
    return iter([*random.sample(below, len(below)), *random.sample(others, len(others))])

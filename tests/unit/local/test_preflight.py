"""What keeps the mesh from starting is said in one sentence that names the remedy."""

import platform
import socket
import sys
from pathlib import Path

import pytest

from services.inference.config import DEMO_DIRECTORY
from services.local import preflight
from services.local.preflight import check, free_port
from services.shared.errors import CannotStart

HOST = "127.0.0.1"


def checked(model: str = str(DEMO_DIRECTORY), port: int = 0, gib: float = 0.1) -> None:
    check(model=model, host=HOST, ports=(port or free_port(HOST),), kv_cache_gib=gib)


def refusal(**given: object) -> str:
    with pytest.raises(CannotStart) as caught:
        checked(**given)  # type: ignore[arg-type]
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_the_demo_model_may_start_here() -> None:
    checked()


def test_a_port_in_use_is_named_with_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in refusal(port=port)
        assert "PORT=" in refusal(port=port)


@pytest.mark.parametrize("model", ["nowhere", "/no/such/place", "a/b/c"])
def test_what_is_no_model_is_named(model: str) -> None:
    assert refusal(model=model).startswith(f"MODEL={model} is neither a directory nor a hub id")


def test_a_hub_id_may_start() -> None:
    checked("Qwen/Qwen3-0.6B")


def test_a_directory_without_a_model_is_named(tmp_path: Path) -> None:
    assert "config.json" in refusal(model=str(tmp_path))


def test_too_little_memory_is_said_with_both_figures() -> None:
    assert "GiB of memory are needed" in refusal(gib=1e6)


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("linux", "riscv64")])
def test_another_platform_is_refused(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert machine in refusal()


def test_free_ports_are_free() -> None:
    ports = {preflight.free_port(HOST) for _ in range(5)}
    assert len(ports) == 5
    for port in ports:
        checked(port=port)


def test_a_free_port_is_none_that_an_outgoing_connection_may_get_meanwhile() -> None:
    outgoing = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    assert all(preflight.free_port(HOST) < int(outgoing[0]) for _ in range(5))

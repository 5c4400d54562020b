"""The seven services as seven processes here, to be measured, killed and started again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from loadtest.process import Process
from services.local.kept import STORES
from services.local.preflight import free_port

SERVICES = (
    "inference",
    "tokenizer",
    "moderation",
    "memory",
    "tool_runner",
    "context_assembly",
    "gateway",
)
_HOST = "127.0.0.1"


@dataclass(slots=True)
class SevenProcesses:
    """The mesh, a process for each service, on ports of its own."""

    data: Path
    http_port: int
    ports: dict[str, int]
    metrics_ports: dict[str, int]
    processes: dict[str, Process] = field(default_factory=dict)
    api_key: str = ""
    # The URL of the server that keeps accounts; empty: a file in `data` does.
    accounts: str = ""

    @property
    def base_url(self) -> str:
        return f"http://{_HOST}:{self.http_port}/v1"

    def address(self, name: str) -> str:
        return f"{_HOST}:{self.ports[name]}"

    def metrics_url(self, name: str) -> str:
        return f"http://{_HOST}:{self.metrics_ports[name]}/metrics"

    def key(self, name: str) -> str:
        """A key for the account `acct_<name>`, which is made if it is not there.

        The model may remember for its requests.
        """
        command = [sys.executable, "-m", "services", "key", "create", name, "--memory"]
        command += ["--data", str(self.data)]
        where = {**os.environ, "CHATMESH_STORES": self.accounts}
        made = subprocess.run(command, check=True, capture_output=True, text=True, env=where)
        return made.stdout.strip()

    def restart(self, name: str, **environment: str) -> None:
        """Stops the service gently, if it runs, and starts it with further settings."""
        process = self.processes[name]
        if process.alive:
            process.signal(signal.SIGTERM)
            process.wait(60)
        process.environment |= environment
        process.start()
        self.wait_listening(name)

    def wait_listening(self, name: str, seconds: float = 300) -> None:
        port = self.http_port if name == "gateway" else self.ports[name]
        wait_listening(self.processes[name], port, seconds)

    def wait_ready(self, seconds: float = 300) -> None:
        """Returns when the gateway says that a turn can be served."""
        due = time.monotonic() + seconds
        url = f"http://{_HOST}:{self.http_port}/readyz"
        while time.monotonic() < due:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
            time.sleep(0.05)
        raise TimeoutError(f"the gateway is not ready after {seconds} s")


@contextmanager
def seven_processes(
    data: Path,
    settings: Mapping[str, Mapping[str, str]] | None = None,
    stores: Mapping[str, str] | None = None,
) -> Iterator[SevenProcesses]:
    """Starts all, waits until the gateway is ready, stops all. `settings` are by service.

    `stores` are the URLs of empty stores by what is kept there (`conversations`, `facts`,
    `accounts`); what is not named is kept in files.
    """
    stores = stores or {}
    mesh = _planned(data, settings or {}, stores)
    with ExitStack() as stack:
        for what in stores:
            _migrate(mesh.processes[_package(what)])
        for process in mesh.processes.values():
            stack.callback(process.stop)
            process.start()
        for name in SERVICES:
            mesh.wait_listening(name)
        mesh.wait_ready()
        mesh.api_key = mesh.key("bench")
        yield mesh


def _migrate(process: Process) -> None:
    """A service finds its tables on a server, and makes none."""
    where = {**os.environ, **process.environment}
    subprocess.run([*process.command, "--migrate"], check=True, env=where)


def _package(what: str) -> str:
    return STORES[what].package.rpartition(".")[2]


def _planned(
    data: Path, settings: Mapping[str, Mapping[str, str]], stores: Mapping[str, str]
) -> SevenProcesses:
    data.mkdir(parents=True, exist_ok=True)
    free = iter(free_ports(2 * len(SERVICES) + 1))
    mesh = SevenProcesses(
        data,
        http_port=next(free),
        ports={name: next(free) for name in SERVICES},
        metrics_ports={name: next(free) for name in SERVICES},
        accounts=stores.get("accounts", ""),
    )
    kept = {_package(what): (STORES[what].knob, url) for what, url in stores.items()}
    where = {f"{name.upper()}_ADDRESS": mesh.address(name) for name in SERVICES}
    for name in SERVICES:
        prefix = name.upper()
        environment = {f"{prefix}_{key}": address for key, address in where.items()}
        environment |= {
            f"{prefix}_ADDRESS": mesh.address(name),
            f"{prefix}_METRICS_ADDRESS": f"{_HOST}:{mesh.metrics_ports[name]}",
            **_settings(data, mesh.http_port, mesh.address("inference")).get(name, {}),
        }
        if name in kept:
            knob, url = kept[name]
            environment[f"{prefix}_{knob.upper()}"] = url
        environment |= settings.get(name, {})
        command = (sys.executable, "-m", f"services.{name}")
        mesh.processes[name] = Process(name, command, environment, data / f"{name}.log")
    return mesh


def _settings(data: Path, http_port: int, inference: str) -> dict[str, dict[str, str]]:
    return {
        "memory": {"MEMORY_STORE_URL": f"sqlite:{data}/memory.sqlite"},
        "context_assembly": {
            "CONTEXT_ASSEMBLY_TURNS_URL": f"sqlite:{data}/turns.sqlite",
            "CONTEXT_ASSEMBLY_INFERENCE_ADDRESSES": json.dumps({"": inference}),
        },
        "gateway": {
            "GATEWAY_INFERENCE_POOLS": json.dumps([{"name": "local", "address": inference}]),
            "GATEWAY_HTTP_ADDRESS": f"{_HOST}:{http_port}",
            "GATEWAY_ACCOUNTS_URL": f"sqlite:{data}/gateway.sqlite",
            "GATEWAY_PEPPER_FILE": str(data / "pepper"),
        },
    }


def wait_listening(process: Process, port: int, seconds: float = 300) -> None:
    due = time.monotonic() + seconds
    while time.monotonic() < due:
        if not process.alive:
            raise RuntimeError(f"{process.name} ended: see {process.log}")
        with socket.socket() as probe:
            if probe.connect_ex((_HOST, port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"{process.name} does not listen after {seconds} s")


def free_ports(count: int) -> list[int]:
    return [free_port(_HOST) for _ in range(count)]

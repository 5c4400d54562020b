"""Real Redis servers on loopback, as `make contract` installs them: Debian's `redis-server`."""

import itertools
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

_STARTS_SECONDS = 10
_ALL_SLOTS = 16384
_prefixes = itertools.count()


@dataclass(slots=True)
class RedisServer:
    """A server of our own: it can be stopped and started again, with an empty memory."""

    port: int
    folder: Path
    clustered: bool = False
    options: tuple[str, ...] = ()
    # A `certified_folder`, and its port with TLS.
    certified: Path | None = None
    tls_port: int = 0
    password: str | None = None
    process: "subprocess.Popen[bytes] | None" = None
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        return f"redis{'+cluster' if self.clustered else ''}://127.0.0.1:{self.port}"

    def own_url(self) -> str:
        """The URL with keys of one test alone."""
        return f"{self.url}?prefix=test{next(_prefixes)}"

    @property
    def client(self) -> Any:
        """Its own client, for tests that look into it; one node holds every slot."""
        return redis.Redis(port=self.port, password=self.password, socket_timeout=5)

    def start(self) -> None:
        program = shutil.which("redis-server")
        if not program:
            pytest.skip("redis-server missing: `make contract` installs it")
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        kept = ["--save", "", "--appendonly", "no"]
        cluster = ["--cluster-enabled", "yes"] if self.clustered else []
        command = [program, *place, *kept, *cluster, *self._tls(), *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self._wait_for_it()
        if self.clustered:
            self._take_all_slots()

    def _tls(self) -> list[str]:
        if not self.certified:
            return []
        own = {each: str(self.certified / f"localhost.{each}") for each in ("crt", "key")}
        known = ["--tls-cert-file", own["crt"], "--tls-key-file", own["key"]]
        authority = str(self.certified / "ca.crt")
        trusted = ["--tls-ca-cert-file", authority, "--tls-auth-clients", "no"]
        return ["--tls-port", str(self.tls_port), "--tls-replication", "yes", *known, *trusted]

    def stop(self) -> None:
        """At once, as a crash is."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
        (self.folder / "nodes.conf").unlink(missing_ok=True)

    def _wait_for_it(self) -> None:
        end = time.monotonic() + _STARTS_SECONDS
        while True:
            assert self.process
            assert self.process.poll() is None, "redis-server ended"
            try:
                self.client.ping()
                return
            except redis.RedisError:
                assert time.monotonic() < end, "redis-server does not answer"

    def _take_all_slots(self) -> None:
        client = self.client
        client.execute_command("CLUSTER ADDSLOTSRANGE", 0, _ALL_SLOTS - 1)
        end = time.monotonic() + _STARTS_SECONDS
        while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
            assert time.monotonic() < end, "the cluster of one node is not ready"

    def pass_time(self, prefix: str, seconds: float) -> None:
        """As if so much time had passed for all that is kept under a prefix.

        For leases, for when gateways have looked, and for what expires.
        """
        client, gone = self.client, int(seconds * 1000)
        for key in client.scan_iter(f"{prefix}:*"):
            if key.endswith(b":turn"):
                client.hincrby(key, "until", -gone)
            if key.endswith((b":leases", b":looked")):
                for member in client.zrange(key, 0, -1):
                    client.zincrby(key, -gone, member)
            left = client.pttl(key)
            if left >= 0:
                client.pexpire(key, left - gone)


@contextmanager
def redis_server(
    folder: Path,
    *options: str,
    clustered: bool = False,
    certified: Path | None = None,
    password: str | None = None,
) -> Iterator[RedisServer]:
    """With `certified`, it talks TLS at a second port."""
    with (
        socket.create_server(("127.0.0.1", 0)) as free,
        socket.create_server(("127.0.0.1", 0)) as free_too,
    ):
        port: int = free.getsockname()[1]
        tls_port: int = free_too.getsockname()[1] if certified else 0
    # A node of a cluster listens at its port + 10000 too.
    if clustered and port > 55_000:
        port -= 20_000
    server = RedisServer(port, folder, clustered, options, certified, tls_port, password)
    try:
        server.start()
        yield server
    finally:
        server.stop()


class RedisServers(ExitStack):
    """One server of each kind, from when it is first asked for until all end."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        super().__init__()
        self._folders = folders
        self._found: dict[bool, RedisServer] = {}

    def __call__(self, *, clustered: bool = False) -> RedisServer:
        if clustered not in self._found:
            serving = redis_server(self._folders.mktemp("redis"), clustered=clustered)
            self._found[clustered] = self.enter_context(serving)
        return self._found[clustered]


@pytest.fixture(scope="session")
def redis_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServers]:
    with RedisServers(tmp_path_factory) as servers:
        yield servers

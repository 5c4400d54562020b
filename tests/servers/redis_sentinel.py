"""A Redis server with a replica, watched by three Sentinels, on loopback."""

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from tests.servers.redis import RedisServer, redis_server

MASTER = "mesh"
PASSWORD = "hunter2"
_READY_SECONDS = 60
# After how long a server that does not answer is taken for dead, in milliseconds.
_DOWN_MS = 2000


@dataclass(slots=True)
class Sentinels:
    servers: Sequence[RedisServer]
    ports: Sequence[int]
    certified: Path | None
    processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        tls = f"?tls=true&sslrootcert={self.certified}/server.crt" if self.certified else ""
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{MASTER}{tls}"

    def master(self) -> RedisServer:
        """As the first of the Sentinels says."""
        _, port = self._client(self.ports[0]).sentinel_get_master_addr_by_name(MASTER)
        (found,) = (each for each in self.servers if port in {each.port, each.tls_port})
        return found

    def is_ready(self) -> bool:
        """Each Sentinel knows the other two and the replica, which has all that the master has."""
        told = [self._client(port).sentinel_master(MASTER) for port in self.ports]
        met = all(each["num-other-sentinels"] == 2 and each["num-slaves"] == 1 for each in told)
        return met and self.servers[1].client.info("replication")["master_link_status"] == "up"

    def _client(self, port: int) -> Any:
        tls = {"ssl": True, "ssl_ca_certs": f"{self.certified}/server.crt"}
        named: Any = tls if self.certified else {}
        return redis.Redis(port=port, socket_timeout=5, **named)


@contextmanager
def redis_sentinels(folder: Path, certified: Path | None = None) -> Iterator[Sentinels]:
    """With `certified`, all talk TLS with each other, and clients have to."""
    password = ("--requirepass", PASSWORD, "--masterauth", PASSWORD)
    with ExitStack() as stack:

        def served(name: str, *more: str) -> RedisServer:
            (folder / name).mkdir()
            serving = redis_server(
                folder / name, *password, *more, certified=certified, password=PASSWORD
            )
            return stack.enter_context(serving)

        master = served("one")
        port = master.tls_port or master.port
        replica = served("two", "--replicaof", "127.0.0.1", str(port))
        sentinels = Sentinels([master, replica], [*_free_ports(3)], certified)
        for number, own_port in enumerate(sentinels.ports):
            config = folder / f"sentinel{number}.conf"
            config.write_text("\n".join(_settings(own_port, port, certified)))
            command = ["redis-server", str(config), "--sentinel"]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
            sentinels.processes.append(process)
        _wait_for(sentinels)
        yield sentinels


def _settings(own_port: int, port: int, certified: Path | None) -> Iterator[str]:
    yield "bind 127.0.0.1"
    if certified:
        yield from (f"tls-port {own_port}", "port 0", "tls-replication yes")
        yield from ("tls-auth-clients no", f"tls-ca-cert-file {certified}/server.crt")
        yield from (f"tls-cert-file {certified}/server.crt", f"tls-key-file {certified}/server.key")
    else:
        yield f"port {own_port}"
    yield f"sentinel monitor {MASTER} 127.0.0.1 {port} 2"
    yield f"sentinel auth-pass {MASTER} {PASSWORD}"
    yield f"sentinel down-after-milliseconds {MASTER} {_DOWN_MS}"
    yield f"sentinel failover-timeout {MASTER} 6000"


def _free_ports(count: int) -> Iterator[int]:
    with ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        found = [each.getsockname()[1] for each in free]
    yield from found


def _wait_for(sentinels: Sentinels) -> None:
    end = time.monotonic() + _READY_SECONDS
    while True:
        try:
            if sentinels.is_ready():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < end, "the Sentinels do not find each other"

"""FerretDB on loopback, as `make contract` installs it: it speaks MongoDB's wire protocol.

No real MongoDB is to be had from the registries. FerretDB 1.24 keeps documents in SQLite files, or
in PostgreSQL, and has no transactions, replica sets, change streams, TTL or text indexes.
"""

import atexit
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path

import pytest

from services.context_assembly.adapters.mongodb import migrate_mongodb_turns
from services.shared.store_url import StoreUrl
from tests.servers.authority import Certified
from tests.servers.postgres import ROLE
from tests.servers.postgres import start_server as start_postgres

_PROGRAM = Path(__file__).parents[2] / ".tools/bin/ferretdb-1.24.2"
_numbers = count(1)


@dataclass(slots=True)
class FerretServer:
    """One that is killed comes back with what it had on its disk."""

    folder: Path
    port: int
    # None: it speaks no TLS.
    certified: Certified | None = None
    # In which database of PostgreSQL it keeps all; "": in SQLite files.
    postgres_url: str = ""
    process: "subprocess.Popen[bytes]" = field(init=False)

    def start(self) -> None:
        kept = ["--handler=sqlite", f"--sqlite-url=file:{self.folder}/"]
        if self.postgres_url:
            kept = ["--handler=postgresql", f"--postgresql-url={self.postgres_url}"]
        kept.append(f"--state-dir={self.folder}")
        place = [f"--listen-addr=127.0.0.1:{self.port}"]
        if self.certified:
            place = [
                "--listen-addr=",
                f"--listen-tls=127.0.0.1:{self.port}",
                f"--listen-tls-cert-file={self.certified.certificate}",
                f"--listen-tls-key-file={self.certified.key}",
            ]
        quiet = ["--debug-addr=-", "--telemetry=disable", "--log-level=error"]
        with (self.folder / "log").open("wb") as log:
            command = [str(_PROGRAM), *kept, *place, *quiet]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        while True:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(timeout=0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def url(self, database: str) -> StoreUrl:
        return StoreUrl(f"mongodb://127.0.0.1:{self.port}/{database}")


def start_server(certified: Certified | None = None, postgres_url: str = "") -> FerretServer:
    """One of its own, for a test that needs one. It ends with the process."""
    if not _PROGRAM.exists():
        pytest.skip("FerretDB missing: `make contract` installs it")
    folder = Path(tempfile.mkdtemp(prefix="chatmesh-ferretdb-"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        started = FerretServer(folder, free.getsockname()[1], certified, postgres_url)
    atexit.register(_end, started)
    started.start()
    return started


def _end(started: FerretServer) -> None:
    started.kill()
    shutil.rmtree(started.folder)


server = cache(start_server)


async def fresh_documents() -> StoreUrl:
    """With the collections of all services, and nothing in them."""
    url = server().url(f"test{next(_numbers)}")
    await migrate_mongodb_turns(url)
    return url


async def indexed_documents() -> StoreUrl:
    """As `fresh_documents`, on a server that finds documents by indexes.

    FerretDB makes the indexes that it is told to make, but its queries cannot use them: it reads
    whole collections. PostgreSQL can answer these queries by indexes of another kind. FerretDB
    does not make those, so they are made here.
    """
    postgres = start_postgres(autovacuum="on", autovacuum_naptime="1s")
    with postgres.superuser() as connection:
        connection.execute(f"CREATE DATABASE ferretdb OWNER {ROLE}")
        # PostgreSQL reads small tables whole otherwise, and keeps that plan when they have grown.
        connection.execute(f"ALTER ROLE {ROLE} SET enable_seqscan = off")
    started = start_server(postgres_url=postgres.url("ferretdb").get_secret_value())
    who = f"{ROLE}:{postgres.password}"
    url = StoreUrl(f"mongodb://{who}@127.0.0.1:{started.port}/indexed?authMechanism=PLAIN")
    await migrate_mongodb_turns(url)
    with postgres.superuser("ferretdb") as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'indexed'")
        for (table,) in found.fetchall():
            for field in ("_id", "tree" if table.startswith("tree") else "section"):
                by_field = f"gin ((_jsonb->'{field}') jsonb_path_ops)"
                connection.execute(f"CREATE INDEX ON indexed.{table} USING {by_field}")
    return url

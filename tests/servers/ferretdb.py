"""FerretDB on loopback, as `make contract` installs it: it speaks MongoDB's wire protocol.

No real MongoDB is to be had from the registries. FerretDB 1.24 keeps documents in SQLite files, and
has no transactions, replica sets, change streams, TTL or text indexes.
"""

import atexit
import shutil
import signal
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

_PROGRAM = Path(__file__).parents[2] / ".tools/bin/ferretdb-1.24.2"
_numbers = count(1)


@dataclass(slots=True)
class FerretServer:
    """One that is killed comes back with what it had on its disk."""

    folder: Path
    port: int
    # None: it speaks no TLS.
    certified: Certified | None = None
    process: "subprocess.Popen[bytes]" = field(init=False)

    def start(self) -> None:
        files = [
            "--handler=sqlite",
            f"--sqlite-url=file:{self.folder}/",
            f"--state-dir={self.folder}",
        ]
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
            command = [str(_PROGRAM), *files, *place, *quiet]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        while True:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(timeout=0.05)

    def hang(self) -> None:
        """Its connections stay, and nothing answers on them."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def url(self, database: str) -> StoreUrl:
        return StoreUrl(f"mongodb://127.0.0.1:{self.port}/{database}")


def start_server(certified: Certified | None = None) -> FerretServer:
    """One of its own, for a test that needs one. It ends with the process."""
    if not _PROGRAM.exists():
        pytest.skip("FerretDB missing: `make contract` installs it")
    folder = Path(tempfile.mkdtemp(prefix="chatmesh-ferretdb-"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        started = FerretServer(folder, free.getsockname()[1], certified)
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

"""`python -m tests.servers COMMAND...`: runs a command on the servers that tests use.

Wherever the command says `{postgresql}`, `{cassandra}` or `{mongodb}`, it gets the URL of an empty
store: PostgreSQL 16 that waits for no disk, three nodes of Cassandra, FerretDB in the place of
MongoDB. `{mongodb-indexed}` is a FerretDB that finds documents by indexes. `{sqlite}` is a file.
Servers that are named are started first, and end with the command.
"""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import reduce

import pytest

from loadtest.interrupts import Interrupted, interruptible
from services.shared.store_url import StoreUrl
from tests.servers.cassandra import empty_keyspace
from tests.servers.ferretdb import fresh_documents, indexed_documents
from tests.servers.postgres import empty_database


async def run(command: Sequence[str]) -> int:
    """The command's exit status."""
    async with AsyncExitStack() as stack:
        urls = {}
        for name, started in _stores(stack).items():
            if any(name in word for word in command):
                sys.stderr.write(f"starting {name[1:-1]}\n")
                urls[name] = (await started()).get_secret_value()
        process = await asyncio.create_subprocess_exec(*(_filled(word, urls) for word in command))
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


def _stores(stack: AsyncExitStack) -> Mapping[str, Callable[[], Awaitable[StoreUrl]]]:
    async def sqlite() -> StoreUrl:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chatmesh-store-"))
        return StoreUrl(f"sqlite:{folder}/store.sqlite")

    async def postgresql() -> StoreUrl:
        return await stack.enter_async_context(empty_database())

    return {
        "{sqlite}": sqlite,
        "{postgresql}": postgresql,
        "{cassandra}": empty_keyspace,
        "{mongodb}": fresh_documents,
        "{mongodb-indexed}": indexed_documents,
    }


def _filled(word: str, urls: Mapping[str, str]) -> str:
    return reduce(lambda filled, name: filled.replace(name, urls[name]), urls, word)


if __name__ == "__main__":
    if len(sys.argv) == 1 or sys.argv[1] in {"-h", "--help"}:
        sys.exit(__doc__)
    try:
        with interruptible():
            sys.exit(asyncio.run(run(sys.argv[1:])))
    except pytest.skip.Exception as missing:
        sys.exit(str(missing))
    except Interrupted as error:
        sys.exit(f"stopped by {error}, and with it the servers")

"""A database of MongoDB: how it is opened, and how it fails.

Nothing here says a word of the URL: not in an error, and not in a log.
"""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pymongo
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidName,
    InvalidURI,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern

from services.shared.deadline import within
from services.shared.errors import CannotStart, Unavailable
from services.shared.schema import Version, check, migrate
from services.shared.store_url import StoreUrl

Document = dict[str, Any]
Database = AsyncDatabase[Document]
_OPERATION_SECONDS = 5.0
_CONNECT_MS = 5_000
_RETRY_AFTER = "1"
_VERSIONS = "schema_version"
_REFUSED_LOGIN = 18
# What OpenSSL says of a certificate that this side does not trust, or that is another's.
_DISTRUSTED = "certificate verify failed"
# What is raised where asking again later may help, and what was asked for may have been done.
_PASSING = (ConnectionFailure, ExecutionTimeout, NetworkTimeout, WriteConcernError, WTimeoutError)


@contextmanager
def answering() -> Iterator[None]:
    """Around operations: they have some seconds, and fail with `Unavailable`."""
    try:
        with pymongo.timeout(within(_OPERATION_SECONDS)):
            yield
    except _PASSING as error:
        if _DISTRUSTED in str(error):
            raise CannotStart(
                "MongoDB has no certificate for its host name from an authority that the URL names"
            ) from None
        raise _unavailable(error) from None


async def set_fields(
    collection: AsyncCollection[Document], own: Document, fields: Document
) -> None:
    """Sets fields of a document, which is made where it is not there yet."""
    with answering():
        try:
            await collection.update_one(own, {"$set": fields}, upsert=True)
        except DuplicateKeyError:
            # Somebody has made it meanwhile.
            await collection.update_one(own, {"$set": fields})


def _unavailable(error: PyMongoError) -> Unavailable:
    """Its words hold addresses, and are left out."""
    return Unavailable(
        f"MongoDB does not answer now ({type(error).__name__})",
        service="mongodb",
        retry_after=_RETRY_AFTER,
    )


@asynccontextmanager
async def open_database(
    url: StoreUrl, part: str, migrations: Sequence[str]
) -> AsyncIterator[Database]:
    """Raises `CannotStart` where the database is not of this release's schema.

    The URL's options are MongoDB's own, such as `tls` and `tlsCAFile`. What is written is written
    to the majority of a replica set, and read from there.
    """
    async with _connected(url) as database:
        await check(_Collections(database, part), migrations)
        yield database


async def migrate_database(url: StoreUrl, part: str, migrations: Sequence[str]) -> None:
    """A script is commands in JSON, one a line; each may be run again. Raises `NewerSchema`."""
    async with _connected(url) as database:
        await migrate(_Collections(database, part), migrations)


@asynccontextmanager
async def _connected(url: StoreUrl) -> AsyncIterator[Database]:
    try:
        client: AsyncMongoClient[Document] = AsyncMongoClient(
            url.get_secret_value(),
            appname="chatmesh",
            serverSelectionTimeoutMS=_CONNECT_MS,
            connectTimeoutMS=_CONNECT_MS,
        )
        database = client.get_default_database(
            write_concern=WriteConcern("majority"), read_concern=ReadConcern("majority")
        )
    except (ConfigurationError, InvalidURI, InvalidName, ValueError):
        raise CannotStart(
            "the URL of MongoDB cannot be read: it is mongodb://<user>:<password>@<host>,<host>/"
            "<database>, special characters in user and password are percent-encoded, and its"
            " options are MongoDB's own"
        ) from None
    async with client:
        yield database


class _Collections:
    """What one service keeps in a database: a `VersionedStore`."""

    def __init__(self, database: Database, part: str) -> None:
        self._database = database
        self._part = part
        self.name = f"the database {database.name} of MongoDB"

    async def version(self) -> Version:
        with self._starting():
            found = await self._database[_VERSIONS].find_one({"_id": self._part})
        return Version(found["number"], found["needed"]) if found else Version()

    async def apply(self, script: str, version: Version) -> None:
        with self._starting():
            for line in filter(str.strip, script.splitlines()):
                await self._database.command(json.loads(line))
            told = {"number": version.number, "needed": version.needed}
            await set_fields(self._database[_VERSIONS], {"_id": self._part}, told)

    @contextmanager
    def _starting(self) -> Iterator[None]:
        try:
            with answering():
                yield
        except OperationFailure as error:
            if error.code != _REFUSED_LOGIN:
                raise
            raise CannotStart("MongoDB refuses the user or the password") from None

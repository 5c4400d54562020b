"""How PostgreSQL is connected to, and what goes wrong on the way.

Nothing here says a word of the URL: not in an error, and not in a log.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row

from services.shared.errors import CannotStart, Unavailable
from services.shared.postgres_text import register
from services.shared.store_url import StoreUrl

Connection = AsyncConnection[DictRow]
_POOL_SIZE = "pool_size"
_CONNECTIONS = 10
RETRY_AFTER = "1"
# The URL may say otherwise. A server that vanishes without a word is noticed within seconds.
_DEFAULTS = {
    "application_name": "chatmesh",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
# What libpq says in English of a URL that will never work. Other failures may pass.
_HOPELESS = {
    "password authentication failed": "refuses the user or the password",
    "no password supplied": "wants a password",
    "does not exist": "knows no such user or database",
    "certificate": "and this process do not trust each other's certificates",
    "SSL": "and this process do not agree on TLS",
    "no pg_hba.conf entry": "lets this user not in from here",
    "permission denied": "denies the user a permission",
}


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """What a URL says: libpq's own words, and how many connections there may be."""

    words: Mapping[str, Any] = field(repr=False)
    pool_size: int = _CONNECTIONS


def settings(url: StoreUrl) -> ConnectionSettings:
    """Options are libpq's, and `pool_size`. Raises `CannotStart`."""
    try:
        parts = urlsplit(url.get_secret_value())
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
        pool_size = int(options.pop(_POOL_SIZE, _CONNECTIONS))
        libpq = parts._replace(query=urlencode(options)).geturl()
        words = conninfo_to_dict(libpq)
    except (ValueError, psycopg.Error):
        raise CannotStart(
            "the URL of PostgreSQL cannot be read: in its user and password special characters are"
            f" percent-encoded, and its options are libpq's and {_POOL_SIZE}"
        ) from None
    if pool_size < 1:
        raise CannotStart(f"{_POOL_SIZE} of the URL of PostgreSQL must be 1 or more")
    return ConnectionSettings(_DEFAULTS | words | {"client_encoding": "utf8"}, pool_size)


@asynccontextmanager
async def connected(found: ConnectionSettings) -> AsyncIterator[Connection]:
    """One connection, for who starts. Raises `CannotStart` where waiting would not help."""
    try:
        connection = await AsyncConnection.connect(
            **found.words, autocommit=True, row_factory=dict_row
        )
    except psycopg.OperationalError as error:
        for words, meaning in _HOPELESS.items():
            if words in str(error):
                raise CannotStart(f"PostgreSQL {meaning}: see its URL") from None
        raise unreached() from None
    register(connection)
    with mesh_errors():
        async with connection:
            yield connection


def unreached() -> Unavailable:
    said = "PostgreSQL cannot be reached"
    return Unavailable(said, service="postgresql", retry_after=RETRY_AFTER)


@contextmanager
def mesh_errors() -> Iterator[None]:
    """What is the server's or the network's fault becomes `Unavailable`, without its words.

    Whether a transaction was kept whose end was not heard nobody knows; all that is written here
    may be written again.
    """
    try:
        yield
    except (errors.QueryCanceled, errors.LockNotAvailable, errors.DeadlockDetected):
        said = "PostgreSQL did not answer in time"
        raise Unavailable(said, service="postgresql", retry_after=RETRY_AFTER) from None
    except (psycopg.OperationalError, psycopg.InterfaceError, errors.ReadOnlySqlTransaction):
        raise unreached() from None

"""What the mesh keeps, by service, and how the commands of operators open it."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from pydantic import ValidationError

from services.context_assembly import ports as turns
from services.context_assembly.wiring import SERVICE as CONTEXT_ASSEMBLY
from services.gateway import ports as accounts
from services.gateway.wiring import SERVICE as GATEWAY
from services.memory import ports as facts
from services.memory.wiring import SERVICE as MEMORY
from services.shared.errors import CannotStart
from services.shared.moving import Movable, RecordKind
from services.shared.process import Service
from services.shared.sqlite import SCHEME
from services.shared.store_url import StoreUrl


@dataclass(frozen=True, slots=True)
class Kept:
    """What one service keeps."""

    service: Service[Any]
    # The field of the service's configuration that says where.
    knob: str
    # Its file in the folder of `make up`.
    file: str
    kinds: Sequence[RecordKind[Any]]

    def url(self, given: str) -> StoreUrl:
        """As the service reads it, out of a file too; nothing given: as its environment says.

        Raises a ClickException for what the service cannot open.
        """
        try:
            config = self.service.config(**({self.knob: StoreUrl(given)} if given else {}))
        except ValidationError as error:
            said = "; ".join(each["msg"] for each in error.errors())
            raise click.ClickException(said) from None
        url: StoreUrl = getattr(config, self.knob)
        return url

    @asynccontextmanager
    async def opened(self, url: StoreUrl) -> AsyncIterator[Any]:
        """The service's own store, brought to this release's schema where opening does that.

        Raises `CannotStart`.
        """
        assert self.service.store
        async with self.service.store(self.service.config(**{self.knob: url})) as store:
            yield store


# Conversations come first. Their store counts the erasures of facts that it has handled: facts of a
# copy or a backup that was made before theirs would get the same numbers again, unhandled.
STORES: Mapping[str, Kept] = {
    "conversations": Kept(
        CONTEXT_ASSEMBLY, "turns_url", "context-assembly.sqlite", turns.RECORD_KINDS
    ),
    "facts": Kept(MEMORY, "store_url", "memory.sqlite", facts.RECORD_KINDS),
    "accounts": Kept(GATEWAY, "accounts_url", "gateway.sqlite", accounts.RECORD_KINDS),
}


def url_of(what: str, data: Path | None) -> StoreUrl:
    """In a folder of `make up`, or where the service's environment says."""
    kept = STORES[what]
    return kept.url(f"{SCHEME}{data}/{kept.file}" if data else "")


def name_of(url: StoreUrl) -> str:
    """Tells one store from another, and holds no password."""
    path = path_of(url)
    if path:
        return f"{SCHEME}{path}"
    parts = urlsplit(url.get_secret_value())
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def path_of(url: StoreUrl) -> Path | None:
    """The file of an SQLite store."""
    whole = url.get_secret_value()
    return Path(whole.removeprefix(SCHEME)).resolve() if whole.startswith(SCHEME) else None


@asynccontextmanager
async def opened(what: str, url: StoreUrl, *, makes: bool = False) -> AsyncIterator[Any]:
    """A store that is there; a file that is not there is made if it may be.

    Raises `CannotStart`, or a ClickException.
    """
    path = path_of(url)
    if path and not makes and not path.is_file():
        raise click.ClickException(f"there is no file {path}")
    async with STORES[what].opened(url) as store:
        yield store


def movable(store: object) -> Movable:
    if not isinstance(store, Movable):
        raise click.ClickException(f"{type(store).__name__} ends with this command")
    return store


@contextmanager
def in_a_sentence() -> Iterator[None]:
    """What an operator can act on is told without a stack of calls."""
    try:
        yield
    except CannotStart as error:
        raise click.ClickException(str(error)) from None

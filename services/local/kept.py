"""What the mesh keeps, by service, and how the commands of operators open it."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from pydantic import ValidationError

from services.shared.errors import CannotStart, MeshError
from services.shared.moving import Movable, RecordKind
from services.shared.process import Service
from services.shared.sqlite import SCHEME
from services.shared.store_url import StoreUrl


@dataclass(frozen=True, slots=True)
class Kept:
    """What one service keeps. The service is imported when it is needed: some take seconds."""

    package: str
    # The field of the service's configuration that says where.
    knob: str
    # Its file in the folder of `make up`.
    file: str

    @property
    def name(self) -> str:
        """The service's."""
        return self.package.rpartition(".")[2].replace("_", "-")

    @property
    def kinds(self) -> Sequence[RecordKind[Any]]:
        kinds: Sequence[RecordKind[Any]] = import_module(f"{self.package}.ports").RECORD_KINDS
        return kinds

    @property
    def service(self) -> Service[Any]:
        service: Service[Any] = import_module(f"{self.package}.wiring").SERVICE
        return service

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
        service = self.service
        assert service.store
        async with service.store(service.config(**{self.knob: url})) as store:
            yield store


# Conversations come first. Their store counts the erasures of facts that it has handled: facts of a
# copy or a backup that was made before theirs would get the same numbers again, unhandled.
STORES: Mapping[str, Kept] = {
    "conversations": Kept("services.context_assembly", "turns_url", "context-assembly.sqlite"),
    "facts": Kept("services.memory", "store_url", "memory.sqlite"),
    "accounts": Kept("services.gateway", "accounts_url", "gateway.sqlite"),
}


def url_of(what: str, data: Path | None, stores: str = "") -> StoreUrl:
    """On a server for all, in a folder of `make up`, or where the service's environment says."""
    kept = STORES[what]
    return kept.url(stores or (f"{SCHEME}{data}/{kept.file}" if data else ""))


def pepper_file() -> Path:
    """Where the gateway's environment says that what keys are hashed with is kept."""
    path: Path = STORES["accounts"].service.config().pepper_file
    return path


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
    if url.scheme == "memory":
        raise click.ClickException("memory: ends with this command")
    if path and not makes and not path.is_file():
        raise click.ClickException(f"there is no file {path}")
    async with STORES[what].opened(url) as store:
        yield store


def movable(store: object) -> Movable:
    if not isinstance(store, Movable):
        raise click.ClickException(f"{type(store).__name__} cannot be read as a whole")
    return store


@contextmanager
def in_a_sentence() -> Iterator[None]:
    """What an operator can act on is told without a stack of calls."""
    try:
        yield
    except (CannotStart, MeshError) as error:
        raise click.ClickException(str(error)) from None

"""`key create`, `list` and `revoke`: the API keys of the mesh that runs here, or in this pod."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click

from services.gateway.config import GatewayConfig
from services.gateway.key_issuer import KeyIssuer, KeyRefused, KeyWish
from services.gateway.ports import AccountKind, StoredKey
from services.gateway.wiring import open_key_issuer
from services.local.stores import kept_in, stores_option
from services.shared.errors import CannotStart, MeshError
from services.shared.process import read

_Done = TypeVar("_Done")
data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where `up` keeps everything; else what the gateway's environment says, or .chatmesh.",
)


@click.group()
def key() -> None:
    """API keys: make, list and revoke them."""


@key.command()
@data_option
@stores_option
@click.argument("name")
@click.option(
    "--application/--personal",
    default=None,
    help="For a program with many users: memory only for whom a request names. Else as it is.",
)
@click.option("--change-kind", is_flag=True, help="Also where the account is of the other kind.")
@click.option(
    "--memory/--no-memory",
    default=None,
    help="Whether the model may remember and forget for its requests. Else as it is.",
)
@click.option("--instructions", help="What the owner wants in every conversation; else as it is.")
def create(
    data: Path | None,
    stores: str,
    name: str,
    *,
    application: bool | None,
    change_kind: bool,
    memory: bool | None,
    instructions: str | None,
) -> None:
    """Make an API key for the account NAME; it is shown this once."""
    kinds = {None: None, True: AccountKind.APPLICATION, False: AccountKind.PERSONAL}
    wish = KeyWish(name, kinds[application], instructions, memory, changes_kind=change_kind)
    click.echo(_asked(data, stores, lambda issuer: issuer.create(wish)))


@key.command("list")
@data_option
@stores_option
def list_(data: Path | None, stores: str) -> None:
    """Show all keys with their accounts; of a key only its id."""
    click.echo(_table(_asked(data, stores, lambda issuer: issuer.list_keys())))


@key.command()
@data_option
@stores_option
@click.argument("key_id", default="", metavar="[KEY]")
@click.option("--account", default="", help="All keys of this account, by its name.")
def revoke(data: Path | None, stores: str, key_id: str, account: str) -> None:
    """Revoke a key, by its id, or all keys of an account. Its turns stop within 5 seconds."""
    if bool(key_id) == bool(account):
        raise click.UsageError("name either a key or an --account")

    async def revoked(issuer: KeyIssuer) -> Sequence[StoredKey]:
        return await issuer.revoke_all(account) if account else [await issuer.revoke(key_id)]

    found = _asked(data, stores, revoked)
    for each in found:
        click.echo(f"revoked {each.id} of {each.account.name}")
    if not found:
        click.echo(f"revoked nothing: {account} has no valid key")


def _asked(data: Path | None, stores: str, ask: Callable[[KeyIssuer], Awaitable[_Done]]) -> _Done:
    async def asked() -> _Done:
        async with open_key_issuer(_gateway(data, stores)) as issuer:
            return await ask(issuer)

    with _in_a_sentence():
        return asyncio.run(asked())


@contextmanager
def _in_a_sentence() -> Iterator[None]:
    try:
        yield
    except (KeyRefused, CannotStart, MeshError) as error:
        raise click.ClickException(str(error)) from None


def _gateway(data: Path | None, stores: str) -> GatewayConfig:
    told = kept_in(data or Path(), stores)["gateway"] if data or stores else {}
    return read(GatewayConfig, **told, **({"pepper_file": data / "pepper"} if data else {}))


def _table(keys: Sequence[StoredKey]) -> str:
    rows = [("KEY", "ACCOUNT", "KIND", "MADE (UTC)", "STATE"), *map(_row, keys)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(key: StoredKey) -> tuple[str, ...]:
    made = datetime.fromtimestamp(key.created_at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    state = "revoked" if key.revoked else "valid"
    return key.id, key.account.name, key.account.kind.value, made, state

"""`chatmesh export` and `erase`: what is kept of one person."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import click

from services.context_assembly.ports import ConversationRecord, TurnRecord, TurnStore
from services.gateway.ports import Account, AccountKind, KeyRecord, LedgerEntry
from services.local.kept import in_a_sentence, movable, opened, url_of
from services.local.stores import stores_option
from services.memory.ports import FactRecord, FactStore, ScopeRecord
from services.shared.moving import Movable, Record, every_page
from services.shared.scope import Scope

_PAGE = 200
_options = (
    click.option("--organisation", required=True, help="The account, by its id or its name."),
    click.option(
        "--person", default="", help="As requests name them; of a personal account, its owner."
    ),
    click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where `up` keeps everything; else what the services' environment says.",
    ),
    stores_option,
)


@dataclass(frozen=True, slots=True)
class _Stores:
    accounts: Movable
    conversations: Movable
    facts: Movable


@dataclass(frozen=True, slots=True)
class _Person:
    account: Account
    # As every record of theirs has it.
    id: str

    def is_in(self, scope: Scope) -> bool:
        return (scope.organisation, scope.person) == (self.account.id, self.id)


def _of_a_person(command: Any) -> Any:
    for option in reversed(_options):
        command = option(command)
    return command


@click.command()
@_of_a_person
def export(organisation: str, person: str, data: Path | None, stores: str) -> None:
    """Print what is kept of a person, a JSON object a line.

    Turns and conversations that were held for them, facts, and what they used; of the API keys of a
    personal account all but what recognises them. Every store is read as a whole.
    """

    async def exported() -> None:
        async with _opened(data, stores) as kept:
            found = await _found(kept.accounts, organisation, person)
            async for kind, line in _lines(kept, found):
                click.echo(json.dumps({kind: line}, default=_json, ensure_ascii=False))

    with in_a_sentence():
        asyncio.run(exported())


@click.command()
@_of_a_person
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(organisation: str, person: str, data: Path | None, stores: str, *, yes: bool) -> None:
    """Erase the conversations and the facts of a person; services may go on meanwhile.

    A conversation that was begun for them is erased whole, also what others said in it. What they
    used stays for the bill. Turns that are under way stay: erase again when they have ended.
    """

    async def erased() -> str:
        async with _opened(data, stores) as kept:
            found = await _found(kept.accounts, organisation, person)
            if not yes:
                click.confirm(f"erase all of {found.id} of {found.account.name}?", abort=True)
            return await _erased(kept, found)

    with in_a_sentence():
        click.echo(asyncio.run(erased()))


@asynccontextmanager
async def _opened(data: Path | None, stores: str) -> AsyncIterator[_Stores]:
    async with AsyncExitStack() as stack:
        kept = [
            movable(await stack.enter_async_context(opened(what, url_of(what, data, stores))))
            for what in ("accounts", "conversations", "facts")
        ]
        yield _Stores(*kept)


async def _found(accounts: Movable, organisation: str, person: str) -> _Person:
    """Raises a ClickException."""
    async for account in _every(accounts, Account):
        if organisation in (account.id, account.name):
            scope = account.scope(person)
            if not scope.person:
                raise click.ClickException(f"{account.name} is an application: name a --person")
            return _Person(account, scope.person)
    raise click.ClickException(f"there is no account {organisation}")


async def _lines(kept: _Stores, person: _Person) -> AsyncIterator[tuple[str, Any]]:
    if person.account.kind is AccountKind.PERSONAL:
        yield "account", asdict(person.account)
        async for key in _every(kept.accounts, KeyRecord):
            if key.account_id == person.account.id:
                shown = asdict(key)
                del shown["fingerprint"]
                yield "key", shown
    async for begun in _conversations(kept, person):
        yield "conversation", asdict(begun.conversation)
    async for record in _turns(kept, person):
        yield "turn", _shown(record)
    async for fact in _every(kept.facts, FactRecord):
        if person.is_in(fact.scope):
            yield "fact", {"project": fact.scope.project, **asdict(fact.fact)}
    async for entry in _every(kept.accounts, LedgerEntry):
        if person.is_in(entry.scope):
            yield "usage", asdict(entry)


def _shown(record: TurnRecord) -> dict[str, Any]:
    """Not the ids of tokens: they say the same once more."""
    assert record.turn
    shown = asdict(record.turn)
    del shown["kept_ids"], shown["erasures_above"]
    return shown | {"summaries": [asdict(each) for each in record.summaries.values()]}


async def _erased(kept: _Stores, person: _Person) -> str:
    turns: TurnStore = kept.conversations  # type: ignore[assignment]
    facts: FactStore = kept.facts  # type: ignore[assignment]
    counts = {"conversations": 0, "turns beside them": 0, "facts": 0}
    async for begun in _conversations(kept, person):
        conversation = begun.conversation
        done = await turns.erase_tree(conversation.scope, conversation.id)
        counts["conversations"] += done
    async for record in _turns(kept, person):
        assert record.turn
        counts["turns beside them"] += await turns.erase(record.turn.scope, record.id)
    async for held in _every(kept.facts, ScopeRecord):
        if person.is_in(held.scope):
            counts["facts"] += await facts.erase(held.scope)
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    return (
        f"erased {told}. Nobody reads them any more. From the stores' files they go later, from"
        " backups never: the README says when. What was used is kept for the bill."
    )


async def _conversations(kept: _Stores, person: _Person) -> AsyncIterator[ConversationRecord]:
    async for record in _every(kept.conversations, ConversationRecord):
        if person.is_in(record.conversation.scope):
            yield record


async def _turns(kept: _Stores, person: _Person) -> AsyncIterator[TurnRecord]:
    async for record in _every(kept.conversations, TurnRecord):
        if record.turn and person.is_in(record.turn.scope):
            yield record


async def _every(store: Movable, kind: type[Record]) -> AsyncIterator[Record]:
    async for page in every_page(store, kind, "", _PAGE):
        for record in page.records:
            yield record


def _json(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Sequence):
        return [*value]
    raise TypeError(type(value).__name__)

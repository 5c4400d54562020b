"""`chatmesh export` and `erase` as they are typed."""

import asyncio
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.__main__ import main
from services.context_assembly.adapters.sqlite import open_sqlite_turns
from services.context_assembly.api import KeptIds, StoredConversation, Turn
from services.gateway.adapters.sqlite import open_sqlite_accounts
from services.gateway.ports import DEFAULT_PROJECT, Account, AccountKind, LedgerEntry
from services.inference.api import Usage
from services.memory.adapters.sqlite import open_fact_store
from services.shared.conversation import Picture
from services.shared.ids import first_turn_of
from services.shared.scope import Scope
from tests.fakes.context_assembly import user
from tests.fakes.moving import fact
from tests.fakes.turn_trees import id_of, turn

SHOP = Account("acct_shop", "shop", AccountKind.APPLICATION)
ADA = Account("acct_ada", "Ada", AccountKind.PERSONAL)
ANN, BOB = (Scope(SHOP.id, DEFAULT_PROJECT, f"person:{name}") for name in ("ann", "bob"))
OWNER = ADA.scope("")
TALK = f"conv_{'1' * 32}"


def typed(*words: str | Path, said: str = "") -> Result:
    return CliRunner().invoke(main, [*map(str, words)], input=said, catch_exceptions=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    async def filled() -> None:
        async with open_sqlite_turns(f"sqlite:{tmp_path}/context-assembly.sqlite") as turns:
            first = replace(begun(), scope=ANN)
            await turns.start(StoredConversation(TALK, ANN, 1, {"topic": "tea"}, first.id), first)
            await turns.add(turn("a", scope=ANN, answered="for ann", kept_ids=KeptIds("m", 0, [7])))
            await turns.add(turn("b", "a", scope=BOB, answered="for bob"))
            await turns.add(turn("c", scope=OWNER, answered="for the owner"))
        async with open_fact_store(f"sqlite:{tmp_path}/memory.sqlite") as facts:
            for scope in (ANN, BOB, replace(ANN, project="other")):
                await facts.write(scope, 0, keep=[fact("f", f"fact of {scope.person}")], drop=[])
        async with open_sqlite_accounts(f"sqlite:{tmp_path}/gateway.sqlite") as accounts:
            for account in (SHOP, ADA):
                await accounts.add_account(account)
                await accounts.add_key(f"key_{account.name}", account.id, b"fingerprint")
            for scope in (ANN, BOB, OWNER):
                entry = LedgerEntry(f"resp {scope.person}", scope, "key", "m", 1, Usage(1, 2, 3, 4))
                await accounts.add([entry])

    asyncio.run(filled())
    return tmp_path


def begun() -> Turn:
    first = replace(turn("a"), id=first_turn_of(TALK), conversation_id=TALK, output=[])
    return replace(first, input=[replace(user("x"), parts=(Picture("image/png", b"\0\xff"),))])


def exported(data: Path, *words: str) -> dict[str, list[Any]]:
    done = typed("export", f"--data={data}", *words)
    assert done.exit_code == 0, done.output
    found: dict[str, list[Any]] = defaultdict(list)
    for line in done.output.splitlines():
        ((kind, each),) = json.loads(line).items()
        found[kind].append(each)
    return found


def test_all_that_is_kept_of_one_person_is_exported_and_nothing_of_another(data: Path) -> None:
    found = exported(data, "--organisation=shop", "--person=ann")
    assert {kind: len(each) for kind, each in found.items()} == {
        "conversation": 1,
        "turn": 2,
        "fact": 2,
        "usage": 1,
    }
    assert found["conversation"][0]["metadata"] == {"topic": "tea"}
    assert {each["id"] for each in found["turn"]} == {id_of("a"), first_turn_of(TALK)}
    assert "bob" not in json.dumps(found)
    assert "AP8=" in json.dumps(found)
    assert found["usage"][0]["usage"]["prompt_tokens"] == 1


def test_the_owner_of_a_personal_account_is_exported_with_keys_but_their_secrets(
    data: Path,
) -> None:
    found = exported(data, "--organisation=acct_ada")
    assert [each["id"] for each in found["key"]] == ["key_Ada"]
    assert "fingerprint" not in found["key"][0]
    assert [each["id"] for each in found["turn"]] == [id_of("c")]
    assert found["account"][0]["name"] == "Ada"


def test_what_is_erased_is_told_and_gone_and_nothing_else_is(data: Path) -> None:
    others = exported(data, "--organisation=shop", "--person=bob")
    done = typed("erase", f"--data={data}", "--organisation=shop", "--person=ann", "--yes")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("erased 1 conversations, 1 turns beside them, 2 facts.")
    assert "from backups never" in done.output.replace("\n", " ")
    found = exported(data, "--organisation=shop", "--person=ann")
    assert set(found) == {"usage"}
    assert exported(data, "--organisation=shop", "--person=bob") == others
    again = typed("erase", f"--data={data}", "--organisation=shop", "--person=ann", "--yes")
    assert again.output.startswith("erased 0 conversations, 0 turns beside them, 0 facts.")


@pytest.mark.parametrize("said", ["", "n\n"])
def test_nothing_is_erased_before_it_was_confirmed(data: Path, said: str) -> None:
    words = ("--organisation=shop", "--person=ann")
    before = exported(data, *words)
    assert typed("erase", f"--data={data}", *words, said=said).exit_code == 1
    assert exported(data, *words) == before
    assert typed("erase", f"--data={data}", *words, said="y\n").exit_code == 0
    assert exported(data, *words) != before


@pytest.mark.parametrize("words", [("--organisation=nobody",), ("--organisation=shop",)])
def test_who_is_meant_must_be_told(data: Path, words: tuple[str, ...]) -> None:
    refused = typed("erase", f"--data={data}", "--yes", *words)
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: ")

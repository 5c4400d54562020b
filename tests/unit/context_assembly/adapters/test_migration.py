"""What release 0.1.0 wrote; release_0_1_0/README.md tells how it was made."""

import gzip
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.context_assembly.adapters.sqlite import SqliteTurns, open_sqlite_turns
from services.context_assembly.adapters.sqlite_schema import MIGRATIONS
from services.context_assembly.api import KeptIds, Turn
from services.context_assembly.ports import Path as TurnPath
from services.shared.conversation import (
    Call,
    CallOutcome,
    CallResult,
    Item,
    Message,
    Reasoning,
    Role,
    RunBy,
    Text,
    said,
)
from services.shared.schema import NewerSchema
from services.shared.scope import Scope
from services.shared.sqlite import open_sqlite

WRITTEN = Path(__file__).parent / "release_0_1_0"
ACME, GLOBEX = Scope("acme", "default", "ann"), Scope("globex", "default", "")
DOCUMENT = '{"model": "plain", "said": "\\u0000 größer"}'
ERASED = 5


def number(n: int) -> str:
    return f"resp_{n:032x}"


def turn(
    n: int,
    parent: int,
    said: Sequence[Item],
    answered: Sequence[Item],
    *,
    memory_ids: Sequence[str] = (),
    scope: Scope = ACME,
) -> Turn:
    parent_id = number(parent) if parent else ""
    at = 1_700_000_000_000 + n
    return Turn(number(n), scope, parent_id, at, said, answered, [*memory_ids], DOCUMENT)


def user(text: str) -> Message:
    return said("msg_u", Role.USER, text)


def assistant(text: str) -> Message:
    return said("msg_a", Role.ASSISTANT, text)


def own_call(n: int, arguments: str, output: str, *, failed: bool, parallel: bool) -> Call:
    outcome = CallOutcome((Text(output),), failed)
    call = (f"fc_{n}", f"call_{n}", "clock", arguments)
    return Call(*call, run_by=RunBy.MESH, outcome=outcome, parallel=parallel)


def result(n: int, output: str) -> CallResult:
    return CallResult(f"fco_{n}", f"call_{n}", (Text(output),))


TURNS = [
    turn(
        1,
        0,
        [said("msg_d", Role.DEVELOPER, 'Größe \0 🎉 "\'\n\\ ["text"]'), user("hello")],
        [
            Reasoning("rs_1", "hm \0 \U0001f914"),
            own_call(1, '{"zone": "\\u00fc"}', "noon \0 é", failed=False, parallel=False),
            own_call(2, "{}", "", failed=True, parallel=True),
            assistant(""),
        ],
        memory_ids=["mem_2", "mem_1"],
    ),
    turn(
        2,
        1,
        [user("")],
        [
            Call("fc_3", "call_3", "look_up", "{}"),
            Call("fc_4", "call_4", "look_up", "", parallel=True),
        ],
    ),
    turn(3, 2, [result(3, "found 🎉"), result(4, "")], [Reasoning("rs_3", ""), assistant("done")]),
    turn(4, 1, [said("msg_s", Role.SYSTEM, "be brief"), user("another way")], [assistant("yes")]),
    *(
        turn(n, n - 1, [user(f"{n} " * 20)], [assistant(f"{n} " * 20)])
        for n in range(ERASED + 1, 16)
    ),
    turn(16, 0, [], []),
    turn(1, 0, [user("theirs")], [assistant("theirs")], scope=GLOBEX),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "turns.sqlite"
    written.write_bytes(gzip.decompress((WRITTEN / "turns.sqlite.gz").read_bytes()))
    return written


@pytest.fixture
async def turns(file: Path) -> AsyncIterator[SqliteTurns]:
    async with open_sqlite_turns(f"sqlite:{file}") as migrated:
        yield migrated


def test_the_file_is_of_release_0_1_0(file: Path) -> None:
    with sqlite3.connect(file) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        assert database.execute("SELECT count(*), sum(erased) FROM turn").fetchone() == (17, 1)
    database.close()


@pytest.mark.parametrize(
    "expected", TURNS, ids=lambda turn: f"{turn.scope.organisation} {turn.id[-2:]}"
)
async def test_every_turn_is_read_back_in_the_words_of_this_release(
    turns: SqliteTurns, expected: Turn
) -> None:
    assert await turns.get(expected.scope, expected.id) == expected


async def test_every_path_is_as_0_1_0_read_it(turns: SqliteTurns) -> None:
    told = json.loads(gzip.decompress((WRITTEN / "told.json.gz").read_bytes()))
    assert len(told) == 16 * 3 * 3
    for turn_id, model, max_chars, expected in told:
        path = await turns.path(ACME, turn_id, model, max_chars)
        assert (path and as_told(path)) == expected, (turn_id, model, max_chars)
    assert {(path or {}).get("cut") for *_, path in told} == {True, False, None}
    assert sum(bool(path and path["summary"]) for *_, path in told) > 20


def as_told(path: TurnPath) -> dict[str, Any]:
    summary = path.summary
    return {
        "turns": [each.id for each in path.turns],
        "summary": summary and [summary.turn_id, summary.items, summary.text],
        "root": path.root and path.root.id,
        "cut": path.cut,
    }


async def test_an_erased_turn_stays_erased(turns: SqliteTurns) -> None:
    assert await turns.get(ACME, number(ERASED)) is None
    assert await turns.add(turn(ERASED, 3, [user("again")], [assistant("again")]))
    assert await turns.get(ACME, number(ERASED)) is None
    assert not await turns.add(turn(20, ERASED, [user("below")], [assistant("below")]))


async def test_the_conversations_go_on(turns: SqliteTurns) -> None:
    """Only where a turn was erased, no ids are kept."""
    ids = KeptIds("m", 0, [1, 2], [])
    for parent, kept in ((4, ids), (15, None), (ERASED + 1, None)):
        new = turn(100 + parent, parent, [user("and now?")], [assistant("now this")])
        written = replace(new, kept_ids=ids)
        assert await turns.add(written)
        found = await turns.get(ACME, written.id)
        assert found
        assert (found.output, found.kept_ids) == (written.output, kept)
    assert await turns.erase(ACME, number(4))
    assert await turns.erasures_handled() == 0


async def test_a_scope_of_another_project_finds_nothing(turns: SqliteTurns) -> None:
    assert await turns.get(Scope("acme", "main", "ann"), number(1)) is None


async def test_0_1_0_refuses_the_migrated_file(file: Path) -> None:
    async with open_sqlite_turns(f"sqlite:{file}"):
        pass
    with pytest.raises(NewerSchema, match="use a newer release"):
        async with open_sqlite(f"sqlite:{file}", MIGRATIONS[:1]):
            pass


async def test_a_migrated_file_has_the_tables_of_one_made_anew(file: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.sqlite"
    tables = []
    for each in (file, made):
        async with open_sqlite(f"sqlite:{each}", MIGRATIONS) as database:
            rows = await database.rows("SELECT type, name, sql FROM sqlite_schema ORDER BY name")
            tables.append([(*row,) for row in rows])
    assert tables[0] == tables[1]
    assert not [row for row in tables[0] if "of_a_tenant" in str(row)]

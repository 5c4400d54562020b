from pathlib import Path

from services.context_assembly.adapters.sqlite import SqliteTurns, open_sqlite_turns
from services.context_assembly.ports import Summary
from tests.fakes.context_assembly import assistant, recorded, user

CANARY = "canary-7f3a"


def on_disk(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(directory.iterdir()))


async def fill(turns: SqliteTurns) -> None:
    for number in range(20):
        text = f"{CANARY} {number} " + "bla " * 400
        parent_id = f"t{number - 1}" if number else ""
        await turns.add(recorded(f"t{number}", parent_id, [user(text)], [assistant(text)]))
    summary = Summary("t5", 2, CANARY * 100)
    await turns.keep_summary("acme", "m", summary, covers=["t0"], grown_from=None)


async def test_nothing_of_an_erased_turn_is_left_in_the_files(tmp_path: Path) -> None:
    async with open_sqlite_turns(f"sqlite:{tmp_path}/turns.sqlite") as turns:
        await fill(turns)
        assert CANARY.encode() in on_disk(tmp_path)
        for number in range(20):
            assert await turns.erase("acme", f"t{number}")
            assert f"{CANARY} {number} ".encode() not in on_disk(tmp_path)
        assert CANARY.encode() not in on_disk(tmp_path)


async def test_turns_and_summaries_are_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/turns.sqlite"
    async with open_sqlite_turns(url) as turns:
        await fill(turns)
    async with open_sqlite_turns(url) as turns:
        path = await turns.path("acme", "t19", "m", 10**6)
    assert path
    assert path.summary == Summary("t5", 2, CANARY * 100)
    assert [turn.id for turn in path.turns] == [f"t{number}" for number in range(5, 20)]

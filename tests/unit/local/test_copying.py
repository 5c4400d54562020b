"""`chatmesh copy` as it is typed: what it prints, how it ends, and what a kill leaves."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.__main__ import main
from services.context_assembly.adapters.sqlite import open_sqlite_turns
from services.context_assembly.ports import TurnRecord
from services.gateway.adapters.sqlite import open_sqlite_accounts
from services.memory.adapters.sqlite import open_fact_store
from tests.fakes.context_assembly import SCOPE
from tests.fakes.copying import copying_until
from tests.fakes.kept_trees import fill
from tests.fakes.moving import fill_accounts, fill_facts
from tests.fakes.turn_trees import chain, id_of, turn

Typed = Callable[..., Result]
# Many more than are copied until the test has heard of those that it waits for.
TURNS = 2_000


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """In a folder of its own, where the file of the progress is made too."""
    monkeypatch.chdir(tmp_path)

    def type_in(*words: str) -> Result:
        return CliRunner().invoke(main, ["copy", *words], catch_exceptions=False)

    return type_in


def fill_all(folder: Path) -> None:
    async def filled() -> None:
        async with open_sqlite_turns(f"sqlite:{folder}/conversations.sqlite") as turns:
            await fill(turns)
        async with open_fact_store(f"sqlite:{folder}/facts.sqlite") as facts:
            await fill_facts(facts)
        async with open_sqlite_accounts(f"sqlite:{folder}/accounts.sqlite") as accounts:
            await fill_accounts(accounts)

    asyncio.run(filled())


@pytest.mark.parametrize("what", ["conversations", "facts", "accounts"])
def test_a_store_is_copied_and_the_copy_is_compared(
    typed: Typed, tmp_path: Path, what: str
) -> None:
    fill_all(tmp_path)
    ends = (f"--from=sqlite:{what}.sqlite", "--to=sqlite:deep/copy.sqlite")
    done = typed(what, *ends)
    assert done.exit_code == 0, done.output
    told, *kinds = done.output.splitlines()
    assert told.split() == "IN THE SOURCE IN THE TARGET DIGESTS".split()
    assert len(kinds) == 4
    for line in kinds:
        source, target, digest = line.split()[-3:]
        assert source == target != "0"
        assert len(digest) == 16
    assert not [*tmp_path.glob(".chatmesh/**/*.json")]
    assert typed(what, *ends, "--compare").output == done.output
    again = typed(what, *ends)
    assert (again.exit_code, "already" in again.output) == (1, True)


def test_what_differs_is_named_and_ends_with_an_error(typed: Typed, tmp_path: Path) -> None:
    fill_all(tmp_path)
    ends = ("conversations", "--from=sqlite:conversations.sqlite", "--to=sqlite:copy.sqlite")
    assert typed(*ends).exit_code == 0

    async def write() -> None:
        async with open_sqlite_turns("sqlite:copy.sqlite") as turns:
            await turns.add(turn("q", "a"))

    asyncio.run(write())
    compared = typed(*ends, "--compare")
    assert compared.exit_code == 1
    assert "the two are not the same" in compared.output
    assert f"turns, only in the target: acme main {id_of('q')}" in compared.output


def test_what_cannot_be_copied_is_told_in_a_sentence(typed: Typed, tmp_path: Path) -> None:
    fill_all(tmp_path)
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "facts.sqlite")
    (tmp_path / "url").write_text("oracle://us:hunter2@here/db")
    for source, target, told in (
        ("sqlite:facts.sqlite", "sqlite:link.sqlite", "both are the same store"),
        ("sqlite:nothing.sqlite", "sqlite:copy.sqlite", "there is no file"),
        ("memory:", "sqlite:copy.sqlite", "ends with this command"),
        ("oracle://us:hunter2@here/db", "sqlite:copy.sqlite", "no such store is known"),
        ("file:url", "sqlite:copy.sqlite", "no such store is known"),
        ("file:missing", "sqlite:copy.sqlite", "No such file"),
    ):
        ended = typed("facts", f"--from={source}", f"--to={target}")
        assert ended.exit_code == 1
        assert told in ended.output
        assert "hunter2" not in ended.output
        assert "Traceback" not in ended.output
    assert not (tmp_path / "nothing.sqlite").exists()


def test_a_url_may_stand_in_a_file(typed: Typed, tmp_path: Path) -> None:
    fill_all(tmp_path)
    (tmp_path / "url").write_text("sqlite:facts.sqlite\n")
    assert typed("facts", "--from=file:url", "--to=sqlite:copy.sqlite").exit_code == 0


async def turns_in(path: Path) -> int:
    async with open_sqlite_turns(f"sqlite:{path}") as turns:
        return len((await turns.records(TurnRecord, "", 10 * TURNS)).records)


def test_a_copy_that_was_killed_twice_and_stopped_once_is_whole(
    typed: Typed, tmp_path: Path
) -> None:
    async def long() -> None:
        async with open_sqlite_turns(f"sqlite:{tmp_path}/long.sqlite") as turns:
            await chain(turns, *(f"t{number:05}" for number in range(TURNS)))
            await turns.erase(SCOPE, id_of("t00100"))

    asyncio.run(long())
    reached, ends = [0], {"source": "sqlite:long.sqlite", "target": "sqlite:copy.sqlite"}
    for stop in (signal.SIGKILL, signal.SIGKILL, signal.SIGINT):
        status, told = copying_until(tmp_path, reached[-1] + 20, stop, **ends)
        if stop is signal.SIGINT:
            assert status == 130
            assert "the same command goes on from here" in told
        else:
            assert status == -stop
        reached.append(asyncio.run(turns_in(tmp_path / "copy.sqlite")))
        assert reached[-2] + 20 <= reached[-1] < TURNS
    ended = typed("conversations", "--from=sqlite:long.sqlite", "--to=sqlite:copy.sqlite")
    assert ended.exit_code == 0, ended.output
    assert f"{TURNS:,}" in ended.output

"""A copy that is interrupted anywhere goes on, and what differs afterwards is named."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.context_assembly.adapters.in_memory import InMemoryTurns
from services.context_assembly.ports import RECORD_KINDS, HandledRecord, TurnRecord
from services.local.comparison import Compared, Comparison
from services.local.copier import Copier, NotCopied, ProgressFile
from services.shared.moving import Movable
from tests.fakes.context_assembly import SCOPE
from tests.fakes.kept_trees import fill
from tests.fakes.moving import contents
from tests.fakes.turn_trees import id_of


class Interrupted(Exception):
    pass


class FragileTurns(InMemoryTurns):
    """Fails at one of its writes, before it or after it, and works on when it is asked again."""

    def __init__(self, at: int, *, after: bool) -> None:
        super().__init__()
        self.puts: list[Sequence[Any]] = []
        self._at = at
        self._after = after

    async def put_records(self, records: Sequence[Any]) -> None:
        self.puts.append(records)
        fails = len(self.puts) == self._at
        if not fails or self._after:
            await super().put_records(records)
        if fails:
            raise Interrupted


@pytest.fixture
async def source() -> InMemoryTurns:
    filled = InMemoryTurns()
    await fill(filled)
    return filled


@pytest.fixture
def kept(tmp_path: Path) -> ProgressFile:
    return ProgressFile(tmp_path / "deep" / "copy.json")


def copier(source: Movable, target: Movable, kept: ProgressFile) -> Copier:
    return Copier(source, target, RECORD_KINDS, kept, lambda *_: None, page=2)


async def compared(source: Movable, target: Movable) -> Sequence[Compared]:
    comparison = Comparison(source, target, lambda *_: None, page=2)
    return [await comparison.of(kind) for kind in RECORD_KINDS]


async def same(source: Movable, target: Movable) -> bool:
    found = await compared(source, target)
    assert all((each.source == each.target) == (not each.differences) for each in found)
    return not any(each.differences for each in found)


async def writes_of(source: Movable, tmp_path: Path) -> int:
    """How many writes a copy takes that nothing interrupts."""
    target = FragileTurns(0, after=False)
    await copier(source, target, ProgressFile(tmp_path / "whole.json")).copy("a", "b")
    return len(target.puts)


@pytest.mark.parametrize("after", [False, True])
async def test_a_copy_goes_on_wherever_it_was_interrupted(
    source: InMemoryTurns, tmp_path: Path, after: bool
) -> None:
    writes = await writes_of(source, tmp_path)
    assert writes > 10
    for at in range(1, writes + 1):
        target = FragileTurns(at, after=after)
        kept = ProgressFile(tmp_path / f"{at}.json")
        with pytest.raises(Interrupted):
            await copier(source, target, kept).copy("a", "b")
        assert await same(source, target) == (after and at == writes)
        await copier(source, target, kept).copy("a", "b")
        assert await same(source, target)
        assert len(target.puts) == writes + 1


async def test_nothing_is_lost_when_a_copy_is_cancelled(
    source: InMemoryTurns, kept: ProgressFile
) -> None:
    target = InMemoryTurns()
    written = asyncio.Event()

    class Waiting(InMemoryTurns):
        async def put_records(self, records: Sequence[Any]) -> None:
            await target.put_records(records)
            written.set()
            await asyncio.Event().wait()

    copying = asyncio.create_task(copier(source, Waiting(), kept).copy("a", "b"))
    await asyncio.wait_for(written.wait(), timeout=10)
    copying.cancel()
    await asyncio.wait([copying])
    await copier(source, target, kept).copy("a", "b")
    assert await same(source, target)


async def test_a_target_that_holds_something_is_refused_and_left_as_it_is(
    source: InMemoryTurns, kept: ProgressFile
) -> None:
    target = InMemoryTurns()
    await target.put_records([HandledRecord(3)])
    before = await contents(target, RECORD_KINDS)
    with pytest.raises(NotCopied, match="holds erasures handled already"):
        await copier(source, target, kept).copy("a", "b")
    assert await contents(target, RECORD_KINDS) == before
    assert kept.read() is None


async def test_a_store_is_not_copied_onto_itself_whatever_it_is_called(
    source: InMemoryTurns, kept: ProgressFile
) -> None:
    with pytest.raises(NotCopied, match="holds turns already"):
        await copier(source, source, kept).copy("localhost", "127.0.0.1")


@pytest.mark.parametrize("names", [("a", "c"), ("c", "b")])
async def test_the_progress_of_another_copy_is_refused(
    source: InMemoryTurns, kept: ProgressFile, names: tuple[str, str]
) -> None:
    target = FragileTurns(3, after=True)
    with pytest.raises(Interrupted):
        await copier(source, target, kept).copy("a", "b")
    with pytest.raises(NotCopied, match="of another copy"):
        await copier(source, target, kept).copy(*names)
    assert len(target.puts) == 3


@pytest.mark.parametrize("text", ["", "[]", '{"source": "a"}', "no JSON"])
async def test_a_file_that_tells_no_progress_is_refused(
    source: InMemoryTurns, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(NotCopied, match="says nothing of a copy"):
        await copier(source, InMemoryTurns(), ProgressFile(path)).copy("a", "b")
    assert path.read_text() == text


async def test_a_copy_that_had_come_to_its_end_copies_what_was_written_since(
    source: InMemoryTurns, kept: ProgressFile
) -> None:
    target = InMemoryTurns()
    await copier(source, target, kept).copy("a", "b")
    await source.erase(SCOPE, id_of("d"))
    assert not await same(source, target)
    await copier(source, target, kept).copy("a", "b")
    assert await same(source, target)


async def test_every_record_that_is_not_the_same_is_named(source: InMemoryTurns) -> None:
    target = InMemoryTurns()
    for kind in RECORD_KINDS:
        await target.put_records((await source.records(kind.type, "", 1000)).records)
    assert await same(source, target)
    (record,) = [each for each in await turns_of(source) if each.id == id_of("d")]
    await target.put_records([replace(record, chars=0), replace(record, id="resp_other")])
    await source.put_records([replace(record, id="resp_new", summaries={})])
    turns, *others = await compared(source, target)
    place = f"{record.organisation} {record.project}"
    assert set(turns.differences) == {
        ("other", f"{place} {record.id}"),
        ("only in the target", f"{place} resp_other"),
        ("missing", f"{place} resp_new"),
    }
    assert turns.source.digest != turns.target.digest
    assert not any(each.differences for each in others)


async def turns_of(store: Movable) -> Sequence[TurnRecord]:
    return (await store.records(TurnRecord, "", 1000)).records

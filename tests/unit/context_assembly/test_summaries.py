import asyncio
from collections.abc import AsyncGenerator

import pytest
from structlog.testing import capture_logs

from services.context_assembly.adapters.in_memory import InMemoryTurns
from services.context_assembly.layout import Shown, lay_out
from services.context_assembly.messages import Entry
from services.context_assembly.ports import Path, Summary, SummaryFailed, Written
from services.context_assembly.summaries import Compactor, ModelSummariser, transcript
from services.inference.api import Delta, Generation, Piece, QueueFull, Sampling, Usage
from services.shared.conversation import (
    Call,
    Compaction,
    File,
    Item,
    Reasoning,
    Refusal,
    Role,
    RunBy,
)
from services.shared.deadline import due_in
from tests.fakes.context_assembly import (
    PICTURE,
    SCOPE,
    SUMMARISING,
    WordTokenizer,
    Writer,
    asked,
    assistant,
    call,
    developer,
    recorded,
    result,
    sent,
    summariser,
    user,
)


async def summarise(made: ModelSummariser, earlier: str = "", said: str = "User: hi") -> str:
    return await made.summarise(SUMMARISING, SCOPE, earlier, said)


async def test_the_model_writes_a_bounded_summary_of_the_transcript() -> None:
    writer, tokenizer = Writer("  They met.\n"), WordTokenizer()
    assert await summarise(summariser(writer, tokenizer)) == "They met."
    (generation,) = writer.generations
    assert generation.sampling == Sampling(max_tokens=16, temperature=0)
    assert (generation.model, generation.cache_salt) == ("clever", "acme")
    read = tokenizer.text(generation.prompt_ids)
    assert "<conversation> User: hi </conversation>" in read
    assert tokenizer.requests[0].max_tokens == 200 - 16


async def test_an_earlier_summary_is_part_of_what_is_summarised() -> None:
    writer, tokenizer = Writer(), WordTokenizer()
    await summarise(summariser(writer, tokenizer), "They met.", "User: hi")
    read = tokenizer.text(writer.generations[0].prompt_ids)
    assert "[Summary of what came before] They met. User: hi" in read


@pytest.mark.parametrize("word", ["a", "w" * 20])
async def test_a_transcript_that_is_too_long_loses_its_beginning(word: str) -> None:
    writer, tokenizer = Writer(), WordTokenizer()
    said = " ".join(f"{word}{number}" for number in range(1000))
    await summarise(summariser(writer, tokenizer), "They met.", said)
    (generation,) = writer.generations
    assert len(generation.prompt_ids) <= 184
    read = tokenizer.text(generation.prompt_ids)
    assert "They met." in read
    assert f"{word}999 </conversation>" in read
    assert f"{word}800 " not in read


async def test_what_the_model_cannot_do_is_a_failed_summary() -> None:
    writer = Writer("  ")
    with pytest.raises(SummaryFailed, match="empty"):
        await summarise(summariser(writer))
    writer.error = QueueFull("full", retry_after="1")
    with pytest.raises(SummaryFailed, match="QueueFull"):
        await summarise(summariser(writer))
    with pytest.raises(SummaryFailed, match="ContextTooLong"):
        await summarise(summariser(writer), " ".join(["word"] * 500), "User: hi")


async def test_a_summary_that_takes_too_long_is_stopped() -> None:
    writer = Writer()
    writer.hangs = True
    with pytest.raises(SummaryFailed, match="timeout"):
        await summarise(summariser(writer, seconds=0.01))
    assert writer.closed.is_set()


async def test_a_summary_takes_at_most_half_of_the_requests_time() -> None:
    writer = Writer()
    writer.hangs = True
    async with asyncio.timeout(5):
        with due_in(0.1), pytest.raises(SummaryFailed, match="timeout"):
            await summarise(summariser(writer, seconds=60))


def test_a_transcript_has_all_that_was_said_but_memories_and_reasoning() -> None:
    items: list[Item] = [
        developer("Be brief."),
        user("Who is Rex?"),
        Reasoning("r", "hm"),
        call("c1", "a dog"),
        call("f"),
        result("f", "old"),
        assistant("An old dog."),
        sent(Role.USER, "See:", PICTURE, PICTURE),
        sent(Role.ASSISTANT, Refusal("No.")),
        call("f"),
        result("f", File("a.pdf"), "read"),
        Call("fc", "c", "look_up", "{}", run_by=RunBy.SERVER),
        Compaction("c", "They met.", opaque="x"),
        Compaction("c", opaque="x"),
    ]
    entries = [Entry(item, "t0", n, {"m1": "Rex is a dog"}) for n, item in enumerate(items, 1)]
    assert transcript(entries).splitlines() == [
        "Instructions: Be brief.",
        "User: Who is Rex?",
        "Assistant called look_up with {}",
        "Result: a dog",
        "Assistant called look_up with {}",
        "Result: old",
        "Assistant: An old dog.",
        *("User: See:", "[a picture]", "[a picture]"),
        "Assistant: No.",
        "Assistant called look_up with {}",
        *("Result: [a file]", "read"),
        "Assistant called look_up with {}",
        *("[Summary of what came before]", "They met."),
    ]


async def stored() -> InMemoryTurns:
    store = InMemoryTurns()
    await store.add(recorded("t0"))
    await store.add(recorded("t1", "t0"))
    return store


async def compacted(
    store: InMemoryTurns, writer: Writer, exchanges: int, request: list[Item] | None = None
) -> Summary | None:
    path = await store.path(SCOPE, "t1", "clever", 10**6)
    assert path
    assembly = asked(
        "", input=request or [user("now")], parent_id="t1", model=SUMMARISING, truncate_input=True
    )
    conversation = lay_out(path, assembly, Shown())
    compactor = Compactor(store, summariser(writer))
    return await compactor.compact(assembly, path, conversation, exchanges)


async def kept(store: InMemoryTurns) -> Summary | None:
    path = await store.path(SCOPE, "t1", "clever", 10**6)
    assert path
    return path.summary


async def test_a_summary_is_kept_for_the_last_turn_that_it_covers() -> None:
    store = await stored()
    summary = await compacted(store, Writer(), 1)
    assert summary == Summary("t0", 2, "They spoke.")
    path = await store.path(SCOPE, "t1", "clever", 10**6)
    assert path
    assert path.summary == summary


async def test_what_the_request_brings_is_not_summarised() -> None:
    store, writer = await stored(), Writer()
    request: list[Item] = [user("CANARY"), assistant("yes"), user("now")]
    assert await compacted(store, writer, 3, request) == Summary("t1", 2, "They spoke.")
    path = Path()
    assembly = asked("", input=request, truncate_input=True)
    conversation = lay_out(path, assembly, Shown())
    compactor = Compactor(store, summariser(writer))
    assert await compactor.compact(assembly, path, conversation, 1) is None
    assert len(writer.generations) == 1


async def test_a_failed_summary_is_none_and_said_without_words() -> None:
    store, writer = await stored(), Writer()
    writer.error = QueueFull("full", retry_after="1")
    with capture_logs() as logs:
        assert await compacted(store, writer, 1, [user("CANARY")]) is None
    assert await kept(store) is None
    assert [entry["reason"] for entry in logs] == ["inference.QueueFull"]
    assert "CANARY" not in str(logs)


async def test_a_summary_of_what_was_erased_meanwhile_is_not_used() -> None:
    store = await stored()

    class Erasing(Writer):
        async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
            await store.erase(SCOPE, "t0")
            yield Piece((Delta(0, text="They spoke."),))

    assert await compacted(store, Erasing(), 1) is None
    assert await kept(store) is None


class CountingWriter(Writer):
    """Says which piece it has read, and what that took."""

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        self.text = f"summary{len(self.generations)}"
        async for piece in super().generate(generation):
            yield piece
        yield Piece((), Usage(len(generation.prompt_ids), 1, 2, 0))


async def whole(writer: Writer, said: str, earlier: str = "") -> tuple[Written, list[str]]:
    """The summary, and what the model was given to read each time."""
    tokenizer = WordTokenizer()
    written = await summariser(writer, tokenizer).summarise_whole(SUMMARISING, SCOPE, earlier, said)
    return written, [tokenizer.text(each.prompt_ids) for each in writer.generations]


async def test_a_transcript_longer_than_the_window_is_summarised_piece_by_piece() -> None:
    writer = CountingWriter()
    words = [f"w{number}" for number in range(500)]
    written, read = await whole(writer, " ".join(words), "They met.")
    assert len(read) > 2
    assert "They met." in read[0]
    for number, text in enumerate(read[1:]):
        assert f"summary{number} " in text
    told = " ".join(read)
    assert all(word in told for word in words)
    assert written.text == f"summary{len(read) - 1}"
    assert written.usage == Usage(
        sum(len(each.prompt_ids) for each in writer.generations), len(read), 2 * len(read), 0
    )


@pytest.mark.parametrize("word", ["a", "w" * 20])
async def test_what_a_summary_costs_has_a_bound(word: str) -> None:
    writer = CountingWriter()
    _, read = await whole(writer, " ".join(f"{word}{number}" for number in range(20_000)))
    assert len(read) <= 16
    assert f"{word}19999" in read[-1]


async def test_a_summary_of_all_that_cannot_be_written_is_a_failed_one() -> None:
    with pytest.raises(SummaryFailed, match="empty"):
        await whole(Writer("  "), "User: hi")
    with pytest.raises(SummaryFailed, match="ContextTooLong"):
        await whole(Writer(), "User: hi", " ".join(["word"] * 500))
    writer = Writer()
    writer.hangs = True
    with due_in(0.05), pytest.raises(SummaryFailed, match="timeout"):
        await whole(writer, "User: hi")
    assert writer.closed.is_set()

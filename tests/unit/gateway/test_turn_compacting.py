"""Turns that compact: by themselves, on request, and over a chat that no window holds."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from services.context_assembly.adapters.in_memory import InMemoryTurns
from services.context_assembly.api import StoredConversation, SummaryUnavailable
from services.context_assembly.assembler import Assembler
from services.gateway.api import (
    Ask,
    CompactionStarted,
    Completed,
    Failed,
    InputBlocked,
    ItemDone,
    Numbered,
    Response,
    Started,
    TurnEvent,
)
from services.gateway.authenticator import Principal
from services.gateway.guard import OutputModeration, guards
from services.gateway.lanes import Lanes
from services.gateway.ports import Neighbours
from services.gateway.reply import TurnProgress
from services.gateway.sealing import Sealer
from services.gateway.turn import TurnLoop
from services.inference.api import Generation, Piece, Usage
from services.shared.background import in_background
from services.shared.conversation import Compaction, Item, Message, Role, said
from services.shared.ids import (
    first_turn_of,
    make_conversation_id,
    make_response_id,
)
from tests.fakes.context_assembly import Desk, WordTokenizer, Writer
from tests.fakes.mesh import (
    PERSON,
    FewTools,
    ScriptedInference,
    Surroundings,
    fleet_of,
    says,
    surroundings,
)
from tests.fakes.moderation import WordModeration

ASK = Ask("demo", (said("", Role.USER, "one two three"),), compact_threshold=2)


async def run(mesh: Surroundings, ask: Ask) -> list[TurnEvent]:
    session = await mesh.front.session(mesh.key)
    async with aclosing(session.respond(ask)) as events:
        return [_event(numbered) async for numbered in events]


def _event(numbered: Numbered) -> TurnEvent:
    return numbered.event


def response_of(events: Sequence[TurnEvent]) -> Response:
    assert isinstance(events[-1], Completed), events[-1]
    return events[-1].response


async def test_a_turn_over_the_threshold_compacts_and_then_answers() -> None:
    async with surroundings(says("so")) as mesh:
        events = await run(mesh, ASK)
        assert isinstance(events[0], Started)
        assert isinstance(events[1], ItemDone)
        response = response_of(events)
        item, answer = response.output
        assert isinstance(item, Compaction)
        assert isinstance(answer, Message)
        assert (item.text, answer.text) == ("They spoke of Ulm.", "so")
        # 100, 10 and 20 of the summary; 10, 4 and 1 of the reply.
        assert response.usage == Usage(110, 14, 21, 0)
        assert (await mesh.accounts.total(PERSON.id)) == response.usage
        assert list(mesh.context.assemblies[-1].produced) == [item]
        assert mesh.context.recorded[-1].output == response.output


async def test_a_turn_under_the_threshold_does_not() -> None:
    async with surroundings(says("so")) as mesh:
        response = response_of(await run(mesh, replace(ASK, compact_threshold=3)))
        assert len(response.output) == 1
        assert not mesh.context.compactions


@pytest.mark.parametrize("why", [SummaryUnavailable("none"), None])
async def test_where_no_summary_can_be_had_the_turn_goes_on(why: Exception | None) -> None:
    async with surroundings(says("so")) as mesh:
        mesh.context.compact_failure = why
        mesh.context.summary = "A forbidden word."
        response = response_of(await run(mesh, ASK))
        assert [type(item) for item in response.output] == [Message]
        assert response.usage == Usage(10, 4, 1, 0)


async def test_a_turn_that_only_compacts_says_nothing_else() -> None:
    async with surroundings() as mesh:
        events = await run(mesh, replace(ASK, only_compacts=True))
        started, compacting, done, *_ = events
        assert isinstance(started, Started)
        assert isinstance(done, ItemDone)
        assert compacting == CompactionStarted(done.item.id)
        response = response_of(events)
        assert response.output == (done.item,)
        assert response.usage == Usage(100, 10, 20)
        (turn,) = mesh.context.recorded
        assert (turn.output, turn.kept_ids) == (response.output, None)
        assert not mesh.context.assemblies


async def test_what_stays_beside_the_summary_is_shown_where_that_is_asked_for() -> None:
    async with surroundings() as mesh:
        session = await mesh.front.session(mesh.key)
        ask = replace(ASK, only_compacts=True, shows_kept=True, store=False)
        kept, item = (await session.compact(ask)).output
        assert isinstance(kept, Message)
        assert kept.text == "one two three"
        assert isinstance(item, Compaction)
        assert not mesh.context.recorded


@pytest.mark.parametrize(
    ("failure", "summary", "told", "kept"),
    [
        (SummaryUnavailable("none"), "", SummaryUnavailable, 1),
        (None, "A forbidden word.", InputBlocked, 0),
    ],
)
async def test_a_turn_that_only_compacts_fails_with_its_summary(
    failure: Exception | None, summary: str, told: type[Exception], kept: int
) -> None:
    """Of what failed there is nothing but that it has; what was refused is no response."""
    async with surroundings() as mesh:
        mesh.context.compact_failure, mesh.context.summary = failure, summary
        *_, last = await run(mesh, replace(ASK, only_compacts=True))
        assert isinstance(last, Failed)
        assert isinstance(last.error(), told)
        assert [turn.output for turn in mesh.context.recorded] == [()] * kept


class Talker(ScriptedInference):
    """Answers everything, and has a line for each turn."""

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        self.scripts.append(says(f"answer{len(self.generations)}"))
        async with aclosing(super().generate(generation)) as pieces:
            async for piece in pieces:
                yield piece


class Historian(Writer):
    """Writes one summary after the other, and says what each took."""

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        self.text = f"summary{len(self.generations)}"
        async for piece in super().generate(generation):
            yield piece
        yield Piece((), Usage(len(generation.prompt_ids), 0, 1, 0))


@dataclass(slots=True)
class Chat:
    """A chat over the real assembler, in a window of a thousand words."""

    loop: TurnLoop
    context: Assembler
    model: Talker
    tokenizer: WordTokenizer
    writer: Historian

    async def say(self, ask: Ask) -> Response:
        progress = TurnProgress(make_response_id(ask.previous_response_id))
        plain = replace(PERSON, instructions="")
        principal = Principal(plain, "key1", Sealer(b"secret", PERSON.id))
        async with aclosing(self.loop.run(principal, ask, progress)) as events:
            heard = [event async for event in events]
        assert response_of(heard).usage == progress.used
        return response_of(heard)

    def read(self) -> list[str]:
        """What the model read last."""
        return self.tokenizer.messages(self.model.generations[-1].prompt_ids)


@asynccontextmanager
async def chatting() -> AsyncIterator[Chat]:
    tokenizer, writer, model = WordTokenizer(), Historian(), Talker()
    desk = Desk(InMemoryTurns(), tokenizer=tokenizer, writer=writer)
    context, moderation = desk.assembler(), WordModeration()
    fleet = fleet_of(model)
    loop = TurnLoop(
        Neighbours(moderation, context, model, FewTools()),
        fleet,
        guards(moderation, OutputModeration.OFF),
        Lanes(context),
        tool_rounds=0,
    )
    async with in_background(fleet.follow):
        await fleet.wait_served()
        yield Chat(loop, context, model, tokenizer, writer)


def line(number: int) -> Message:
    return said("", Role.USER, f"question{number} " + "bla " * 40)


async def test_a_chat_of_200_turns_goes_on_in_a_small_window() -> None:
    async with chatting() as chat:
        previous, compacted = "", 0
        for number in range(200):
            ask = Ask(
                "demo",
                (said("", Role.DEVELOPER, "Rule."), line(number))
                if not number
                else (line(number),),
                previous_response_id=previous,
                compact_threshold=600,
            )
            response = await chat.say(ask)
            previous = response.id
            read = chat.read()
            assert len(chat.model.generations[-1].prompt_ids) <= 600
            assert read[0] == "developer: Rule."
            assert f"question{number} " in read[-1]
            if isinstance(response.output[0], Compaction):
                summary = f"summary{len(chat.writer.generations) - 1}"
                assert response.output[0].text == summary
                # It stands for all that came before, and nothing of that is read any more.
                assert read[1] == f"system: [Summary of earlier turns] {summary}"
                assert len(read) == 3
                compacted += 1
            assert response.usage.prompt_tokens >= 10
        assert 10 < compacted < 40
        assert "bla" in chat.tokenizer.text(chat.writer.generations[-1].prompt_ids)


async def test_a_chat_that_its_caller_keeps_goes_on_from_the_sealed_summary() -> None:
    async with chatting() as chat:
        items: tuple[Item, ...] = ()
        for number in range(60):
            ask = Ask("demo", (*items, line(number)), store=False, compact_threshold=600)
            response = await chat.say(ask)
            items = (*ask.input, *response.output)
            for place, item in enumerate(items):
                if isinstance(item, Compaction):
                    # As over HTTP: the seal alone comes back, and what was before it is dropped.
                    items = (replace(item, text=""), *items[place + 1 :])
                    break
            assert len(chat.model.generations[-1].prompt_ids) <= 600
        assert len(chat.writer.generations) > 3
        assert "[Summary of earlier turns] summary" in chat.read()[0]


async def test_an_input_that_no_window_holds_is_compacted() -> None:
    async with chatting() as chat:
        history = tuple(line(number) for number in range(100))
        response = await chat.say(Ask("demo", history, compact_threshold=0))
        assert isinstance(response.output[0], Compaction)
        assert len(chat.read()) == 2
        alone = await chat.say(Ask("demo", history, only_compacts=True, store=False))
        assert [type(item) for item in alone.output] == [Compaction]


async def test_a_conversation_is_free_when_its_turn_is_complete() -> None:
    async with chatting() as chat:
        principal = Principal(PERSON, "key1", Sealer(b"secret", PERSON.id))
        root = make_conversation_id()
        scope = PERSON.scope("")
        stored = StoredConversation(root, scope, 1, {}, first_turn_of(root))
        await chat.context.start_conversation(stored, [])
        ask = Ask("demo", (line(1),), conversation=root, waits=False)

        def begun() -> AsyncGenerator[TurnEvent, None]:
            return chat.loop.run(principal, ask, TurnProgress(make_response_id(ask.tree_id)))

        async with aclosing(begun()) as first, aclosing(begun()) as second:
            while not isinstance(await anext(first), Completed):
                pass
            # The first turn is not closed yet.
            assert isinstance(await anext(second), Started)

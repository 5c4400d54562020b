"""One turn at a time in each conversation."""

import asyncio
from dataclasses import replace

import pytest

from services.context_assembly.adapters.in_memory import InMemoryTurns
from services.context_assembly.api import StoredConversation
from services.gateway.api import Ask, ConversationBusy, NoSuchConversation
from services.gateway.lanes import Lanes
from services.shared.ids import first_turn_of, make_conversation_id
from services.shared.scope import Scope
from tests.fakes.mesh import WordContext

SCOPE = Scope("acct_1", "default", "")
ASK = Ask("demo", ())


async def begun(lanes_of: WordContext) -> str:
    conversation_id = make_conversation_id()
    root = first_turn_of(conversation_id)
    await lanes_of.start_conversation(StoredConversation(conversation_id, SCOPE, 1, {}, root), [])
    return conversation_id


class Turn:
    """A turn that is in the conversation until it is told to end."""

    def __init__(self, lanes: Lanes, conversation: str, *, waits: bool = True) -> None:
        self.inside, self.end = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(
            self._run(lanes, replace(ASK, conversation=conversation, waits=waits))
        )

    async def _run(self, lanes: Lanes, ask: Ask) -> str:
        async with lanes.continued(SCOPE, ask) as continued:
            self.inside.set()
            await self.end.wait()
            return continued.continued_id


async def settle() -> None:
    """Lets every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_turns_come_one_after_the_other_in_their_order() -> None:
    context = WordContext()
    lanes, chat = Lanes(context), await begun(context)
    turns = []
    for _ in range(3):
        turns.append(Turn(lanes, chat))
        await settle()
    for number, turn in enumerate(turns):
        assert [each.inside.is_set() for each in turns] == [n <= number for n in range(3)]
        turn.end.set()
        assert await turn.task == first_turn_of(chat)
        await settle()


async def test_a_turn_that_does_not_wait_is_refused() -> None:
    context = WordContext()
    lanes, chat = Lanes(context), await begun(context)
    first = Turn(lanes, chat)
    await first.inside.wait()
    with pytest.raises(ConversationBusy):
        await Turn(lanes, chat, waits=False).task
    other = Turn(lanes, await begun(context), waits=False)
    await other.inside.wait()
    first.end.set()
    await first.task
    alone = Turn(lanes, chat, waits=False)
    await alone.inside.wait()
    for turn in (other, alone):
        turn.end.set()
        await turn.task


async def test_a_turn_that_is_cancelled_while_it_waits_gives_its_place_up() -> None:
    context = WordContext()
    lanes, chat = Lanes(context), await begun(context)
    first, second, third = (Turn(lanes, chat) for _ in range(3))
    await first.inside.wait()
    await settle()
    second.task.cancel()
    first.end.set()
    await first.task
    await third.inside.wait()
    assert not second.inside.is_set()
    third.end.set()
    await third.task
    with pytest.raises(ConversationBusy):
        async with lanes.entered(SCOPE, chat, waits=True):
            await Turn(lanes, chat, waits=False).task


async def test_a_conversation_that_is_not_there_is_not_waited_for() -> None:
    context = WordContext()
    lanes, chat = Lanes(context), await begun(context)
    for scope, missing in (
        (SCOPE, make_conversation_id()),
        (SCOPE, "conv_1"),
        (Scope("evil", "default", ""), chat),
    ):
        with pytest.raises(NoSuchConversation):
            async with lanes.entered(scope, missing, waits=True):
                pass
    assert isinstance(context.store, InMemoryTurns)


async def test_a_conversation_that_is_deleted_meanwhile_is_not_there() -> None:
    context = WordContext()
    lanes, chat = Lanes(context), await begun(context)
    first, second = Turn(lanes, chat), Turn(lanes, chat)
    await first.inside.wait()
    await settle()
    await context.delete_conversation(SCOPE, chat)
    first.end.set()
    await first.task
    with pytest.raises(NoSuchConversation):
        await second.task


async def test_a_turn_without_a_conversation_stands_in_nobodys_way() -> None:
    async with Lanes(WordContext()).continued(SCOPE, ASK) as ask:
        assert ask is ASK

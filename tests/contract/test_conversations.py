"""Conversations and compaction, as every session has them: the core's and the gRPC client's."""

from contextlib import aclosing
from dataclasses import replace

import pytest

from services.context_assembly.api import Paging
from services.gateway.api import (
    Ask,
    Completed,
    InputBlocked,
    InvalidRequest,
    NoSuchConversation,
    NoSuchItem,
    Response,
    Session,
    Started,
)
from services.shared.conversation import Compaction, Item, Message, Role, said
from services.shared.errors import Malformed
from services.shared.ids import make_conversation_id
from tests.contract.test_gateway import Transport
from tests.fakes.mesh import says

HELLO = Ask("demo", (said("", Role.USER, "hello there"),))


@pytest.fixture(params=["direct", "over gRPC"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return Transport(request.param == "over gRPC")


async def responded(session: Session, ask: Ask) -> Response:
    async with aclosing(session.respond(ask)) as events:
        heard = [numbered.event async for numbered in events]
    assert isinstance(heard[0], Started)
    assert heard[0].conversation == ask.conversation
    assert isinstance(heard[-1], Completed)
    return heard[-1].response


def texts(items: tuple[Item, ...]) -> list[str]:
    return [item.text for item in items if isinstance(item, Message)]


async def test_a_conversation_is_begun_added_to_read_and_erased(transport: Transport) -> None:
    async with transport.open(says("one")) as opened:
        session = opened.session
        zero = replace(HELLO, input=(said("", Role.USER, "zero"),))
        chat = await session.create_conversation(zero, {"topic": "dogs"})
        assert await session.get_conversation(chat.id) == chat
        assert (chat.metadata, chat.created_at_ms > 0) == ({"topic": "dogs"}, True)
        response = await responded(session, replace(HELLO, conversation=chat.id))
        assert response.conversation == chat.id
        assert await session.get_response(response.id) == response
        (added,) = await session.add_items(
            chat.id, replace(HELLO, input=(said("", Role.USER, "two"),))
        )
        listed = await session.list_items(chat.id, Paging(newest_first=False))
        assert texts(tuple(listed.items)) == ["zero", "hello there", "one", "two"]
        newest = await session.list_items(chat.id, Paging(limit=1))
        assert (list(newest.items), newest.has_more) == ([added], True)
        behind = await session.list_items(chat.id, Paging(after=added.id, limit=2))
        assert texts(tuple(behind.items)) == ["one", "hello there"]
        assert await session.get_item(chat.id, added.id) == added
        assert await session.delete_item(chat.id, added.id) == chat
        with pytest.raises(NoSuchItem):
            await session.get_item(chat.id, added.id)
        changed = await session.update_conversation(chat.id, {})
        assert changed == replace(chat, metadata={})
        page = await session.list_conversations(Paging())
        assert (page.cards, page.has_more) == ((changed,), False)
        await session.delete_conversation(chat.id)
        with pytest.raises(NoSuchConversation):
            await session.get_conversation(chat.id)


async def test_what_is_wrong_is_refused(transport: Transport) -> None:
    async with transport.open() as opened:
        session = opened.session
        missing = make_conversation_id()
        with pytest.raises(NoSuchConversation):
            await session.add_items(missing, HELLO)
        with pytest.raises(NoSuchConversation):
            await session.list_items(missing, Paging())
        with pytest.raises(NoSuchConversation):
            await session.delete_conversation(missing)
        with pytest.raises(InvalidRequest):
            await session.list_conversations(Paging(after=missing))
        bad = replace(HELLO, input=(said("", Role.USER, "a forbidden word"),))
        with pytest.raises(InputBlocked):
            await session.create_conversation(bad, {})
        for ask in (
            replace(HELLO, conversation=missing),
            replace(HELLO, conversation=missing, waits=False),
        ):
            async with aclosing(session.respond(ask)) as events:
                last = [numbered.event async for numbered in events][-1]
            with pytest.raises(NoSuchConversation):
                raise last.error()  # type: ignore[union-attr]


async def test_bounds_hold_over_grpc() -> None:
    async with Transport(over_grpc=True).open() as opened:
        session = opened.session
        chat = await session.create_conversation(replace(HELLO, input=()), {})
        many = replace(HELLO, input=HELLO.input * 21)
        for asked in (
            session.add_items(chat.id, many),
            session.add_items(chat.id, replace(HELLO, input=())),
            session.create_conversation(many, {}),
            session.create_conversation(HELLO, {"k" * 65: ""}),
            session.update_conversation(chat.id, {"k": "v" * 513}),
            session.update_conversation(chat.id, {str(n): "" for n in range(17)}),
            session.list_items(chat.id, Paging(limit=0)),
            session.list_conversations(Paging(limit=101)),
        ):
            with pytest.raises(Malformed):
                await asked


async def test_a_conversation_is_compacted_and_goes_on(transport: Transport) -> None:
    async with transport.open(says("so")) as opened:
        session = opened.session
        ask = replace(HELLO, store=False, only_compacts=True, shows_kept=True)
        compacted = await session.compact(ask)
        kept, item = compacted.output
        assert isinstance(kept, Message)
        assert isinstance(item, Compaction)
        assert compacted.usage.prompt_tokens == 100
        sealed = replace(item, text="")
        response = await responded(session, replace(HELLO, input=(sealed, *HELLO.input)))
        assert texts(response.output) == ["so"]
        read = opened.mesh.context.assemblies[-1].input[0]
        assert isinstance(read, Compaction)
        assert read.text == "They spoke of Ulm."


async def test_a_turn_compacts_by_itself(transport: Transport) -> None:
    async with transport.open(says("so")) as opened:
        response = await responded(opened.session, replace(HELLO, compact_threshold=1))
        assert [type(item) for item in response.output] == [Compaction, Message]

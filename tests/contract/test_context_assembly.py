"""What every context-assembly does, the core and the client alike.

The cases with `keeper` do not depend on how a prompt is laid out. Stand-ins pass them, too.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path as Folder

import pytest
from prometheus_client import CollectorRegistry

from services.context_assembly.adapters.sqlite import open_sqlite_turns
from services.context_assembly.api import (
    Context,
    ContextAssembly,
    ConversationMoved,
    ConversationNotFound,
    InputTooLong,
    ItemNotFound,
    KeptIds,
    Paging,
    StoredConversation,
    TurnNotFound,
)
from services.context_assembly.client import connect_context_assembly
from services.context_assembly.server import ContextAssemblyServer
from services.shared.boundary import Boundary
from services.shared.conversation import (
    Approval,
    CallOutcome,
    Compaction,
    File,
    Item,
    Phase,
    Picture,
    Reasoning,
    Role,
    RunBy,
)
from services.shared.errors import Malformed
from services.shared.ids import (
    first_turn_of,
    make_conversation_id,
    make_item_id,
    make_response_id,
)
from services.shared.metrics import RpcMetrics
from services.shared.scope import Scope
from services.shared.server import serving
from services.shared.tools import Tool
from services.shared.tracing import Tracer
from tests.fakes.context_assembly import (
    PICTURE,
    PLAIN,
    SCOPE,
    SEEING,
    Desk,
    FactMemory,
    WordTokenizer,
    asked,
    assistant,
    call,
    developer,
    made_of,
    recorded,
    result,
    sent,
    user,
)
from tests.fakes.mesh import WordContext

STRANGERS = (Scope("evil", "main", "ann"), Scope("acme", "other", "ann"))


@dataclass(frozen=True, slots=True)
class Subject:
    assembly: ContextAssembly
    memory: FactMemory
    tokenizer: WordTokenizer

    def messages(self, context: Context) -> list[str]:
        return self.tokenizer.messages(context.prompt_ids)


@asynccontextmanager
async def core(folder: Folder) -> AsyncIterator[Subject]:
    memory, tokenizer = FactMemory(), WordTokenizer()
    async with open_sqlite_turns(f"sqlite:{folder}/turns.sqlite") as store:
        yield Subject(Desk(store, memory, tokenizer).assembler(), memory, tokenizer)


@asynccontextmanager
async def over_grpc(folder: Folder) -> AsyncIterator[Subject]:
    tracer = Tracer("test", otlp_endpoint="", sample_ratio=1)
    boundary = Boundary("context-assembly", tracer, RpcMetrics(CollectorRegistry()))
    async with core(folder) as subject:
        server = ContextAssemblyServer(subject.assembly)
        async with (
            serving([server], "localhost:0", grace=0, interceptors=[boundary]) as port,
            connect_context_assembly(f"localhost:{port}", timeout=10) as client,
        ):
            yield replace(subject, assembly=client)


SUBJECTS = {"direct": core, "over gRPC": over_grpc}
# Fakes of `ContextAssembly` that other services are tested with.
STAND_INS: dict[str, Callable[[], ContextAssembly]] = {"the gateway's stand-in": WordContext}


@pytest.fixture(params=SUBJECTS)
async def subject(request: pytest.FixtureRequest, tmp_path: Folder) -> AsyncIterator[Subject]:
    async with SUBJECTS[request.param](tmp_path) as subject:
        yield subject


@pytest.fixture(params=[*SUBJECTS, *STAND_INS])
async def keeper(
    request: pytest.FixtureRequest, tmp_path: Folder
) -> AsyncIterator[ContextAssembly]:
    if request.param in STAND_INS:
        yield STAND_INS[request.param]()
        return
    async with SUBJECTS[request.param](tmp_path) as subject:
        yield subject.assembly


async def test_lays_out_messages_and_ids(subject: Subject) -> None:
    subject.memory.keep("m1", "rex is a dog")
    await subject.assembly.record(
        recorded("a", said=[developer("Be brief."), user("hi")], answered=[assistant("Hello.")])
    )
    context = await subject.assembly.assemble(
        asked(
            "who is rex",
            parent_id="a",
            instructions="Sell shoes.",
            custom_instructions="Call me Ann.",
            tools=[Tool("clock", "Tell the time.", "{}", strict=True)],
            produced=[Reasoning("r", "hm"), assistant("I look."), call("c", "it is a dog")],
            template_options={"enable_thinking": "false"},
        )
    )
    assert subject.messages(context) == [
        "system: Sell shoes. # Custom instructions Call me Ann.",
        "developer: Be brief.",
        *("user: hi", "assistant: Hello."),
        "user: <memory> - rex is a dog </memory> who is rex",
        "assistant: hm I look. c:look_up({})",
        "tool: c it is a dog",
    ]
    assert (context.fact_ids, context.inherited_ids) == (["m1"], 0)
    assert context.memory_ids == ["m1"]
    (request,) = subject.tokenizer.requests
    assert request.model == "plain"
    assert request.tools == [Tool("clock", "Tell the time.", "{}", strict=True)]
    assert (request.max_tokens, request.template_options) == (180, {"enable_thinking": "false"})
    assert subject.tokenizer.text(context.prompt_ids).startswith("<tool clock> <system> Sell")


async def test_memories_of_an_earlier_round_are_told_from_none_yet(subject: Subject) -> None:
    subject.memory.keep("m1", "rex is a dog")
    for given, query, shown in ((None, "who is rex", ["m1"]), ([], "", []), (["m1"], "", ["m1"])):
        context = await subject.assembly.assemble(asked("who is rex", memory_ids=given))
        assert subject.memory.asked[-1][1] == query
        assert list(context.memory_ids) == shown


async def test_assembling_again_gives_the_same(subject: Subject) -> None:
    await subject.assembly.record(recorded("a"))
    first = await subject.assembly.assemble(asked("now", parent_id="a"))
    again = await subject.assembly.assemble(asked("now", parent_id="a"))
    assert list(first.prompt_ids) == list(again.prompt_ids)


async def test_ids_that_a_turn_kept_are_found_in_the_next_prompt(subject: Subject) -> None:
    first = await subject.assembly.assemble(asked("question a"))
    kept = KeptIds("plain", 0, [*first.prompt_ids, 999])
    await subject.assembly.record(recorded("a", kept_ids=kept))
    context = await subject.assembly.assemble(asked("now", parent_id="a"))
    assert context.inherited_ids == len(first.prompt_ids)


async def test_a_model_that_sees_is_given_the_pictures(subject: Subject) -> None:
    await subject.assembly.record(recorded("a", said=[sent(Role.USER, "see", PICTURE)]))
    other = replace(PICTURE, content=b"\xff\xd8", detail="low")
    saying: list[Item] = [sent(Role.USER, other, Picture(url="https://a.example/b.png"))]
    asking = asked("", input=saying, parent_id="a", model=SEEING)
    context = await subject.assembly.assemble(asking)
    assert list(context.pictures) == [PICTURE, other]
    assert subject.messages(context)[0] == "user: see <picture>"
    blind = await subject.assembly.assemble(replace(asking, model=PLAIN))
    assert not blind.pictures
    assert subject.messages(blind)[1:] == [
        *("user: see", "assistant: answer a"),
        "system: [The user's next message comes with 2 pictures."
        " This model reads text only and does not see them.]",
        "user: ",
    ]


async def test_a_recorded_turn_is_found_again(keeper: ContextAssembly) -> None:
    ran = CallOutcome(made_of("down", PICTURE), failed=True)
    output: list[Item] = [
        Reasoning("r", "hm", ("short",), "opaque"),
        replace(call("a", "1"), outcome=ran, run_by=RunBy.SERVER, server_label="docs"),
        replace(call("b", "", parallel=True), approval=Approval.GRANTED),
        call("f"),
        assistant("Größe 🎉 \0"),
        replace(assistant("Well."), phase=Phase.COMMENTARY),
    ]
    turn = recorded(
        "a",
        said=[sent(Role.USER, "hi", PICTURE, File("a.pdf")), Compaction("c", "They met.", "x")],
        answered=output,
        memory_ids=["m1"],
        kept_ids=KeptIds("plain", 0, [1, 2, 3], ["m1", "p1"]),
    )
    await keeper.record(turn)
    assert await keeper.get_turn(SCOPE, "a") == turn


async def test_recording_again_changes_nothing(keeper: ContextAssembly) -> None:
    await keeper.record(recorded("a"))
    await keeper.record(recorded("a", answered=[assistant("another")]))
    assert await keeper.get_turn(SCOPE, "a") == recorded("a")


async def test_a_deleted_turn_is_gone(keeper: ContextAssembly) -> None:
    await keeper.record(recorded("a"))
    await keeper.record(recorded("b", "a"))
    await keeper.delete_turn(SCOPE, "a")
    for asking in (
        lambda: keeper.get_turn(SCOPE, "a"),
        lambda: keeper.delete_turn(SCOPE, "a"),
        lambda: keeper.record(recorded("c", "a")),
        lambda: keeper.assemble(asked("now", parent_id="a")),
    ):
        with pytest.raises(TurnNotFound):
            await asking()
    await keeper.record(recorded("a"))
    with pytest.raises(TurnNotFound):
        await keeper.get_turn(SCOPE, "a")
    assert (await keeper.get_turn(SCOPE, "b")).parent_id == "a"


async def test_with_a_turn_go_the_ids_that_later_ones_have_kept(keeper: ContextAssembly) -> None:
    kept, later = KeptIds("plain", 0, [1, 2], ["m1"]), KeptIds("plain", 2, [3], [])
    await keeper.record(recorded("a", kept_ids=kept))
    await keeper.record(recorded("b", "a", kept_ids=later))
    await keeper.record(recorded("c", "b", kept_ids=replace(later, inherited=3)))
    await keeper.record(recorded("other", kept_ids=kept))
    await keeper.delete_turn(SCOPE, "a")
    for turn_id, parent_id in (("b", "a"), ("c", "b")):
        assert await keeper.get_turn(SCOPE, turn_id) == recorded(turn_id, parent_id)
    assert (await keeper.get_turn(SCOPE, "other")).kept_ids == kept


async def test_what_is_anothers_is_not_found_in_the_same_words(keeper: ContextAssembly) -> None:
    await keeper.record(recorded("a"))
    messages = set()
    for scope, turn_id in ((STRANGERS[0], "a"), (STRANGERS[1], "a"), (SCOPE, "nowhere")):
        for asking in (
            keeper.get_turn(scope, turn_id),
            keeper.delete_turn(scope, turn_id),
            keeper.record(replace(recorded("b", turn_id), scope=scope)),
            keeper.assemble(asked("now", parent_id=turn_id, scope=scope)),
        ):
            with pytest.raises(TurnNotFound) as caught:
                await asking
            messages.add((caught.value.message, tuple(caught.value.details)))
    assert len(messages) == 1
    assert await keeper.get_turn(SCOPE, "a")


async def test_another_person_of_the_project_finds_the_turn(keeper: ContextAssembly) -> None:
    await keeper.record(recorded("a"))
    assert await keeper.get_turn(replace(SCOPE, person="bob"), "a") == recorded("a")


async def test_a_turn_without_an_id_is_refused(keeper: ContextAssembly) -> None:
    with pytest.raises(Malformed):
        await keeper.record(recorded(""))


async def test_stored_turns_are_dropped_to_fit(subject: Subject) -> None:
    for number in range(30):
        parent_id = f"t{number - 1}" if number else ""
        await subject.assembly.record(recorded(f"t{number}", parent_id))
    context = await subject.assembly.assemble(asked("now", parent_id="t29"))
    assert len(context.prompt_ids) <= 180
    messages = subject.messages(context)
    assert messages[0].startswith("system: [Earlier turns")
    assert messages[-2] == "assistant: answer t29"


async def test_a_request_that_is_too_long_says_by_how_much(subject: Subject) -> None:
    with pytest.raises(InputTooLong) as caught:
        await subject.assembly.assemble(asked("bla " * 300))
    assert caught.value.details["max_tokens"] == "180"
    assert int(caught.value.details["tokens"]) > 300
    said: list[Item] = [user("bla " * 300), assistant("yes"), user("now")]
    context = await subject.assembly.assemble(asked("", input=said, truncate_input=True))
    marker, last = subject.messages(context)
    assert (marker.startswith("system: [Earlier turns"), last) == (True, "user: now")


async def test_a_result_without_a_call_is_named(subject: Subject) -> None:
    with pytest.raises(Malformed) as caught:
        await subject.assembly.assemble(asked("", input=[user("hi"), result("f")]))
    assert caught.value.details["param"] == "input[1]"


def begun() -> StoredConversation:
    conversation_id = make_conversation_id()
    root = first_turn_of(conversation_id)
    return StoredConversation(conversation_id, SCOPE, 5, {"topic": "Größe"}, root)


async def test_conversations_are_kept_listed_changed_and_erased(keeper: ContextAssembly) -> None:
    chat, other = begun(), begun()
    item = replace(user("zero"), id=make_item_id("msg", chat.head))
    await keeper.start_conversation(chat, [item])
    await keeper.start_conversation(chat, [item])
    await keeper.start_conversation(other, [])
    assert await keeper.get_conversation(SCOPE, chat.id) == chat
    later = replace(
        recorded(make_response_id(chat.head), chat.head, [user("one")], [assistant("1")]),
        conversation_id=chat.id,
    )
    await keeper.record(later)
    with pytest.raises(ConversationMoved):
        await keeper.record(replace(later, id=make_response_id(chat.head)))
    assert (await keeper.get_turn(SCOPE, later.id)).conversation_id == chat.id
    moved = replace(chat, head=later.id)
    assert await keeper.get_conversation(SCOPE, chat.id) == moved
    page = await keeper.list_items(SCOPE, chat.id, Paging(limit=2))
    assert (list(page.items), page.has_more) == ([assistant("1"), user("one")], True)
    page = await keeper.list_items(SCOPE, chat.id, Paging(limit=2, newest_first=False))
    assert (list(page.items), page.has_more) == ([item, user("one")], True)
    assert await keeper.get_item(SCOPE, chat.id, item.id) == item
    await keeper.delete_item(SCOPE, chat.id, item.id)
    with pytest.raises(ItemNotFound):
        await keeper.get_item(SCOPE, chat.id, item.id)
    changed = await keeper.set_metadata(SCOPE, chat.id, {})
    assert changed == replace(moved, metadata={})
    listed = await keeper.list_conversations(SCOPE, Paging(limit=1))
    assert (len(listed.conversations), listed.has_more) == (1, True)
    rest = await keeper.list_conversations(SCOPE, Paging(after=listed.conversations[0].id))
    assert {each.id for each in (*listed.conversations, *rest.conversations)} == {
        chat.id,
        other.id,
    }
    await keeper.delete_conversation(SCOPE, chat.id)
    with pytest.raises(ConversationNotFound):
        await keeper.get_conversation(SCOPE, chat.id)
    with pytest.raises(ConversationNotFound):
        await keeper.record(replace(later, id=make_response_id(chat.head)))
    with pytest.raises(TurnNotFound):
        await keeper.get_turn(SCOPE, later.id)


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_conversations_of_others_are_not_there(
    keeper: ContextAssembly, stranger: Scope
) -> None:
    chat = begun()
    await keeper.start_conversation(chat, [])
    assert not (await keeper.list_conversations(stranger, Paging())).conversations
    for reading in (
        keeper.get_conversation(stranger, chat.id),
        keeper.set_metadata(stranger, chat.id, {}),
        keeper.delete_conversation(stranger, chat.id),
        keeper.list_items(stranger, chat.id, Paging()),
        keeper.get_item(stranger, chat.id, "msg_1"),
        keeper.delete_item(stranger, chat.id, "msg_1"),
    ):
        with pytest.raises(ConversationNotFound):
            await reading


async def test_a_conversation_is_summarised_whole_and_goes_on_from_that(subject: Subject) -> None:
    await subject.assembly.record(recorded("a", said=[developer("Be brief."), user("hi")]))
    compacting = asked("now", parent_id="a", instructions="Sell shoes.")
    compacted = await subject.assembly.compact(compacting)
    assert compacted.summary == "They spoke."
    assert list(compacted.kept) == [developer("Be brief."), user("hi"), user("now")]
    item = Compaction("cmp_1", compacted.summary)
    await subject.assembly.record(recorded("b", "a", [user("now")], [item, assistant("so")]))
    context = await subject.assembly.assemble(asked("then", parent_id="b"))
    assert subject.messages(context) == [
        "developer: Be brief.",
        "system: [Summary of earlier turns] They spoke.",
        *("user: now", "assistant: so", "user: then"),
    ]
    assert not context.left_out


async def test_what_is_left_out_is_told(subject: Subject) -> None:
    await subject.assembly.record(recorded("a", said=[user("bla " * 150)]))
    context = await subject.assembly.assemble(asked("now " * 40, parent_id="a"))
    assert context.left_out


async def test_a_model_that_writes_nothing_leaves_no_summary(subject: Subject) -> None:
    with pytest.raises(Malformed):
        await subject.assembly.compact(asked("", input=[]))
    with pytest.raises(TurnNotFound):
        await subject.assembly.compact(asked("now", parent_id="missing"))


async def test_a_compaction_is_told_from_the_erasures_that_it_knows(subject: Subject) -> None:
    await subject.assembly.record(recorded("a"))
    await subject.assembly.record(recorded("b", "a"))
    await subject.assembly.delete_turn(SCOPE, "a")
    compacted = await subject.assembly.compact(asked("now", parent_id="b"))
    context = await subject.assembly.assemble(asked("now", parent_id="b"))
    assert compacted.erasures_above == context.erasures_above == 1
    known = recorded("c", "b", answered=[Compaction("cmp_1", "They spoke.")])
    await subject.assembly.record(replace(known, erasures_above=1))
    assert len((await subject.assembly.get_turn(SCOPE, "c")).output) == 1

"""What every context-assembly does, the core and the client alike."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path as File

import pytest
from prometheus_client import CollectorRegistry

from services.context_assembly.adapters.sqlite import open_sqlite_turns
from services.context_assembly.api import (
    ContextAssembly,
    InputTooLong,
    Item,
    Reasoning,
    TurnNotFound,
)
from services.context_assembly.client import connect_context_assembly
from services.context_assembly.server import ContextAssemblyServer
from services.shared.boundary import Boundary
from services.shared.chat import Message, Role, Scope, Tool, ToolCall
from services.shared.errors import Malformed
from services.shared.metrics import RpcMetrics
from services.shared.server import serving
from services.shared.tracing import Tracer
from tests.fakes.context_assembly import (
    SCOPE,
    Desk,
    FactMemory,
    WordTokenizer,
    asked,
    assistant,
    call,
    developer,
    recorded,
    result,
    user,
)

STRANGER = Scope("evil")


@dataclass(frozen=True, slots=True)
class Subject:
    assembly: ContextAssembly
    memory: FactMemory
    tokenizer: WordTokenizer


@pytest.fixture(params=["direct", "over gRPC"])
async def subject(request: pytest.FixtureRequest, tmp_path: File) -> AsyncIterator[Subject]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            open_sqlite_turns(f"sqlite:{tmp_path}/turns.sqlite")
        )
        memory, tokenizer = FactMemory(), WordTokenizer()
        core = Desk(store, memory, tokenizer).assembler()
        if request.param == "direct":
            yield Subject(core, memory, tokenizer)
            return
        tracer = Tracer("test", otlp_endpoint="", sample_ratio=1)
        boundary = Boundary("context-assembly", tracer, RpcMetrics(CollectorRegistry()))
        port = await stack.enter_async_context(
            serving([ContextAssemblyServer(core)], "localhost:0", grace=0, interceptors=[boundary])
        )
        client = await stack.enter_async_context(
            connect_context_assembly(f"localhost:{port}", timeout=10)
        )
        yield Subject(client, memory, tokenizer)


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
    assert list(context.messages) == [
        Message(Role.SYSTEM, "Sell shoes.\n\n# Custom instructions\nCall me Ann."),
        Message(Role.DEVELOPER, "Be brief."),
        Message(Role.USER, "hi"),
        Message(Role.ASSISTANT, "Hello."),
        Message(Role.USER, "<memory>\n- rex is a dog\n</memory>\n\nwho is rex"),
        Message(
            Role.ASSISTANT,
            "I look.",
            reasoning="hm",
            tool_calls=(ToolCall("c", "look_up", "{}"),),
        ),
        Message(Role.TOOL, "it is a dog", tool_call_id="c"),
    ]
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


async def test_a_recorded_turn_is_found_again(subject: Subject) -> None:
    output: list[Item] = [
        Reasoning("r", "hm"),
        replace(call("a", "1"), failed=True),
        call("b", "", parallel=True),
        call("f"),
        assistant("Größe 🎉 \0"),
    ]
    turn = recorded("a", said=[user("hi"), developer("x")], answered=output, memory_ids=["m1"])
    await subject.assembly.record(turn)
    assert await subject.assembly.get_turn(SCOPE, "a") == turn


async def test_recording_again_changes_nothing(subject: Subject) -> None:
    await subject.assembly.record(recorded("a"))
    await subject.assembly.record(recorded("a", answered=[assistant("another")]))
    assert await subject.assembly.get_turn(SCOPE, "a") == recorded("a")


async def test_a_deleted_turn_is_gone(subject: Subject) -> None:
    await subject.assembly.record(recorded("a"))
    await subject.assembly.record(recorded("b", "a"))
    await subject.assembly.delete_turn(SCOPE, "a")
    for asking in (
        subject.assembly.get_turn(SCOPE, "a"),
        subject.assembly.delete_turn(SCOPE, "a"),
        subject.assembly.record(recorded("c", "a")),
        subject.assembly.assemble(asked("now", parent_id="a")),
    ):
        with pytest.raises(TurnNotFound):
            await asking
    assert (await subject.assembly.get_turn(SCOPE, "b")).parent_id == "a"


async def test_what_is_anothers_is_not_found_in_the_same_words(subject: Subject) -> None:
    await subject.assembly.record(recorded("a"))
    messages = set()
    for scope, turn_id in ((STRANGER, "a"), (SCOPE, "nowhere")):
        for asking in (
            subject.assembly.get_turn(scope, turn_id),
            subject.assembly.delete_turn(scope, turn_id),
            subject.assembly.record(replace(recorded("b", turn_id), scope=scope)),
            subject.assembly.assemble(asked("now", parent_id=turn_id, scope=scope)),
        ):
            with pytest.raises(TurnNotFound) as caught:
                await asking
            messages.add((caught.value.message, tuple(caught.value.details)))
    assert len(messages) == 1
    assert await subject.assembly.get_turn(SCOPE, "a")


async def test_stored_turns_are_dropped_to_fit(subject: Subject) -> None:
    for number in range(30):
        parent_id = f"t{number - 1}" if number else ""
        await subject.assembly.record(recorded(f"t{number}", parent_id))
    context = await subject.assembly.assemble(asked("now", parent_id="t29"))
    assert len(context.prompt_ids) <= 180
    assert context.messages[0].text.startswith("[Earlier turns")
    assert context.messages[-2].text == "answer t29"


async def test_a_request_that_is_too_long_says_by_how_much(subject: Subject) -> None:
    with pytest.raises(InputTooLong) as caught:
        await subject.assembly.assemble(asked("bla " * 300))
    assert caught.value.details["max_tokens"] == "180"
    assert int(caught.value.details["tokens"]) > 300
    said: list[Item] = [user("bla " * 300), assistant("yes"), user("now")]
    context = await subject.assembly.assemble(asked("", input=said, truncate_input=True))
    assert context.messages[-1].text == "now"
    assert len(context.messages) == 2


async def test_a_result_without_a_call_is_named(subject: Subject) -> None:
    with pytest.raises(Malformed) as caught:
        await subject.assembly.assemble(asked("", input=[user("hi"), result("f")]))
    assert caught.value.details["param"] == "input[1]"

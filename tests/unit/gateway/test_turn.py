"""The turn's order, its rounds, and what it refuses."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest

from services.context_assembly.api import InputTooLong, KeptIds
from services.gateway.api import (
    Ask,
    ChoiceEnded,
    Completed,
    Failed,
    Finish,
    InputBlocked,
    InvalidRequest,
    ItemDone,
    ModelNotFound,
    OwnTools,
    Response,
    ResponseNotFound,
    Started,
    Status,
    TextDelta,
    TurnEvent,
)
from services.gateway.guard import OutputModeration
from services.gateway.ports import Account, AccountKind
from services.inference.api import (
    Delta,
    FinishReason,
    FormatKind,
    OutputFormat,
    Piece,
    QueueFull,
    Sampling,
)
from services.shared.conversation import (
    Call,
    CallOutcome,
    Item,
    Message,
    Picture,
    Role,
    RunBy,
    Text,
    said,
)
from services.shared.errors import DeadlineExceeded
from services.shared.tools import Tool, ToolChoice, ToolMode
from tests.fakes.mesh import BOUNDS, Script, Surroundings, calls, finished, says, surroundings

PLAIN = Ask("demo", (said("msg_0", Role.USER, "hello there"),))
HELLO = replace(PLAIN, own_tools=OwnTools())
CITY = Tool("city", "Find a city.", '{"type": "object"}')


async def run(mesh: Surroundings, ask: Ask) -> list[TurnEvent]:
    """The events of a whole turn; raises what it failed with."""
    session = await mesh.front.session(mesh.key)
    events = [numbered.event async for numbered in session.respond(ask)]
    if isinstance(events[-1], Failed):
        raise events[-1].error()
    return events


def text(events: Sequence[TurnEvent], index: int = 0) -> str:
    shown = (e for e in events if isinstance(e, TextDelta) and e.index == index)
    return "".join(event.text for event in shown)


def response(events: Sequence[TurnEvent]) -> Response:
    assert isinstance(events[-1], Completed)
    return events[-1].response


def output(item: Item) -> str:
    assert isinstance(item, Call)
    assert item.outcome
    return item.outcome.text


def finish(events: Sequence[TurnEvent], index: int = 0) -> Finish:
    (ended,) = (e for e in events if isinstance(e, ChoiceEnded) and e.index == index)
    return ended.finish


async def test_a_turn_starts_streams_and_is_recorded_before_it_is_complete() -> None:
    async with surroundings(says("Hello ", "Ada.")) as mesh:
        events = await run(mesh, HELLO)
        done = response(events)
        assert isinstance(events[0], Started)
        assert text(events) == "Hello Ada."
        assert finish(events) is Finish.STOP
        (kept,) = mesh.context.recorded
        assert kept.id == done.id
        assert kept.input == HELLO.input
        assert kept.output == done.output
        assert kept.memory_ids == ("mem_1",)
        assert (await mesh.accounts.total("acct_1")).prompt_tokens == 10


async def test_what_is_not_to_be_stored_is_not() -> None:
    async with surroundings(says("Hello.")) as mesh:
        await run(mesh, replace(HELLO, store=False))
        assert not mesh.context.recorded


async def test_the_account_says_how_its_owner_wants_it() -> None:
    async with surroundings(says("Hello.")) as mesh:
        await run(mesh, HELLO)
        (assembly,) = mesh.context.assemblies
        assert assembly.custom_instructions == "Be brief."
        assert [tool.name for tool in assembly.tools] == ["double", "wait", "leak"]


async def test_an_applications_key_has_no_memory_until_it_names_somebody() -> None:
    application = Account("acct_2", "shop", AccountKind.APPLICATION)
    async with surroundings(says("a"), says("b"), account=application) as mesh:
        await run(mesh, HELLO)
        await run(mesh, replace(HELLO, safety_identifier="u1"))
        nobody, somebody = (assembly.scope.person for assembly in mesh.context.assemblies)
        assert nobody == ""
        assert somebody == "person:u1"


async def test_nobody_can_pass_for_a_personal_accounts_owner() -> None:
    async with surroundings(says("a"), says("b")) as mesh:
        await run(mesh, HELLO)
        await run(mesh, replace(HELLO, safety_identifier="owner"))
        owner, other = (assembly.scope.person for assembly in mesh.context.assemblies)
        assert owner != other


async def test_the_meshs_own_call_runs_inside_the_turn() -> None:
    async with surroundings(calls(("double", '{"n": 21}')), says("It is 42.")) as mesh:
        events = await run(mesh, HELLO)
        done = response(events)
        call, answer = done.output
        assert isinstance(call, Call)
        assert (call.run_by, call.arguments) == (RunBy.MESH, '{"n": 21}')
        assert call.outcome == CallOutcome((Text("42"),))
        assert isinstance(answer, Message)
        assert text(events) == "It is 42."
        again = mesh.context.assemblies[1]
        assert again.produced == [call]
        assert again.memory_ids == ("mem_1",)
        assert done.usage.prompt_tokens == 20


async def test_own_calls_of_one_round_run_together() -> None:
    script = calls(("double", '{"n": 1}'), ("double", '{"n": 2}'))
    async with surroundings(script, says("ok")) as mesh:
        done = response(await run(mesh, HELLO))
        assert [output(item) for item in done.output[:2]] == ["2", "4"]


async def test_a_callers_function_ends_the_turn() -> None:
    async with surroundings(calls(("city", '{"q": "Oslo"}'))) as mesh:
        events = await run(mesh, replace(HELLO, functions=(CITY,)))
        (call,) = response(events).output
        assert isinstance(call, Call)
        assert (call.run_by, call.name, call.arguments) == (RunBy.CALLER, "city", '{"q": "Oslo"}')
        assert finish(events) is Finish.FUNCTION_CALLS
        assert not mesh.tools.ran


async def test_an_own_call_beside_a_callers_is_run_and_the_turn_ends() -> None:
    script = calls(("double", '{"n": 1}'), ("city", "{}"))
    async with surroundings(script) as mesh:
        events = await run(mesh, replace(HELLO, functions=(CITY,)))
        by_name = {item.name: item for item in response(events).output if isinstance(item, Call)}
        assert output(by_name["double"]) == "2"
        assert finish(events) is Finish.FUNCTION_CALLS


async def test_rounds_of_tools_end_somewhere() -> None:
    scripts = [calls(("double", '{"n": 1}')) for _ in range(4)]
    async with surroundings(*scripts) as mesh:
        events = await run(mesh, HELLO)
        assert finish(events) is Finish.TOOL_ROUNDS
        assert response(events).status is Status.TOOL_ROUNDS
        assert len(mesh.tools.ran) == 3


async def test_a_call_cut_off_by_the_length_is_not_run() -> None:
    pieces = list(calls(("double", '{"n": 21}')).pieces)[:2]
    async with surroundings(Script(finished(pieces, FinishReason.LENGTH))) as mesh:
        events = await run(mesh, HELLO)
        assert finish(events) is Finish.LENGTH
        assert not mesh.tools.ran


async def test_what_a_tool_returns_is_screened_before_the_model_reads_it() -> None:
    async with surroundings(calls(("leak", "{}")), says("Sorry.")) as mesh:
        call, _ = response(await run(mesh, HELLO)).output
        assert isinstance(call, Call)
        assert call.outcome
        assert "forbidden" not in call.outcome.text


async def test_blocked_input_never_reaches_the_model() -> None:
    ask = replace(HELLO, input=(said("msg_0", Role.USER, "a forbidden wish"),))
    async with surroundings(says("never")) as mesh:
        with pytest.raises(InputBlocked) as caught:
            await run(mesh, ask)
        assert caught.value.details["category"] == "violence"
        assert not mesh.inference.generations


async def test_masked_input_is_what_the_model_reads_and_the_store_keeps() -> None:
    ask = replace(HELLO, input=(said("msg_0", Role.USER, "my secret"),))
    async with surroundings(says("Noted.")) as mesh:
        done = response(await run(mesh, ask))
        (turn,) = mesh.context.recorded
        assert turn.output == done.output
        (kept,) = turn.input
        assert isinstance(kept, Message)
        assert kept.text == "my [masked]"
        assert mesh.context.assemblies[-1].input == (kept,)


@pytest.mark.parametrize("mode", [OutputModeration.BLOCK, OutputModeration.PARALLEL])
async def test_a_blocked_reply_stops_and_stops_the_model(mode: OutputModeration) -> None:
    script = says(*(f"word{number} " for number in range(20)), "forbidden ", *["more "] * 40)
    async with surroundings(script, mode=mode) as mesh:
        events = await run(mesh, HELLO)
        assert finish(events) is Finish.CONTENT_FILTER
        assert response(events).status is Status.CONTENT_FILTER
        assert mesh.inference.aborted == 1
        assert mesh.moderation.watching == 0
        if mode is OutputModeration.BLOCK:
            assert "forbidden" not in text(events)
        used = await mesh.accounts.total("acct_1")
        assert 0 < used.completion_tokens < 61


async def test_nothing_is_held_back_where_moderation_is_off() -> None:
    async with surroundings(says("forbidden"), mode=OutputModeration.OFF) as mesh:
        assert text(await run(mesh, HELLO)) == "forbidden"


async def test_log_probabilities_do_not_tell_what_was_masked() -> None:
    async with surroundings(says("the secret word")) as mesh:
        events = await run(mesh, HELLO)
        assert text(events) == "the [masked] word"
        assert not any(e.logprobs for e in events if isinstance(e, TextDelta))


async def test_reasoning_is_an_item_of_its_own() -> None:
    async with surroundings(says("Four.", reasoning="2 + 2")) as mesh:
        kinds = [type(item).__name__ for item in response(await run(mesh, HELLO)).output]
        assert kinds == ["Reasoning", "Message"]


async def test_blanks_before_a_call_are_no_message() -> None:
    async with surroundings(calls(("city", "{}"), text="\n\n")) as mesh:
        done = response(await run(mesh, replace(HELLO, functions=(CITY,))))
        assert [type(item) for item in done.output] == [Call]


async def test_choices_are_kept_apart_and_have_no_own_tools() -> None:
    pieces = [
        Piece((Delta(0, text="one"), Delta(1, text="two"))),
        Piece((Delta(1, text=" more"),)),
    ]
    async with surroundings(Script(finished(pieces))) as mesh:
        events = await run(mesh, replace(HELLO, sampling=Sampling(n=2)))
        assert (text(events, 0), text(events, 1)) == ("one", "two more")
        assert not mesh.context.assemblies[0].tools


@pytest.mark.parametrize(
    "change",
    [
        {"choice": ToolChoice(ToolMode.NONE)},
        {"own_tools": OwnTools(frozenset())},
        {"max_tool_calls": 0},
        {"format": OutputFormat(FormatKind.JSON_OBJECT)},
        {"functions": (CITY,), "choice": ToolChoice(ToolMode.REQUIRED)},
        {"functions": (CITY,), "choice": ToolChoice(ToolMode.NAMED, "city")},
        {"model": "toolless"},
    ],
)
async def test_own_tools_stand_in_nobodys_way(change: dict[str, object]) -> None:
    async with surroundings(says("ok")) as mesh:
        await run(mesh, replace(HELLO, **change))  # type: ignore[arg-type]
        names = {tool.name for tool in mesh.context.assemblies[0].tools}
        assert not names & {"double", "wait", "leak"}


async def test_a_callers_function_hides_an_own_tool_of_its_name() -> None:
    mine = replace(CITY, name="double")
    async with surroundings(calls(("double", "{}"))) as mesh:
        events = await run(mesh, replace(HELLO, functions=(mine,)))
        assert finish(events) is Finish.FUNCTION_CALLS
        assert not mesh.tools.ran


@pytest.mark.parametrize(
    ("change", "error", "param"),
    [
        ({"model": "gpt-9"}, ModelNotFound, "model"),
        ({"previous_response_id": "resp_x"}, ResponseNotFound, "previous_response_id"),
        ({"model": "toolless", "functions": (CITY,)}, InvalidRequest, "tools"),
        ({"choice": ToolChoice(ToolMode.NAMED, "x")}, InvalidRequest, "tool_choice"),
        (
            {"choice": ToolChoice(ToolMode.REQUIRED), "own_tools": None},
            InvalidRequest,
            "tool_choice",
        ),
        (
            {"choice": ToolChoice(ToolMode.REQUIRED), "max_tool_calls": 0},
            InvalidRequest,
            "tool_choice",
        ),
    ],
)
async def test_what_cannot_be_done_is_refused_by_its_field(
    change: dict[str, object], error: type[Exception], param: str
) -> None:
    async with surroundings(says("never")) as mesh:
        with pytest.raises(error) as caught:
            await run(mesh, replace(HELLO, **change))  # type: ignore[arg-type]
        assert caught.value.details["param"] == param  # type: ignore[attr-defined]
        assert not mesh.inference.generations


async def test_the_models_failure_is_the_turns() -> None:
    script = Script((), failure=QueueFull("full", retry_after="2"))
    async with surroundings(script) as mesh:
        with pytest.raises(QueueFull):
            await run(mesh, HELLO)
        assert mesh.front.admission.under_way == 0


async def test_leaving_stops_the_model() -> None:
    script = replace(says("a b c d e f g h i j", "never"), pause_before=1)
    async with surroundings(script) as mesh:
        session = await mesh.front.session(mesh.key)
        async with aclosing(session.respond(HELLO)) as events:
            assert isinstance((await anext(events)).event, Started)
            await asyncio.wait_for(script.paused.wait(), 5)
            assert mesh.inference.running == 1
        assert mesh.inference.running == 0
        assert mesh.moderation.watching == 0
        assert mesh.front.admission.under_way == 0


async def test_leaving_stops_the_tool() -> None:
    async with surroundings(calls(("wait", "{}"))) as mesh:
        session = await mesh.front.session(mesh.key)
        async with aclosing(session.respond(HELLO)) as events:
            await anext(events)
            await asyncio.wait_for(mesh.tools.started.wait(), 5)
        assert mesh.tools.cancelled.is_set()


async def test_a_turn_takes_only_so_long() -> None:
    script = replace(says("never"), pause_before=0)
    async with surroundings(script, bounds=replace(BOUNDS, turn_seconds=0.05)) as mesh:
        with pytest.raises(DeadlineExceeded):
            await run(mesh, HELLO)
        assert mesh.inference.running == 0


async def test_a_reply_of_limited_length_is_limited_over_all_rounds() -> None:
    async with surroundings(calls(("double", '{"n": 1}')), says("ok")) as mesh:
        await run(mesh, replace(HELLO, sampling=Sampling(max_tokens=50)))
        first, second = (
            generation.sampling.max_tokens for generation in mesh.inference.generations
        )
        assert (first, second) == (50, 47)


@pytest.mark.parametrize("asked", [1000, 32_000, None])
async def test_a_reply_is_cut_to_what_the_window_leaves(asked: int | None) -> None:
    long = replace(HELLO, input=(said("msg_1", Role.USER, "word " * 900),))
    async with surroundings(says("ok")) as mesh:
        await run(mesh, replace(long, sampling=Sampling(max_tokens=asked)))
        (generation,) = mesh.inference.generations
        assert generation.sampling.max_tokens == 100


async def test_what_is_longer_than_the_window_is_refused() -> None:
    long = replace(HELLO, input=(said("msg_1", Role.USER, "word " * 1000),))
    async with surroundings(says("never")) as mesh:
        with pytest.raises(InputTooLong):
            await run(mesh, long)


async def test_items_end_once_each() -> None:
    async with surroundings(calls(("double", '{"n": 1}'), text="Let me see."), says("2.")) as mesh:
        events = await run(mesh, HELLO)
        ids = [event.item.id for event in events if isinstance(event, ItemDone)]
        assert len(ids) == len(set(ids)) == 3
        assert [item.id for item in response(events).output] == ids


async def kept_ids(mesh: Surroundings, ask: Ask = HELLO) -> KeptIds | None:
    await run(mesh, ask)
    return mesh.context.recorded[-1].kept_ids


async def test_what_the_engine_read_and_wrote_is_kept_as_far_as_it_is_new() -> None:
    async with surroundings(says("one ", "two"), says("one ", "two")) as mesh:
        # Two words were read, 0 and 1, and two tokens written, both 1.
        assert await kept_ids(mesh) == KeptIds("demo", 0, [0, 1, 1, 1], ("mem_1",), 7)
        mesh.context.inherited_ids = 1
        assert await kept_ids(mesh) == KeptIds("demo", 1, [1, 1, 1], ("mem_1",), 7)


async def test_of_several_rounds_what_the_last_one_read_holds_the_others() -> None:
    async with surroundings(calls(("double", '{"n": 21}')), says("42")) as mesh:
        kept = await kept_ids(mesh)
        assert kept
        assert kept.ids == [0, 1, 2, 1]  # the result is the third word that was read


@pytest.mark.parametrize("said_by_the_model", ["the secret word", "a forbidden word"])
async def test_nothing_is_kept_of_a_reply_that_was_masked_or_stopped(
    said_by_the_model: str,
) -> None:
    async with surroundings(says("first, ", said_by_the_model)) as mesh:
        kept = await kept_ids(mesh)
        assert kept
        assert kept.ids == [0, 1]


async def test_pictures_reach_the_engine_in_their_order_and_no_ids_are_kept_of_them() -> None:
    first, second = Picture("image/png", b"first"), Picture("image/png", b"second")
    async with surroundings(says("ok")) as mesh:
        mesh.context.pictures = [first, second]
        assert await kept_ids(mesh) is None
        (generation,) = mesh.inference.generations
        assert generation.pictures == (first, second)

"""What a turn may run: only what is offered, and no more of it than is allowed."""

from dataclasses import replace

import pytest

from services.gateway.api import Ask, CallStarted, InvalidRequest, ItemDone, OwnTools, Status
from services.shared.conversation import Call, Message, Role, said
from services.shared.tools import ToolChoice, ToolMode
from tests.fakes.mesh import calls, says, surroundings
from tests.unit.gateway.test_turn import CITY, HELLO, PLAIN, output, response, run


async def test_a_plain_request_is_a_plain_call_of_the_model() -> None:
    async with surroundings(says("Hello.")) as mesh:
        await run(mesh, replace(PLAIN, safety_identifier="u1"))
        (assembly,) = mesh.context.assemblies
        assert not assembly.tools
        assert not assembly.reads_memory
        assert not mesh.inference.generations[0].calling.tools


@pytest.mark.parametrize(
    "ask",
    [
        PLAIN,
        replace(PLAIN, functions=(CITY,)),
        replace(HELLO, own_tools=OwnTools(frozenset({"wait"}))),
        replace(HELLO, max_tool_calls=0),
        replace(HELLO, choice=ToolChoice(ToolMode.NONE), functions=(CITY,)),
    ],
)
@pytest.mark.parametrize("name", ["double", "nothing"])
async def test_a_tool_that_is_not_offered_is_absent_whatever_the_model_writes(
    ask: Ask, name: str
) -> None:
    async with surroundings(calls((name, '{"n": 1}')), says("Sorry.")) as mesh:
        events = await run(mesh, ask)
        (answer,) = response(events).output
        assert not mesh.tools.ran
        assert isinstance(answer, Message)
        assert [event.item for event in events if isinstance(event, ItemDone)] == [answer]
        assert not any(isinstance(event, CallStarted) for event in events)
        (told,) = mesh.context.assemblies[1].produced
        assert output(told) == "error: there is no such tool"
        assert mesh.context.recorded[0].output == (answer,)


async def test_a_call_that_is_required_is_not_done_by_one_that_nobody_offered() -> None:
    required = replace(PLAIN, functions=(CITY,), choice=ToolChoice(ToolMode.REQUIRED))
    async with surroundings(calls(("nothing", "{}")), calls(("city", "{}"))) as mesh:
        (call,) = response(await run(mesh, required)).output
        assert isinstance(call, Call)
        assert call.name == "city"
        modes = [generation.calling.choice.mode for generation in mesh.inference.generations]
        assert modes == [ToolMode.REQUIRED, ToolMode.REQUIRED]


async def test_calls_are_counted_and_those_beyond_the_limit_are_not_run() -> None:
    doubled = ("double", '{"n": 1}')
    scripts = calls(doubled), calls(doubled, doubled), calls(doubled), says("Enough.")
    async with surroundings(*scripts) as mesh:
        done = response(await run(mesh, replace(HELLO, max_tool_calls=2)))
        assert [type(item) for item in done.output] == [Call, Call, Message]
        assert done.status is Status.COMPLETED
        offered = [bool(assembly.tools) for assembly in mesh.context.assemblies]
        assert offered == [True, True, False, False]


async def test_the_operators_limit_of_rounds_holds_beside_the_callers_of_calls() -> None:
    scripts = [calls(("double", '{"n": 1}')) for _ in range(4)]
    async with surroundings(*scripts) as mesh:
        events = await run(mesh, replace(HELLO, max_tool_calls=50))
        assert response(events).status is Status.TOOL_ROUNDS
        assert len(mesh.tools.ran) == 3


async def test_an_item_of_a_stored_response_may_be_named_by_its_id() -> None:
    async with surroundings(says("Hello."), says("Yes."), says("never")) as mesh:
        (first,) = response(await run(mesh, PLAIN)).output
        named, last = said(first.id, Role.ASSISTANT, ""), said("msg_9", Role.USER, "sure?")
        again = replace(PLAIN, input=(*PLAIN.input, named, last), references=(1,))
        await run(mesh, again)
        assert mesh.context.assemblies[-1].input == (*PLAIN.input, first, last)
        assert mesh.context.recorded[-1].input[1] == first
        with pytest.raises(InvalidRequest) as caught:
            await run(mesh, replace(again, input=(*PLAIN.input, said("msg_1", Role.USER, ""))))
        assert caught.value.details["param"] == "input[1]"

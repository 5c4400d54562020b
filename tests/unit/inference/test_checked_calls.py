"""Calls leave only as what they claim to be."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from services.inference.api import CallDelta, Calling
from services.inference.call_check import CallCheck
from services.inference.checked_calls import CheckedCalls
from services.inference.ports import HeldCalls, ReadOutput
from services.shared.tools import TEXT_PARAMETERS, TextInput, TextSyntax, Tool

NUMBER = '{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}'
DOUBLE = Tool("double", "", NUMBER)
CLOCK = Tool("clock", "", '{"type": "object", "properties": {}}')
RUN = Tool("run", "", TEXT_PARAMETERS, text_input=TextInput(TextSyntax.REGEX, "ls"))
NAME = CallDelta(0, "double")


class Reading:
    """An `OutputReader` that has been told what it reads."""

    def __init__(self, outputs: Sequence[ReadOutput]) -> None:
        self._outputs = iter(outputs)

    def read(self, text: str, ids: Sequence[int], *, finished: bool) -> ReadOutput:
        return next(self._outputs)

    def reasoning_tokens(self) -> int:
        return 3


def read(*calls: CallDelta, held: Sequence[str] = (), broken: bool = False) -> list[ReadOutput]:
    """A piece for each, and a last one."""
    outputs = [ReadOutput(calls=(call,)) for call in calls]
    reader = CheckedCalls(
        Reading([*outputs, ReadOutput("", broken=broken)]),
        CallCheck(Calling((DOUBLE, CLOCK, RUN)), lambda: 0.0),
        HeldCalls(frozenset(held)),
        lambda wanted, text: text == wanted.grammar,
    )
    assert reader.reasoning_tokens() == 3
    pieces = [reader.read("", [], finished=False) for _ in outputs]
    return [*pieces, reader.read("", [], finished=True)]


def left(pieces: Sequence[ReadOutput]) -> list[tuple[CallDelta, ...]]:
    return [piece.calls for piece in pieces]


def test_a_call_leaves_whole_when_it_is_known_to_be_one() -> None:
    pieces = read(NAME, CallDelta(0, arguments='{"n"'), CallDelta(0, arguments=": 1}"))
    assert left(pieces) == [(), (), (), (CallDelta(0, "double", '{"n": 1}'),)]
    assert not pieces[-1].broken


def test_the_next_call_lets_the_one_before_it_out() -> None:
    pieces = read(CallDelta(0, "double", '{"n": 1}'), CallDelta(1, "clock", "{}"))
    first, second = CallDelta(0, "double", '{"n": 1}'), CallDelta(1, "clock", "{}")
    assert left(pieces) == [(), (first,), (second,)]


def test_a_call_that_the_grammar_holds_leaves_as_it_comes() -> None:
    pieces = read(
        NAME, CallDelta(0, arguments='{"n"'), CallDelta(0, arguments=": 1}"), held=["double"]
    )
    parts = [(NAME,), (CallDelta(0, arguments='{"n"'),), (CallDelta(0, arguments=": 1}"),), ()]
    assert left(pieces) == parts
    assert not pieces[-1].broken


@pytest.mark.parametrize(
    "call",
    [
        *(CallDelta(0, "double", text) for text in ("", "{}", '{"n": 1', '{"n": 1, "n": 2}', "1")),
        *(CallDelta(0, name, '{"n": 1}') for name in ("triple", "", "Double")),
        *(CallDelta(0, "run", text) for text in ('{"input": "rm"}', "ls", '{"input": 1}', "{}")),
    ],
)
def test_what_is_no_call_never_leaves(call: CallDelta) -> None:
    pieces = read(call)
    assert left(pieces) == [(), ()]
    assert pieces[-1].broken


def test_after_what_is_no_call_none_leaves() -> None:
    good = CallDelta(0, "double", '{"n": 1}')
    pieces = read(good, CallDelta(1, "double", "{"), replace(good, index=2))
    assert left(pieces) == [(), (good,), (), ()]
    assert pieces[-1].broken


def test_a_held_call_that_was_stopped_in_its_middle_is_none() -> None:
    pieces = read(NAME, CallDelta(0, arguments='{"n": "'), held=["double"])
    assert left(pieces) == [(NAME,), (CallDelta(0, arguments='{"n": "'),), ()]
    assert pieces[-1].broken


@pytest.mark.parametrize("held", [(), ("clock",)])
def test_nothing_said_to_a_function_that_needs_nothing_is_an_empty_object(
    held: Sequence[str],
) -> None:
    pieces = read(CallDelta(0, "clock"), CallDelta(0, arguments=" "), held=held)
    said = "".join(call.arguments for calls in left(pieces) for call in calls)
    assert said.strip() == "{}"
    assert not pieces[-1].broken


@pytest.mark.parametrize("held", [(), ("run",)])
def test_of_a_tool_that_takes_a_text_the_text_leaves(held: Sequence[str]) -> None:
    pieces = read(CallDelta(0, "run", '{"inp'), CallDelta(0, arguments='ut": "ls"}'), held=held)
    calls = [call for calls in left(pieces) for call in calls]
    assert ("".join(call.name for call in calls), "".join(call.arguments for call in calls)) == (
        "run",
        "ls",
    )
    assert not pieces[-1].broken


def test_a_call_of_which_nothing_can_be_read_is_none() -> None:
    assert read(broken=True)[-1].broken


def opened(text: str, *calls: CallDelta, held: str = "double") -> list[tuple[CallDelta, ...]]:
    """What leaves of calls after the text, where a call that is held has an opening of its own."""
    openings = tuple(f'<call {name} "' for name in ("double", "doubled"))
    reader = CheckedCalls(
        Reading([ReadOutput(calls=(call,)) for call in calls] + [ReadOutput()]),
        CallCheck(Calling((DOUBLE,)), lambda: 0.0),
        HeldCalls(frozenset([held]), openings),
        lambda *_: False,
    )
    ends = [*[False] * len(calls), True]
    texts = [text, *[""] * len(calls)]
    pieces = zip(texts, ends, strict=True)
    return [reader.read(each, [], finished=end).calls for each, end in pieces]


@pytest.mark.parametrize(
    "text", ['x <call double "', '<call double "', '<call doubled "<call double "']
)
def test_a_call_leaves_as_it_comes_once_it_began_as_the_grammar_wants_it(text: str) -> None:
    arguments = CallDelta(0, arguments='{"n": 1}')
    assert opened(text, CallDelta(0, "double", '{"n": 1}'))[0] == (NAME, arguments)


@pytest.mark.parametrize("text", ["<call double", '<call  double "', '<call trouble "', " "])
def test_a_call_that_began_otherwise_leaves_whole(text: str) -> None:
    whole = CallDelta(0, "double", '{"n": 1}')
    assert opened(text, whole) == [(), (whole,)]


def test_an_opening_is_of_one_call() -> None:
    first, second = CallDelta(0, "double", '{"n": 1}'), CallDelta(1, "double", '{"n": 2}')
    left = opened('<call double "', first, second)
    assert left == [(NAME, CallDelta(0, arguments='{"n": 1}')), (), (second,)]


def test_the_name_of_a_call_may_come_before_its_opening_is_whole() -> None:
    reader = CheckedCalls(
        Reading([ReadOutput(calls=(NAME,)), ReadOutput(calls=(CallDelta(0, arguments="{"),))]),
        CallCheck(Calling((DOUBLE,)), lambda: 0.0),
        HeldCalls(frozenset(["double"]), ('<call double "',)),
        lambda *_: False,
    )
    assert reader.read("text <call double", [], finished=False).calls == ()
    assert reader.read(' "{', [], finished=False).calls == (NAME, CallDelta(0, arguments="{"))

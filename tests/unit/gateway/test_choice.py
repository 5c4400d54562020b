"""One choice: what the model writes becomes events and items, through the guard."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count

import pytest

from services.gateway.api import (
    ArgumentsDelta,
    CallStarted,
    Finish,
    ItemDone,
    ReasoningDelta,
    TextDelta,
    TurnEvent,
)
from services.gateway.choice import Choice, Seal
from services.gateway.guard import Blocked, Guard
from services.inference.api import CallDelta, Delta, FinishReason, TokenLogprob
from services.shared.conversation import Call, Message, Phase, Reasoning, Role, RunBy, Text, said
from services.shared.tools import TEXT_PARAMETERS, TextInput, Tool


class WordGuard:
    """Holds back until the end of a word, masks `secret` and blocks `forbidden`."""

    def __init__(self) -> None:
        self.rewritten = False
        self._held = ""

    async def feed(self, text: str, *, final: bool = False) -> str:
        self._held += text
        words, space, rest = self._held.rpartition(" ")
        shown, self._held = (self._held, "") if final else (words + space, rest)
        if "forbidden" in shown:
            raise Blocked("violence")
        self.rewritten = self.rewritten or "secret" in shown
        return shown.replace("secret", "[masked]")


class Guards:
    """Opens guards and counts those that are open."""

    def __init__(self) -> None:
        self.open = 0

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Guard]:
        self.open += 1
        try:
            yield WordGuard()
        finally:
            self.open -= 1


def choice(
    *functions: str, takes_text: bool = False, seal: Seal | None = None
) -> tuple[Choice, Guards]:
    numbers, guards = count(1), Guards()
    taken = TextInput() if takes_text else None
    offered = {name: Tool(name, "", TEXT_PARAMETERS, text_input=taken) for name in functions}
    made = Choice(0, offered, guards, lambda prefix: f"{prefix}_{next(numbers)}", seal)
    return made, guards


async def grown(made: Choice, *deltas: Delta) -> list[TurnEvent]:
    return [event for delta in deltas for event in await made.grow(delta)]


def called(name: str, *arguments: str, index: int = 0) -> list[Delta]:
    pieces = [CallDelta(index, name), *(CallDelta(index, "", piece) for piece in arguments)]
    return [Delta(0, calls=(piece,)) for piece in pieces]


def answered(item_id: str, text: str, phase: Phase = Phase.FINAL_ANSWER) -> Message:
    return Message(item_id, Role.ASSISTANT, (Text(text),), phase)


END = Delta(0, finish_reason=FinishReason.STOP)


async def test_words_leave_as_the_guard_lets_them() -> None:
    made, guards = choice()
    events = await grown(
        made, Delta(0, text="two "), Delta(0, text="wor"), Delta(0, text="ds"), END
    )
    item = answered("msg_1", "two words")
    assert events == [
        TextDelta(0, "msg_1", "two "),
        TextDelta(0, "msg_1", "words"),
        ItemDone(0, item),
    ]
    assert (made.items, made.finish, made.withheld) == ([item], Finish.STOP, False)
    assert guards.open == 0


async def test_reasoning_and_answer_are_items_of_their_own() -> None:
    made, _ = choice()
    events = await grown(made, Delta(0, reasoning="hm"), Delta(0, text="yes"), END)
    assert events[:2] == [ReasoningDelta(0, "rs_1", "hm"), ItemDone(0, Reasoning("rs_1", "hm"))]
    assert made.items[1:] == [answered("msg_2", "yes")]


async def test_what_is_said_before_a_call_or_a_thought_is_commentary() -> None:
    for following in (called("city", "{}"), [Delta(0, reasoning="hm")], called("clock", "{}")):
        made, _ = choice("city")
        await grown(made, Delta(0, text="Let me look."), *following, END)
        assert made.items[0] == answered("msg_1", "Let me look.", Phase.COMMENTARY)


async def test_what_was_cut_may_have_become_anything() -> None:
    made, _ = choice()
    await grown(made, Delta(0, text="so far"), Delta(0, finish_reason=FinishReason.LENGTH))
    assert made.items == [answered("msg_1", "so far", Phase.UNSAID)]


async def test_the_text_of_a_custom_tool_is_streamed_as_it_is_and_kept_as_arguments() -> None:
    made, _ = choice("exec", takes_text=True)
    events = await grown(made, *called("exec", 'say "a', ' b"'), END)
    assert isinstance(events[0], CallStarted)
    assert events[0].call.text_input
    pieces = [event.arguments for event in events if isinstance(event, ArgumentsDelta)]
    assert "".join(pieces) == 'say "a b"'
    (call,) = made.items
    assert isinstance(call, Call)
    assert (call.arguments, call.text_input) == ('{"input": "say \\"a b\\""}', True)


async def test_reasoning_is_sealed_as_it_was_shown() -> None:
    made, _ = choice(seal=lambda text: f"<{text}>")
    await grown(made, Delta(0, reasoning="my secret plan"), END)
    assert made.items == [Reasoning("rs_1", "my [masked] plan", opaque="<my [masked] plan>")]


async def test_a_callers_call_streams_its_arguments() -> None:
    made, _ = choice("city")
    events = await grown(made, *called("city", '{"q": ', '"Oslo"}'), END)
    started = Call("fc_1", "call_2", "city", "")
    whole = Call("fc_1", "call_2", "city", '{"q": "Oslo"}')
    assert events[0] == CallStarted(0, started)
    assert "".join(e.arguments for e in events if isinstance(e, ArgumentsDelta)) == whole.arguments
    assert events[-1] == ItemDone(0, whole)
    assert made.finish is Finish.FUNCTION_CALLS


async def test_a_call_of_the_mesh_is_kept_until_it_has_run() -> None:
    made, _ = choice("city")
    assert await grown(made, *called("double", "{}"), END) == []
    (call,) = made.own_calls
    assert (call.run_by, call.name, call.arguments) == (RunBy.MESH, "double", "{}")
    assert made.items == []


async def test_calls_of_one_message_say_so() -> None:
    made, _ = choice("city")
    await grown(made, *called("city", "{}"), *called("city", "{}", index=1), END)
    assert [item.parallel for item in made.items if isinstance(item, Call)] == [False, True]


async def test_blanks_wait_for_words() -> None:
    made, _ = choice("city")
    events = await grown(made, Delta(0, text="\n\n"), *called("city", "{}"), END)
    assert not any(isinstance(event, TextDelta) for event in events)
    other, _ = choice()
    await grown(other, Delta(0, text="\n"), Delta(0, text="yes"), END)
    assert other.items == [answered("msg_1", "\nyes")]


def written(*tokens: str, text: str | None = None) -> Delta:
    """What an engine says of these tokens; where it holds text back, less than they spell."""
    shown = "".join(tokens) if text is None else text
    return Delta(0, text=shown, logprobs=tuple(TokenLogprob(1, each, -0.1) for each in tokens))


def spelled(events: Sequence[TurnEvent]) -> list[tuple[str, str]]:
    """Each text that was shown, and what its log probabilities spell."""
    texts = [event for event in events if isinstance(event, TextDelta)]
    return [(each.text, "".join(token.token for token in each.logprobs)) for each in texts]


async def test_what_is_masked_is_told_and_shows_no_probabilities() -> None:
    made, _ = choice()
    events = await grown(made, written("so ", "far "), written("a ", "sec", "ret "), END)
    assert spelled(events) == [("so far ", "so far "), ("a [masked] ", "")]
    assert made.withheld


async def test_probabilities_wait_as_their_text_does() -> None:
    made, _ = choice()
    events = await grown(made, written("one ", "sec"), written("ret", " "), written("x"), END)
    assert spelled(events) == [("one ", "one "), ("[masked] ", ""), ("x", "")]
    made, _ = choice()
    events = await grown(made, written("so ", "forbid"), written("den", " "), END)
    assert spelled(events) == [("so ", "so ")]


async def test_blanks_before_a_thought_are_no_part_of_the_answer() -> None:
    made, _ = choice()
    thought = Delta(0, reasoning="hm", logprobs=(TokenLogprob(1, "hm", -0.1),))
    events = await grown(made, written("\n"), thought, written("yes"), END)
    assert spelled(events) == [("yes", "yes")]


async def test_a_stop_string_and_the_end_have_no_probabilities() -> None:
    """The engine holds text back as long as it may be the beginning of a stop string."""
    made, _ = choice()
    deltas = [written("one", " two", text=""), written(" st", "op", text="one")]
    last = Delta(0, text=" two", finish_reason=FinishReason.STOP)
    assert spelled(await grown(made, *deltas, last)) == [("one ", "one"), ("two", " two")]
    made, _ = choice()
    ending = written("yes", "<|im_end|>", text="yes")
    assert spelled(await grown(made, ending, END)) == [("yes", "yes")]


async def test_reasoning_and_calls_keep_their_probabilities_to_themselves() -> None:
    made, _ = choice("city")
    token = TokenLogprob(1, "hm", -0.1)
    thought = Delta(0, reasoning="hm", logprobs=(token, TokenLogprob(2, "</think>", -0.1)))
    events = await grown(made, thought, written("hm"), *called("city", "{}"), END)
    assert spelled(events) == [("hm", "hm")]


async def test_what_is_blocked_ends_the_choice_with_what_was_shown() -> None:
    made, guards = choice()
    events = await grown(made, Delta(0, text="so far "), Delta(0, text="forbidden "), END)
    item = said("msg_1", Role.ASSISTANT, "so far ")
    assert events == [TextDelta(0, "msg_1", "so far "), ItemDone(0, item)]
    assert (made.finish, made.withheld, guards.open) == (Finish.CONTENT_FILTER, True, 0)
    assert await grown(made, Delta(0, text="more ")) == []


async def test_a_choice_that_is_cut_keeps_what_was_shown_and_runs_nothing() -> None:
    made, guards = choice()
    await grown(made, *called("double", "{}"), Delta(0, text="so far and"))
    assert await made.cut() == [ItemDone(0, said("msg_4", Role.ASSISTANT, "so far "))]
    assert (made.finish, made.own_calls, guards.open) == (Finish.TOO_MANY_EVENTS, [], 0)
    assert await made.cut() == []


@pytest.mark.parametrize("why", ["LENGTH", "INVALID_CALL"])
async def test_a_call_that_is_not_whole_or_none_is_not_run(why: str) -> None:
    made, _ = choice()
    await grown(made, *called("double", '{"n": '), Delta(0, finish_reason=FinishReason[why]))
    assert (made.finish, made.own_calls) == (Finish[why], [])


def kinds(events: Sequence[TurnEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


async def test_an_item_of_which_nothing_was_shown_is_none() -> None:
    made, _ = choice()
    assert kinds(await grown(made, Delta(0, text="forbidden "))) == []
    assert made.items == []

"""What a caller or a tool sends is read before the model reads it."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace

import pytest

from services.gateway.api import Ask, InputBlocked, InvalidRequest
from services.gateway.screening import Screening
from services.moderation.api import Direction, Grown, Release, TextsTooLong, TextTooLong, Verdict
from services.shared.conversation import (
    Call,
    CallOutcome,
    CallResult,
    Item,
    Message,
    Picture,
    Reasoning,
    Refusal,
    Role,
    RunBy,
    Text,
    said,
)
from services.shared.tools import Tool
from services.tool_runner.api import Failure, Outcome
from tests.fakes.moderation import WordModeration

PICTURE = Picture("image/png", b"png")
HELLO = Ask("demo", (said("msg_0", Role.USER, "hello"),), instructions="Be kind.")


CITY = Tool("city", "Find a city.", "{}")


DEEP = '[{"a": ' * 400 + '"a \\u0066orbidden wish"' + "}]" * 400


def described(text: str) -> Tool:
    schema = {"type": "object", "properties": {"q": {"type": "string", "description": text}}}
    return Tool("find", "Find.", json.dumps(schema))


def asking(*items: Item) -> Ask:
    return replace(HELLO, input=items)


async def test_what_is_harmless_stays_the_very_same_ask() -> None:
    assert await Screening(WordModeration()).screen(HELLO) is HELLO


@pytest.mark.parametrize(
    "ask",
    [
        replace(HELLO, instructions="a forbidden wish"),
        asking(said("m", Role.USER, "a forbidden wish")),
        asking(said("m", Role.SYSTEM, "a forbidden wish")),
        asking(Message("m", Role.USER, (Text("harmless"), PICTURE, Text("a forbidden wish")))),
        asking(Call("i", "c", "f", '{"wish": "a forbidden one"}')),
        asking(Call("i", "c", "f", '{"wish": "a \\u0066orbidden one"}')),
        asking(Call("i", "c", "f", '{"forbidden": 1')),
        asking(Call("i", "c", "a forbidden wish", "{}")),
        asking(Call("i", "c", "f", DEEP)),
        replace(HELLO, functions=(replace(CITY, description="a forbidden wish"),)),
        replace(HELLO, functions=(CITY, described("a forbidden wish"))),
        replace(HELLO, template_options={"effort": '"low"', "documents": '[{"d": "forbidden"}]'}),
        replace(HELLO, functions=(replace(CITY, parameters='{"enum": ["forbidden"]}'),)),
        replace(HELLO, functions=(replace(CITY, parameters='{"properties": {"forbidden": {}}}'),)),
    ],
)
async def test_everything_that_a_caller_sends_may_be_blocked(ask: Ask) -> None:
    with pytest.raises(InputBlocked) as caught:
        await Screening(WordModeration()).screen(ask)
    assert caught.value.details == {"category": "violence"}


async def test_a_blocked_reply_in_the_input_is_withheld_and_the_conversation_goes_on() -> None:
    moderation = WordModeration()
    instead = "[moderation withheld this message]"
    ask = asking(
        Message("m1", Role.ASSISTANT, (Text("a forbidden wish"), PICTURE)),
        Message("m2", Role.ASSISTANT, (Refusal("no, forbidden"),)),
        said("m3", Role.ASSISTANT, "my secret"),
        Reasoning("r1", "forbidden", ("forbidden",)),
        Reasoning("r2", "a secret"),
        *HELLO.input,
    )
    passed = (
        said("m1", Role.ASSISTANT, instead),
        said("m2", Role.ASSISTANT, instead),
        said("m3", Role.ASSISTANT, "my [masked]"),
        Reasoning("r1", instead, (instead,)),
        Reasoning("r2", "a [masked]"),
        *HELLO.input,
    )
    assert (await Screening(moderation).screen(ask)).input == passed
    unstored = replace(ask, input=(), unstored=ask.input)
    assert (await Screening(moderation).screen(unstored)).unstored == passed


async def test_reasoning_that_was_sealed_here_is_not_read_again() -> None:
    moderation = WordModeration()
    ask = asking(Reasoning("r", "forbidden", opaque="sealed"), *HELLO.input)
    assert await Screening(moderation).screen(ask) is ask
    assert moderation.screened == ["Be kind.", "hello"]


async def test_a_conversation_of_many_replies_is_asked_about_once() -> None:
    moderation = OnceAsked()
    turns = [(said("u", Role.USER, f"q{n}"), said("a", Role.ASSISTANT, f"a{n}")) for n in range(99)]
    ask = asking(*(item for turn in turns for item in turn))
    assert await Screening(moderation).screen(ask) is ask
    assert [len(texts) for texts in moderation.asked] == [1 + 2 * 99]


async def test_a_blocked_result_is_withheld_and_the_conversation_goes_on() -> None:
    withheld = (Text("error: moderation withheld the tool's result"),)
    own = Call("i", "c", "f", "{}", RunBy.MESH, outcome=CallOutcome((Text("forbidden"), PICTURE)))
    ask = asking(CallResult("r", "c", (Text("a forbidden wish"), PICTURE)), own, *HELLO.input)
    screened = await Screening(WordModeration()).screen(ask)
    assert screened.input == (
        CallResult("r", "c", withheld),
        replace(own, outcome=CallOutcome(withheld)),
        *HELLO.input,
    )


async def test_what_is_masked_in_a_tool_or_a_call_leaves_the_rest_as_it_was() -> None:
    schema = '{"properties": {"q": {"type": "string", "description": "a\\nsecret city"}}}'
    call = Call("i", "c", "city", '{"q": "my secret", "n": [1, "town"]}')
    tool = replace(CITY, description="No secret.", parameters=schema)
    screened = await Screening(WordModeration()).screen(
        replace(asking(call), functions=(CITY, tool), template_options={"d": '["my secret", 1]'})
    )
    assert screened.template_options == {"d": '["my [masked]", 1]'}
    assert screened.input == (replace(call, arguments='{"q": "my [masked]", "n": [1, "town"]}'),)
    assert screened.functions == (
        CITY,
        replace(tool, description="No [masked].", parameters=schema.replace("secret", "[masked]")),
    )


async def test_what_is_masked_stands_in_the_place_of_what_was_there() -> None:
    ask = replace(
        asking(
            said("m1", Role.USER, "my secret"),
            Message("m2", Role.USER, (Text("one secret"), PICTURE, Text("two"))),
            CallResult("r", "c", (Text("a secret"), PICTURE)),
        ),
        instructions="Keep the secret.",
    )
    screened = await Screening(WordModeration()).screen(ask)
    assert screened.instructions == "Keep the [masked]."
    assert screened.input == (
        said("m1", Role.USER, "my [masked]"),
        Message("m2", Role.USER, (Text("one [masked]\ntwo"), PICTURE)),
        CallResult("r", "c", (Text("a [masked]"), PICTURE)),
    )


async def test_what_a_tool_brought_is_withheld_masked_or_passed_on() -> None:
    screening = Screening(WordModeration())
    harmless = Outcome((Text("42"), PICTURE))
    assert await screening.screen_outcome(harmless) is harmless
    masked = await screening.screen_outcome(Outcome((PICTURE, Text("a secret")), Failure.FAILED))
    assert masked == Outcome((Text("a [masked]"), PICTURE), Failure.FAILED)
    withheld = await screening.screen_outcome(Outcome((Text("forbidden"), PICTURE)))
    assert withheld.parts == (Text("error: moderation withheld the tool's result"),)


class Impatient:
    """A `Moderation` to which every text is too long."""

    def __init__(self, failure: type[TextTooLong] = TextTooLong) -> None:
        self._failure = failure

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        raise self._failure("9 characters, at most 5")

    def watch(self, reply: AsyncIterator[Grown]) -> AsyncGenerator[Release, None]:
        raise AssertionError("nothing is watched here")


class OnceAsked(WordModeration):
    """Keeps what each question to it brought."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Sequence[str]] = []

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        self.asked.append(texts)
        return await super().screen(texts, direction)


LONG = "word " * 20


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (replace(HELLO, instructions=LONG), "instructions"),
        (replace(HELLO, functions=(CITY, described(LONG))), "tools"),
        (replace(HELLO, template_options={"mood": json.dumps(LONG)}), "template_options"),
        (asking(said("m", Role.USER, "hi"), said("m", Role.USER, LONG)), "input"),
        (asking(Call("i", "c", "f", json.dumps({"a": LONG}))), "input"),
        (replace(HELLO, unstored=(said("m", Role.USER, LONG),)), "input"),
    ],
)
async def test_a_text_that_is_too_long_is_refused_by_its_field(ask: Ask, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await Screening(Impatient()).screen(ask)
    assert caught.value.details == {"param": field, "code": "string_above_max_length"}


async def test_texts_that_are_too_long_together_are_refused_as_the_input() -> None:
    with pytest.raises(InvalidRequest) as caught:
        await Screening(Impatient(TextsTooLong)).screen(replace(HELLO, instructions=LONG))
    assert caught.value.details["param"] == "input"

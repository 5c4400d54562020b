"""A turn that hears again what it heard: what is asked anew, and what cannot go on."""

from dataclasses import replace

import pytest

from services.gateway.api import StreamInterrupted
from services.gateway.ports import Neighbours
from services.gateway.resuming import heard_again
from services.gateway.steps import Dropped, Heard, Step, Steps, past_of
from services.inference.api import (
    CallDelta,
    Calling,
    Delta,
    FinishReason,
    FormatKind,
    Generation,
    OutputFormat,
    Piece,
    Sampling,
    Usage,
)
from services.shared.tools import Tool, ToolChoice, ToolMode
from tests.fakes.mesh import FewTools, WordContext
from tests.fakes.moderation import WordModeration
from tests.fakes.word_engine import FIRST_ID, WordEngine, word

PROMPT = (1, 2, 3)
ASKED = Generation("demo", "resp_1.0", PROMPT, Sampling(max_tokens=10, seed=5))


def pieces(count: int) -> list[Piece]:
    return [Piece((Delta(0, (FIRST_ID + each,), word(each)),)) for each in range(count)]


class Again:
    """A generation that is asked for again after so many words, of which some were shown."""

    def __init__(self, heard: list[Piece], *, repeating: int = 1, words: int = 8) -> None:
        self.noted: list[Step] = []

        async def note(step: Step) -> None:
            self.noted.append(step)

        past = past_of([Heard(0, piece) for piece in heard])
        self.engine = WordEngine(words)
        neighbours = Neighbours(WordModeration(), WordContext(), self.engine, FewTools())
        self._inference = heard_again(neighbours, Steps(past, note, repeating=repeating)).inference

    async def generated(self, generation: Generation = ASKED) -> list[Piece]:
        return [piece async for piece in self._inference.generate(generation)]


def text(heard: list[Piece]) -> str:
    return "".join(delta.text for piece in heard for delta in piece.deltas)


async def test_another_replica_goes_on_after_the_last_token() -> None:
    again = Again(pieces(3))
    heard = await again.generated()
    assert text(heard) == text(pieces(8))
    (asked,) = again.engine.generations
    assert asked.prompt_ids == (*PROMPT, FIRST_ID, FIRST_ID + 1, FIRST_ID + 2)
    assert asked.sampling.max_tokens == 7
    assert asked.sampling.seed not in {None, 5}
    assert heard[-1].usage == Usage(prompt_tokens=3, completion_tokens=8)


async def test_a_round_that_had_ended_is_not_asked_for_again() -> None:
    last = Piece((Delta(0, finish_reason=FinishReason.STOP),), Usage(3, 0, 3))
    again = Again([*pieces(3), last])
    assert await again.generated() == [*pieces(3), last]
    assert again.engine.generations == []


async def test_tokens_without_text_are_written_again() -> None:
    """Half of a character, or what may be the beginning of a stop string."""
    silent = Piece((Delta(0, (FIRST_ID + 3,), ""),))
    again = Again([*pieces(3), silent])
    heard = await again.generated()
    assert text(heard) == text(pieces(8))
    assert again.engine.generations[0].prompt_ids[-1] == FIRST_ID + 2
    assert Dropped(0, 1) in again.noted
    assert heard[-1].usage == Usage(prompt_tokens=3, completion_tokens=8)


async def test_a_text_that_has_all_its_tokens_ends_there() -> None:
    again = Again(pieces(10))
    heard = await again.generated()
    assert again.engine.generations == []
    assert heard[-1].deltas[0].finish_reason is FinishReason.LENGTH
    assert heard[-1].usage == Usage(prompt_tokens=3, completion_tokens=10)


async def test_what_is_held_back_is_kept_once_a_second() -> None:
    """Moderation shows 40 words at a time: without an event nothing else would keep them."""
    seconds = iter(range(100))
    noted, kept = [], []

    async def note(step: Step) -> None:
        noted.append(step)

    async def keep() -> None:
        kept.append(len(noted))

    neighbours = Neighbours(WordModeration(), WordContext(), WordEngine(8), FewTools())
    # The clock is read twice where something is kept: a second after what was kept before.
    stepped = heard_again(neighbours, Steps(note=note, keep=keep), lambda: next(seconds) / 2)
    heard = [piece async for piece in stepped.inference.generate(ASKED)]
    assert len(noted) == len(heard)
    assert kept == [2, 4, 6, 8]


async def test_a_round_of_which_nothing_was_shown_begins_anew() -> None:
    again = Again(pieces(3), repeating=0)
    assert text(await again.generated()) == text(pieces(8))
    assert again.engine.generations == [ASKED]
    assert Dropped(0, 0, whole=True) in again.noted


TOOL = Tool("f", "does", "{}")


async def test_a_text_is_gone_on_with_though_the_model_may_still_call() -> None:
    again = Again(pieces(3))
    offering = replace(ASKED, calling=Calling((TOOL,)))
    heard = await again.generated(offering)
    assert text(heard) == text(pieces(8))
    (asked,) = again.engine.generations
    assert (asked.begun_tokens, asked.calling) == (3, offering.calling)


async def test_a_round_in_which_a_call_began_is_not_gone_on_with() -> None:
    call = Piece((Delta(0, (FIRST_ID + 3,), calls=(CallDelta(0, "f", "{"),)),))
    again = Again([*pieces(3), call])
    with pytest.raises(StreamInterrupted):
        await again.generated(replace(ASKED, calling=Calling((TOOL,))))
    assert again.engine.generations == []


@pytest.mark.parametrize(
    "asked",
    [
        Generation("demo", "resp_1.0", PROMPT, Sampling(n=2, max_tokens=9)),
        Generation(
            "demo",
            "resp_1.0",
            PROMPT,
            Sampling(max_tokens=9),
            format=OutputFormat(FormatKind.JSON_OBJECT),
        ),
        Generation(
            "demo",
            "resp_1.0",
            PROMPT,
            Sampling(max_tokens=9),
            calling=Calling((TOOL,), ToolChoice(ToolMode.REQUIRED)),
        ),
    ],
    ids=["two choices", "a format", "a call that must come"],
)
async def test_where_text_alone_does_not_say_where_the_model_is_it_is_told(
    asked: Generation,
) -> None:
    again = Again(pieces(3))
    with pytest.raises(StreamInterrupted):
        await again.generated(asked)
    assert again.engine.generations == []


async def test_nothing_goes_on_from_a_text_that_the_tokens_do_not_say() -> None:
    other = [Piece((Delta(0, (FIRST_ID,), "something else"),))]
    again = Again(other)
    with pytest.raises(StreamInterrupted):
        await again.generated()


async def test_thoughts_are_not_gone_on_with() -> None:
    again = Again([Piece((Delta(0, (FIRST_ID,), reasoning="hm"),)), *pieces(1)])
    with pytest.raises(StreamInterrupted):
        await again.generated()

"""What of a growing text is shown in each mode."""

from collections.abc import AsyncIterator

import pytest

from services.gateway.guard import Blocked, OutputModeration, guards
from tests.fakes.moderation import WordModeration, policy, screener

PIECES = [f"word{n} " for n in range(30)]


async def shown(mode: OutputModeration, pieces: list[str]) -> AsyncIterator[str]:
    async with guards(WordModeration(), mode)() as guard:
        for piece in pieces:
            yield await guard.feed(piece)
        yield await guard.feed("", final=True)


async def test_nothing_is_shown_before_it_was_released() -> None:
    seen = [text async for text in shown(OutputModeration.BLOCK, PIECES)]
    # Moderation is asked after eight words, then after as many as it says.
    assert seen[:7] == [""] * 7
    assert seen[7] == "".join(PIECES[:8])
    assert "".join(seen) == "".join(PIECES)


async def test_beside_moderation_everything_is_shown_at_once() -> None:
    seen = [text async for text in shown(OutputModeration.PARALLEL, PIECES)]
    assert seen[:-1] == PIECES


@pytest.mark.parametrize("mode", [OutputModeration.BLOCK, OutputModeration.PARALLEL])
async def test_what_is_blocked_stops_the_text(mode: OutputModeration) -> None:
    seen = []
    with pytest.raises(Blocked) as blocked:
        async for text in shown(mode, ["forbidden ", *PIECES]):
            seen.append(text)  # noqa: PERF401 - what was seen before the failure
    assert blocked.value.category == "violence"
    if mode is OutputModeration.BLOCK:
        assert "".join(seen) == ""


async def test_without_moderation_nobody_is_asked() -> None:
    moderation = WordModeration()
    async with guards(moderation, OutputModeration.OFF)() as guard:
        assert await guard.feed("forbidden") == "forbidden"
    assert moderation.watching == 0


async def test_a_rewritten_text_says_that_it_was() -> None:
    async with guards(WordModeration(), OutputModeration.BLOCK)() as guard:
        assert await guard.feed("a plain word", final=False) == ""
        assert not guard.rewritten
        assert await guard.feed(" and a secret", final=True) == "a plain word and a [masked]"
        assert guard.rewritten


async def test_what_is_taken_out_at_the_end_counts_as_rewritten() -> None:
    core = screener(policy(output_rules={"hidden": "mask"}))
    async with guards(core, OutputModeration.BLOCK)() as guard:
        assert await guard.feed("plain\U000e0041\U000e0042", final=True) == "plain"
        assert guard.rewritten


async def test_words_are_counted_where_a_text_has_no_spaces() -> None:
    async with guards(WordModeration(), OutputModeration.BLOCK)() as guard:
        # One word, and moderation holds a word back until it ends or is too long to be a secret.
        assert await guard.feed("x" * 5_000) == "x" * 5_000


@pytest.mark.parametrize("mode", list(OutputModeration))
async def test_leaving_early_ends_the_watch(mode: OutputModeration) -> None:
    moderation = WordModeration()
    async with guards(moderation, mode)() as guard:
        for piece in PIECES[:10]:
            await guard.feed(piece)
    assert moderation.watching == 0

"""What is found in whole texts."""

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from services.moderation.api import CATEGORIES, Span
from services.moderation.inspector import TextInspector
from services.moderation.ports import Scores
from services.moderation.windows import WindowSize
from tests.fakes.moderation import WordFinder, WordScorer

VIOLENCE = CATEGORIES.index("violence")
FINDERS = [WordFinder("cat", "animals"), WordFinder("oak", "trees")]


def inspector(scorer: WordScorer) -> TextInspector:
    return TextInspector(scorer, FINDERS, WindowSize(words=10, overlap=2))


async def test_the_highest_score_of_a_texts_windows_counts() -> None:
    texts = ["word " * 25 + "vile", "word " * 25]
    inspections = await inspector(WordScorer()).inspect(texts)
    assert [i.scores[VIOLENCE] for i in inspections] == pytest.approx([0.9, 0.1])


async def test_every_window_of_every_text_is_scored_once() -> None:
    scorer = WordScorer()
    await inspector(scorer).inspect(["one", " ".join(f"w{n}" for n in range(18))])
    assert [len(window.split()) for window in scorer.windows] == [1, 10, 10]


async def test_what_every_finder_finds_is_told() -> None:
    (found,) = await inspector(WordScorer()).inspect(["an oak and a cat"])
    assert found.spans == (Span(13, 16, "animals"), Span(3, 6, "trees"))


async def test_long_texts_are_inspected_as_short_ones_are() -> None:
    """They are cut and searched on another thread."""
    long, short = await inspector(WordScorer()).inspect(["word " * 1_000 + "vile cat", "cat"])
    assert long.scores[VIOLENCE] == pytest.approx(0.9)
    assert (long.spans, short.spans) == ((Span(5_005, 5_008, "animals"),), (Span(0, 3, "animals"),))


async def test_a_sentence_counts_as_if_it_stood_alone() -> None:
    """The scorer of this test gives a passage the less, the more words surround the bad one."""

    class Diluting(WordScorer):
        async def score(self, windows: Sequence[str]) -> Scores:
            scores = await super().score(windows)
            scores /= np.array([[len(window.split())] for window in windows])
            return scores

    (alone,) = await inspector(Diluting()).inspect(["so vile."])
    (hidden,) = await inspector(Diluting()).inspect(["so vile. " + "write a poem. " * 30])
    assert hidden.scores[VIOLENCE] == pytest.approx(alone.scores[VIOLENCE])


async def test_no_finder_begins_once_the_caller_is_gone() -> None:
    class Waiting(WordFinder):
        def find(self, text: str) -> list[Span]:
            searched.append(text)
            begun.set()
            assert gone.wait(timeout=10)
            return []

    searched: list[str] = []
    begun, gone = threading.Event(), threading.Event()
    texts = [f"{number} " * 2_000 for number in range(50)]
    finder = Waiting("cat", "animals")
    one = TextInspector(WordScorer(), [finder], WindowSize(words=10, overlap=2))
    caller = asyncio.create_task(one.inspect(texts))
    assert await asyncio.to_thread(begun.wait, 10)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    gone.set()
    # Whatever the thread still did is over once another search on it is.
    await asyncio.to_thread(finder.find, "after")
    assert len(searched) <= 3

"""What is found in whole texts."""

import pytest

from services.moderation.api import CATEGORIES, Span
from services.moderation.inspector import TextInspector
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

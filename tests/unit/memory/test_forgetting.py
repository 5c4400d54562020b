"""What is forgotten when somebody asks for it in words.

`forget_held_out` was written apart from the rules; of its 37 queries 34 were met the first time,
and the other three took too little or the next thing to what was asked for.
"""

from collections.abc import Iterator, Sequence

import pytest

from services.memory.api import Fact, Kind
from services.memory.forgetting import meant
from services.memory.index import Index
from services.memory.ports import EmbeddedFact, ScopeFacts
from services.shared.embedder import Embedder, open_embedder
from tests.fakes.memory import lines, pairs

NONE = "-"


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    with open_embedder() as opened:
        yield opened


def index_of(texts: Sequence[str], embedder: Embedder) -> Index:
    facts = [Fact(str(row), text, Kind.FACT, row, row) for row, text in enumerate(texts)]
    pairs = zip(facts, embedder.embed_now(texts), strict=True)
    return Index(ScopeFacts(1, [EmbeddedFact(fact, vector) for fact, vector in pairs]))


def forgotten(query: str, index: Index, embedder: Embedder) -> set[str]:
    return {fact.text for fact in meant(query, index, embedder.embed_now([query])[0])}


def misunderstood(
    cases: Sequence[tuple[str, str]], texts: Sequence[str], embedder: Embedder
) -> list[tuple[str, set[str]]]:
    """The queries that do not mean what their case says, and what they were taken to mean."""
    index = index_of(texts, embedder)
    wrong = []
    for query, beginnings in cases:
        wanted = {
            next(text for text in texts if text.startswith(beginning))
            for beginning in beginnings.split("; ")
            if beginning != NONE
        }
        if (found := forgotten(query, index, embedder)) != wanted:
            wrong.append((query, found))
    return wrong


def test_means_what_was_said(embedder: Embedder) -> None:
    cases = pairs("forget")
    assert len(cases) >= 70
    assert not misunderstood(cases, lines("person"), embedder)


def test_means_what_was_said_of_another_person(embedder: Embedder) -> None:
    cases = pairs("forget_held_out")
    texts = [line[2:] for line in lines("forget_held_out") if line.startswith("= ")]
    wrong = misunderstood(cases, texts, embedder)
    assert len(cases) >= 37
    assert len(wrong) <= 3
    # Where nothing was meant, at most the next thing to it is taken.
    assert [query for query, _ in wrong if (query, NONE) in cases] == ["my favourite team"]


def test_facts_that_say_the_same_go_together(embedder: Embedder) -> None:
    index = index_of(
        ["my dog is called Rex", "The name of my dog is Rex", "my cat is called Rex"], embedder
    )
    assert len(forgotten("my dog is called Rex", index, embedder)) == 2
    assert len(forgotten("my dog's name", index, embedder)) == 2


def test_the_opposite_of_what_is_kept_is_not_meant(embedder: Embedder) -> None:
    index = index_of(["I don't like coffee", "my sister likes coffee"], embedder)
    assert not forgotten("that I like coffee", index, embedder)
    assert forgotten("that I don't like coffee", index, embedder) == {"I don't like coffee"}


def test_a_word_that_many_facts_have_means_none_of_them(embedder: Embedder) -> None:
    texts = [f"I keep the {colour} box in the cellar" for colour in "red green blue white".split()]
    index = index_of(texts, embedder)
    assert not forgotten("the box in the cellar", index, embedder)
    assert forgotten("the red box", index, embedder) == {texts[0]}
    assert len(forgotten("everything you know about the box in the cellar", index, embedder)) == 4

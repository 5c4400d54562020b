import pytest

from services.memory.api import Fact, Kind
from services.memory.index import Index
from services.memory.ports import EmbeddedFact, ScopeFacts
from tests.fakes.memory import WordEmbedder

EMBEDDER = WordEmbedder()
TEXTS = ["my dog is called Rex", "I live in Oslo", "I take my coffee without sugar", "🙂", "the of"]


def kept(fact_id: str, text: str) -> EmbeddedFact:
    (vector,) = EMBEDDER.embed_now([text])
    return EmbeddedFact(Fact(fact_id, text, Kind.FACT, 0, 0), vector)


def index_of(*texts: str) -> Index:
    return Index(ScopeFacts(1, [kept(str(number), text) for number, text in enumerate(texts)]))


def found(index: Index, query: str, limit: int = 10) -> list[str]:
    (vector,) = EMBEDDER.embed_now([query])
    return [match.fact.text for match in index.search(query, vector, limit)]


def test_what_shares_rare_words_comes_first() -> None:
    index = index_of(*TEXTS)
    assert found(index, "who is Rex?", 1) == ["my dog is called Rex"]
    assert found(index, "sugar", 1) == ["I take my coffee without sugar"]
    assert len(found(index, "sugar")) == len(TEXTS)


@pytest.mark.parametrize("query", ["", "the", "🙂", "zzz", "的"])
def test_any_query_has_scores_between_0_and_1(query: str) -> None:
    (vector,) = EMBEDDER.embed_now([query])
    for index in (index_of(*TEXTS), index_of("🙂"), index_of("my dog is called Rex")):
        matches = index.search(query, vector, 10)
        assert len(matches) == len(index)
        assert all(0 <= match.score <= 1 for match in matches)


def test_the_fact_itself_as_a_query_scores_highest_of_all() -> None:
    (vector,) = EMBEDDER.embed_now([TEXTS[0]])
    (best,) = index_of(*TEXTS).search(TEXTS[0], vector, 1)
    (worse,) = index_of(*TEXTS[1:]).search(TEXTS[0], vector, 1)
    assert best.score > 0.7 > worse.score


def test_a_change_makes_another_index_and_leaves_this_one() -> None:
    first = index_of(*TEXTS)
    second = first.changed(2, keep=[kept("1", "I live in Bergen"), kept("9", "tea")], drop=["0"])
    assert found(first, "Rex", 1) == ["my dog is called Rex"]
    assert "my dog is called Rex" not in found(second, "Rex")
    assert found(second, "Bergen", 1) == ["I live in Bergen"]
    assert (first.revision, second.revision) == (1, 2)
    assert ("9" in first, "9" in second, "0" in second) == (False, True, False)


def test_takes_the_users_own_name_out_of_a_query() -> None:
    index = index_of("My name is Ann Lee", "call me Annie", "my dog is called Rex")
    assert (
        index.without_names("Where does Ann Lee's dog sleep, Annie?") == "Where does dog sleep, ?"
    )
    assert index.without_names("Where does Rex sleep?") == "Where does Rex sleep?"
    assert index.without_names("Ann") == "Ann"
    assert index_of("my dog is called Rex").without_names("Rex, sit") == "Rex, sit"

import pytest

from services.memory.claims import Claim, claims
from services.memory.statements import statements


def settled(text: str) -> list[Claim]:
    (statement,) = statements(text)
    return claims(statement)


@pytest.mark.parametrize(
    ("text", "relation", "value"),
    [
        ("my dog is called Rex", ("name", "my", "dog"), ("rex",)),
        ("My wife is Anna", ("name", "my", "wife"), ("anna",)),
        ("my best friend is called Tom", ("name", "my", "best", "friend"), ("tom",)),
        ("I live in Oslo", ("home", "place", "i"), ("oslo",)),
        ("We moved from Rome to Norway", ("home", "country", "i"), ("norway",)),
        ("I live at 12 Hill Road", ("home address", "i"), ("twelv", "hill", "road")),
        ("I work for the post office", ("employer", "i"), ("post", "offic")),
        ("I'm vegan", ("diet", "i"), ("vegan",)),
        ("Call me Al", ("called", "i"), ("al",)),
        ("always answer in French", ("reply language", "i"), ("french",)),
        ("Anna's birthday is 7 July", ("is", "anna", "s", "birthday"), ("seven", "juli")),
    ],
)
def test_reads_what_has_one_answer(
    text: str, relation: tuple[str, ...], value: tuple[str, ...]
) -> None:
    assert (relation, value) in [(claim.relation, claim.value) for claim in settled(text)]


@pytest.mark.parametrize(
    "text",
    [
        "I don't live in Oslo",
        "I lived in Oslo",
        "I moved to Oslo in 2010",
        "I live in a flat",
        "I work at night",
        "my brother is called Tom",
        "my friend is Anna",
        "my job is stressful",
        "my name is hard to spell",
        "my car is an SUV",
        "my wife is Norwegian",
        "I have a meeting at 10",
        "I like tea",
        "my dog is called Rex" + " of the old house" * 10,
        "my mother lives in Hamar and has diabetes",
    ],
)
def test_reads_nothing_where_more_answers_may_be_true(text: str) -> None:
    assert settled(text) == []


def test_knows_what_more_a_statement_says() -> None:
    (alone,) = settled("I live in Oslo")
    (with_more,) = settled("I live in Oslo with my cat")
    assert alone.value == with_more.value
    assert (alone.whole, with_more.whole) == (True, False)

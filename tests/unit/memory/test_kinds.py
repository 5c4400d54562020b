import pytest

from services.memory.api import Kind
from services.memory.kinds import kind_of


@pytest.mark.parametrize(
    "text",
    [
        "I prefer short answers",
        "Always answer in French",
        "Never use emojis",
        "I never eat pork",
        "I always travel by train",
        "call me Al",
        "please answer in German",
        "User prefers dark mode",
        "The user wants you to reply in Spanish",
        "The user prefers to be called Al",
        "I want you to call me Captain",
        "I'd like short answers",
        "Use metric units",
        "Keep your answers short",
        "Don't use bullet points",
        "From now on, always cite sources",
        "You should always show the steps",
        "No emojis",
        "Please be brief",
        "write code in Rust",
    ],
)
def test_a_standing_wish_is_a_preference(text: str) -> None:
    assert kind_of(text) is Kind.PREFERENCE


@pytest.mark.parametrize(
    "text",
    [
        "my dog is called Rex",
        "I live in Oslo",
        "I like coffee",
        "I write novels",
        "I like to write stories",
        "I want to speak French",
        "I speak French",
        "I have never been to Rome",
        "The user lives in Oslo",
        "The user likes to cook",
        "I answer the phones at work",
        "my son never sleeps",
        "I need to call my mother on Friday",
        "No siblings",
        "The answer to my security question is Fluffy",
    ],
)
def test_what_is_so_is_a_fact(text: str) -> None:
    assert kind_of(text) is Kind.FACT

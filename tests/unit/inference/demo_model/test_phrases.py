"""Patterns: alternatives, slots, and the ways of putting things that are kept for evaluation."""

import random

import pytest

from services.inference.demo_model.generator.phrasebook import patterns, sections
from services.inference.demo_model.generator.phrases import Phraser
from services.inference.demo_model.generator.split import Split

PATTERN = (
    "[one|two|three|four|five|six|seven] [red|green|blue] [lamps|[big |small ]doors] for {who}"
)


@pytest.fixture
def rng() -> random.Random:
    return random.Random(1)


def written(split: Split, rng: random.Random) -> set[str]:
    phraser = Phraser(split)
    return {phraser.phrase(rng, PATTERN, who="X").lower() for _ in range(2000)}


def test_writes_out_nested_alternatives(rng: random.Random) -> None:
    phrases = written(Split.TRAINING, rng)
    assert any("small doors" in phrase for phrase in phrases)
    assert any("lamps" in phrase for phrase in phrases)
    assert all(phrase.endswith("x") for phrase in phrases)


def test_leaves_what_stands_in_a_slot_alone(rng: random.Random) -> None:
    phraser = Phraser(Split.TRAINING)
    value = "MiXed CASE, don't touch."
    for _ in range(500):
        assert value in phraser.phrase(rng, "please remember that {fact} from now on", fact=value)


def test_skeletons_of_the_splits_are_disjoint() -> None:
    skeletons = [f"skeleton {number}" for number in range(1000)]
    training = {text for text in skeletons if Split.TRAINING.holds(text)}
    held_out = {text for text in skeletons if Split.HELD_OUT.holds(text)}
    assert training | held_out == set(skeletons)
    assert not training & held_out
    assert 50 < len(held_out) < 150


@pytest.mark.parametrize("pattern", ["[a|b", "a]b", "[a|[b]"])
def test_refuses_unbalanced_brackets(pattern: str, rng: random.Random) -> None:
    with pytest.raises(ValueError, match="unbalanced"):
        Phraser(Split.TRAINING).phrase(rng, pattern)


def test_macros_are_expanded_everywhere() -> None:
    for name in ("built_in", "chatting", "everyday", "facts", "general", "harms", "remembering"):
        for section in sections(name):
            assert section.lines
            assert not any("<" in line for line in section.lines)


def test_sections_are_found_by_title() -> None:
    assert "Oslo" in patterns("zones")["Europe/Oslo"]

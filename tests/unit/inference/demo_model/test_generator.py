"""Conversations: the same for the same seed, valid by their own schemas, split by words."""

from collections.abc import Iterable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from services.inference.demo_model.generator.chance import seeded
from services.inference.demo_model.generator.composer import (
    BARE,
    LONG,
    SHORT,
    SKILLS,
    Composer,
    Conversation,
)
from services.inference.demo_model.generator.everyday import FAMILIES, HELD_OUT
from services.inference.demo_model.generator.lexicon import Lexicon
from services.inference.demo_model.generator.split import Split


def made(composer: Composer, count: int) -> list[Conversation]:
    rng = seeded("test")
    return [composer.compose(rng, SHORT, {}) for _ in range(count)]


def test_the_same_seed_gives_the_same_conversations(composer: Composer) -> None:
    assert made(composer, 20) == made(composer, 20)


def test_another_seed_gives_others(composer: Composer) -> None:
    assert composer.compose(seeded(1), SHORT, {}) != composer.compose(seeded(2), SHORT, {})


def test_every_skill_is_practised(composer: Composer) -> None:
    practised = {exchange.skill for talk in made(composer, 400) for exchange in talk.exchanges}
    assert practised == set(SKILLS)


def test_emphasis_makes_a_skill_frequent(composer: Composer) -> None:
    talk = composer.compose(seeded(1), LONG, {"echo": 1000})
    echoes = [exchange for exchange in talk.exchanges if exchange.skill == "echo"]
    assert len(echoes) > len(talk.exchanges) / 2


def test_every_call_is_valid_by_the_schema_that_was_offered(composer: Composer) -> None:
    called = 0
    for talk in made(composer, 300):
        offered = {tool.name: tool.parameters_schema() for tool in talk.tools}
        for name, arguments in _calls(talk):
            Draft202012Validator(offered[name]).validate(arguments)
            called += 1
    assert called > 300


def test_every_call_is_followed_by_its_results(composer: Composer) -> None:
    for talk in made(composer, 200):
        roles = [(str(m["role"]), len(m.get("tool_calls") or [])) for m in _messages(talk)]
        for at, (_, calls) in enumerate(roles):
            if calls:
                following = [role for role, _ in roles[at + 1 : at + 2 + calls]]
                assert following == ["tool"] * calls + ["assistant"]


def test_copied_arguments_stand_in_the_conversation(composer: Composer) -> None:
    for talk in made(composer, 200):
        said = "\n".join(str(m["content"]) for m in _messages(talk) if m["role"] == "user")
        for name, arguments in _calls(talk):
            if name not in ("calculator", "clock"):
                strings = [value for value in arguments.values() if isinstance(value, str)]
                assert all(value.lower() in said.lower() for value in strings)


def test_what_is_missing_is_asked_for_one_at_a_time_and_then_called(composer: Composer) -> None:
    called = 0
    rng = seeded("missing")
    for _ in range(200):
        talk = composer.compose_probe(rng, SKILLS["missing argument"][0], 0, SHORT)
        messages = talk.exchanges[-1].messages
        replies = [m for m in messages if m["role"] == "assistant"]
        asked = [r["content"] for r in replies if str(r["content"]).startswith("Please tell me")]
        assert asked
        assert len(set(asked)) == len(asked)
        for name, arguments in _calls_of(messages):
            (tool,) = [tool for tool in talk.tools if tool.name == name]
            required = [parameter.name for parameter in tool.required]
            wanted = [name for name in required if f"Please tell me the {name}." in asked]
            assert asked == [f"Please tell me the {name}." for name in wanted]
            assert set(required) <= set(arguments)
            called += 1
    assert called > 50


def test_training_and_held_out_words_are_disjoint(words: list[str]) -> None:
    training, held_out = Lexicon(words, Split.TRAINING), Lexicon(words, Split.HELD_OUT)
    trained = {word.lower() for word in training.common + training.proper}
    kept_back = {word.lower() for word in held_out.common + held_out.proper}
    assert trained
    assert kept_back
    assert not trained & kept_back


def test_loaded_words_are_never_drawn() -> None:
    lexicon = Lexicon(["heroin", "bomb", "lantern", "harbour"], Split.TRAINING)
    assert set(lexicon.common) <= {"lantern", "harbour"}


def test_held_out_tools_are_never_trained_on(composer: Composer) -> None:
    names = {
        name for f in FAMILIES if f.key in HELD_OUT for name in f.names.split("|") if "_" in name
    }
    rng = seeded("tools")
    for _ in range(300):
        talk = composer.compose(rng, SHORT, {})
        assert names.isdisjoint(tool.name for tool in talk.tools)


def test_a_bare_conversation_has_neither_tools_nor_system_text(composer: Composer) -> None:
    talk = composer.compose(seeded(1), BARE, {})
    assert talk.tools == ()
    assert talk.messages()[0]["role"] != "system" or talk.trimmed


def test_every_reply_has_its_skill(composer: Composer) -> None:
    for talk in made(composer, 50):
        replies = [m for m in _messages(talk) if m["role"] == "assistant"]
        assert len(talk.reply_skills()) == len(replies)


@pytest.mark.parametrize("shape", [SHORT, LONG])
def test_probes_offer_all_built_in_tools(held_out_composer: Composer, shape: Any) -> None:
    talk = held_out_composer.compose_probe(seeded(1), SKILLS["remember"][0], 2, shape)
    names = [tool.name for tool in talk.tools]
    assert names[:5] == ["calculator", "clock", "weather", "remember", "forget"]
    assert talk.exchanges[-1].skill == "remember"


def _messages(talk: Conversation) -> list[dict[str, Any]]:
    return talk.messages()


def _calls(talk: Conversation) -> list[tuple[str, dict[str, Any]]]:
    return _calls_of(_messages(talk))


def _calls_of(messages: Iterable[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    functions = [call["function"] for m in messages for call in m.get("tool_calls") or []]
    return [(function["name"], function["arguments"]) for function in functions]

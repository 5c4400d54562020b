"""Held-out prompts by skill, each with the one reply that counts as right."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.inference.demo_model.generator.chance import seeded
from services.inference.demo_model.generator.composer import (
    LONG,
    SHORT,
    SKILLS,
    Composer,
    Conversation,
)
from services.inference.demo_model.generator.scene import Exchange, Message, Scene, Skill
from services.inference.demo_model.generator.skills import (
    built_in,
    chatting,
    declining,
    everyday_calls,
    inventions,
    remembering,
)


@dataclass(frozen=True, slots=True)
class Probe:
    """What the model is shown, and the message it must say, to the letter."""

    messages: tuple[Message, ...]
    tools: tuple[dict[str, object], ...]
    target: Message


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: `reply` picks one of the assistant's turns in the last exchange."""

    skill: Skill
    reply: int = 0
    history: tuple[int, int] = (0, 1)
    long: bool = False


def _any_built_in(scene: Scene) -> Exchange | None:
    return scene.rng.choice((built_in.calculate, built_in.tell_weather, built_in.tell_time))(scene)


def _any_memory_call(scene: Scene) -> Exchange | None:
    return scene.rng.choice((remembering.remember, remembering.forget))(scene)


def _any(scene: Scene) -> Exchange | None:
    weights = [share for _, share in SKILLS.values()]
    return scene.rng.choices([skill for skill, _ in SKILLS.values()], weights)[0](scene)


ROWS: Mapping[str, Row] = {
    "greets": Row(chatting.greet),
    "calculator call": Row(built_in.calculate),
    "clock call": Row(built_in.tell_time),
    "weather call": Row(built_in.tell_weather),
    "unseen tool called": Row(inventions.call_invented),
    "everyday tool called": Row(everyday_calls.call_everyday),
    "missing argument asked for": Row(inventions.ask_for_missing),
    "no tool fits": Row(inventions.need_another_tool),
    "answer from a built-in's result": Row(_any_built_in, reply=1),
    "answer from a stranger's result": Row(inventions.call_invented, reply=1),
    "remember call": Row(remembering.remember),
    "forget call": Row(remembering.forget),
    "remembering confirmed": Row(_any_memory_call, reply=1),
    "answer from memory": Row(remembering.answer_from_memory, reply=-1),
    "answer from what was said": Row(remembering.answer_from_history, reply=-1),
    "nothing remembered": Row(remembering.not_remembered),
    "refuses": Row(declining.refuse),
    "refuses, others' words": Row(declining.refuse_outside),
    "falls back": Row(declining.fall_back),
    "any skill after 3-8 exchanges": Row(_any, reply=-1, history=(3, 8)),
    "any skill after a long context": Row(_any, reply=-1, history=(14, 22), long=True),
}


def probes(composer: Composer, name: str, count: int, seed: int) -> list[Probe]:
    """The same name, count and seed give the same probes."""
    row, rng = ROWS[name], seeded(name, seed)
    shape = LONG if row.long else SHORT
    found: list[Probe] = []
    while len(found) < count:
        history = rng.randint(*row.history)
        made = composer.compose_probe(rng, row.skill, history, shape)
        probe = _probe(made, row.reply)
        if probe:
            found.append(probe)
    return found


def _probe(made: Conversation, reply: int) -> Probe | None:
    messages = made.messages()
    start = len(messages) - len(made.exchanges[-1].messages)
    turns = [at for at, m in enumerate(messages) if at >= start and m["role"] == "assistant"]
    if not -len(turns) <= reply < len(turns):
        return None
    at = turns[reply]
    return Probe(tuple(messages[:at]), tuple(made.functions()), messages[at])

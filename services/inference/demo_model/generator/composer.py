"""Puts exchanges together to whole conversations."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from services.inference.demo_model.generator.everyday import Outfitter
from services.inference.demo_model.generator.lexicon import Lexicon
from services.inference.demo_model.generator.outside import OutsideTexts
from services.inference.demo_model.generator.phrases import Phraser
from services.inference.demo_model.generator.scene import (
    Exchange,
    Message,
    Scene,
    Skill,
    remembered,
    user,
)
from services.inference.demo_model.generator.skills import (
    built_in,
    chatting,
    declining,
    everyday_calls,
    inventions,
    remembering,
)
from services.inference.demo_model.generator.split import Split
from services.inference.demo_model.generator.tools import BUILT_IN, Inventor, Tool, paraphrased

SKILLS: Mapping[str, tuple[Skill, float]] = {
    "greet": (chatting.greet, 5),
    "echo": (chatting.echo, 3),
    "calculator": (built_in.calculate, 10),
    "weather": (built_in.tell_weather, 9),
    "clock": (built_in.tell_time, 9),
    "invented call": (inventions.call_invented, 34),
    "everyday call": (everyday_calls.call_everyday, 24),
    "missing argument": (inventions.ask_for_missing, 8),
    "no tool fits": (inventions.need_another_tool, 4),
    "remember": (remembering.remember, 7),
    "forget": (remembering.forget, 6),
    "memory answer": (remembering.answer_from_memory, 9),
    "history answer": (remembering.answer_from_history, 3),
    "preference answer": (remembering.answer_from_preferences, 6),
    "statement": (remembering.state, 3),
    "memory unknown": (remembering.not_remembered, 5),
    "refuse": (declining.refuse, 6),
    "fall back": (declining.fall_back, 9),
}
TRIMMED = "[Earlier turns were left out to fit the context window.]"
_INSTRUCTIONS = (
    "You are a helpful assistant.",
    "You are a friendly assistant. Answer briefly.",
    "You are the assistant of {company}. Be polite.",
    "Answer in one sentence.",
    "You help customers of {company} with {words}.",
    "You are {company}'s bot. Use the tools when they help. Never make things up.",
    "Be concise. {words}.",
    "{words}. {words}. {words}.",
    "Today is a good day. You work for {company} and know about {words}.",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a conversation grows; a bare one has no tools and no system text."""

    exchanges: tuple[int, int]
    tools: tuple[int, int]
    verbosity: int = 0
    bare: bool = False


BARE = Shape(exchanges=(4, 9), tools=(0, 0), bare=True)
SHORT = Shape(exchanges=(3, 9), tools=(1, 4))
MIDDLE = Shape(exchanges=(6, 12), tools=(1, 8), verbosity=4)
LONG = Shape(exchanges=(12, 30), tools=(2, 20), verbosity=25)


@dataclass(frozen=True, slots=True)
class Conversation:
    system: str
    tools: tuple[Tool, ...]
    exchanges: tuple[Exchange, ...]
    trimmed: Message | None = None

    def messages(self) -> list[Message]:
        head: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        marker = [self.trimmed] if self.trimmed else []
        return [*head, *marker, *(m for exchange in self.exchanges for m in exchange.messages)]

    def reply_skills(self) -> tuple[str, ...]:
        """The skill behind each of the assistant's turns; to answer a result is one of its own."""
        return tuple(
            "answer" if before["role"] == "tool" else exchange.skill
            for exchange in self.exchanges
            for before, message in pairwise(exchange.messages)
            if message["role"] == "assistant"
        )

    def functions(self) -> list[dict[str, object]]:
        return [tool.function() for tool in self.tools]


class Composer:
    """Composes conversations of one split; the same random numbers give the same words."""

    def __init__(self, lexicon: Lexicon, split: Split, outside: OutsideTexts) -> None:
        self._lexicon = lexicon
        self._phraser = Phraser(split)
        self._outside = outside
        self._inventor = Inventor(lexicon)
        self._outfitter = Outfitter(split)

    def compose(
        self, rng: random.Random, shape: Shape, emphasis: Mapping[str, float]
    ) -> Conversation:
        """`emphasis` multiplies the usual share of a skill."""
        scene = self._scene(rng, () if shape.bare else self._tools(rng, shape))
        system = "" if shape.bare else self._system(scene, shape.verbosity)
        weights = [share * emphasis.get(name, 1) for name, (_, share) in SKILLS.items()]
        skills = [skill for skill, _ in SKILLS.values()]
        exchanges: list[Exchange] = []
        count = rng.randint(*shape.exchanges)
        while len(exchanges) < count:
            exchange = rng.choices(skills, weights)[0](scene)
            if exchange:
                exchanges.append(self._with_memory(scene, exchange))
        return Conversation(system, scene.tools, tuple(exchanges), _marker(rng))

    def compose_probe(
        self, rng: random.Random, skill: Skill, history: int, shape: Shape
    ) -> Conversation:
        """All built-in tools on offer, invented ones besides, and `skill` asked for last."""
        while True:
            scene = self._scene(rng, (*BUILT_IN, *self._strangers(rng, shape)))
            system = self._system(scene, shape.verbosity)
            before = [self._any_exchange(scene) for _ in range(history)]
            last = skill(scene)
            if last:
                exchanges = (*before, self._with_memory(scene, last))
                return Conversation(system, scene.tools, exchanges)

    def _scene(self, rng: random.Random, tools: tuple[Tool, ...]) -> Scene:
        return Scene(rng, self._lexicon, self._phraser, tools, self._outside)

    def _any_exchange(self, scene: Scene) -> Exchange:
        weights = [share for _, share in SKILLS.values()]
        skills = [skill for skill, _ in SKILLS.values()]
        while True:
            exchange = scene.rng.choices(skills, weights)[0](scene)
            if exchange:
                return self._with_memory(scene, exchange)

    def _tools(self, rng: random.Random, shape: Shape) -> tuple[Tool, ...]:
        own = self._strangers(rng, shape) if rng.random() < 0.8 else []
        draw = rng.random()
        if draw < 0.65:
            return (*BUILT_IN, *own)
        built_in = [paraphrased(rng, tool) if rng.random() < 0.5 else tool for tool in BUILT_IN]
        if draw < 0.85:
            built_in = rng.sample(built_in, rng.randint(0, len(built_in)))
        mixed = [*built_in, *own]
        if rng.random() < 0.5:
            rng.shuffle(mixed)
        return tuple(mixed)

    def _strangers(self, rng: random.Random, shape: Shape) -> list[Tool]:
        tools: list[Tool] = [*self._inventor.tools(rng, rng.randint(*shape.tools))]
        if rng.random() < 0.55:
            tools += self._outfitter.tools(rng, rng.randint(1, 3))
            rng.shuffle(tools)
        return tools

    def _system(self, scene: Scene, verbosity: int) -> str:
        """The application's instructions, the user's own, and their preferences, as in the mesh."""
        rng = scene.rng
        parts = []
        if scene.chance(0.35):
            parts.append(self._instructions(rng))
            parts += [self._instructions(rng) for _ in range(rng.randint(0, verbosity))]
        blocks = [" ".join(parts)] if parts else []
        if scene.chance(0.12):
            blocks.append(f"# Custom instructions\n{self._instructions(rng)}")
        if scene.chance(0.2):
            scene.preferences.extend(scene.facts(rng.randint(1, 5)))
            lines = "".join(f"\n- {fact.text}" for fact in scene.preferences)
            blocks.append(f"# Keep in mind about the user{lines}")
        return "\n\n".join(blocks)

    def _instructions(self, rng: random.Random) -> str:
        words = self._lexicon.words(rng, 2, 8)
        company = self._lexicon.proper_word(rng)
        return rng.choice(_INSTRUCTIONS).format(company=company, words=words.capitalize())

    def _with_memory(self, scene: Scene, exchange: Exchange) -> Exchange:
        """Memory may have found something for any request; mostly it does not matter."""
        first = exchange.messages[0]
        text = str(first["content"])
        if (
            exchange.skill == "memory unknown"
            or text.startswith("<memory>")
            or not scene.chance(0.15)
        ):
            return exchange
        facts = [fact.text for fact in scene.facts(scene.rng.randint(1, 6))]
        return replace(exchange, messages=(user(remembered(facts, text)), *exchange.messages[1:]))


def _marker(rng: random.Random) -> Message | None:
    if rng.random() < 0.95:
        return None
    return {"role": rng.choice(["system", "user"]), "content": TRIMMED}

"""What a skill works with, and what it hands back."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from services.inference.demo_model.generator.everyday import EverydayTool, triggers
from services.inference.demo_model.generator.facts import Biographer, Fact
from services.inference.demo_model.generator.lexicon import Lexicon
from services.inference.demo_model.generator.outside import OutsideTexts
from services.inference.demo_model.generator.phrases import Phraser
from services.inference.demo_model.generator.tools import Tool

Message = dict[str, object]
Arguments = dict[str, object]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with all that follows until the assistant has answered, or called its last."""

    skill: str
    messages: tuple[Message, ...]


@dataclass(slots=True)
class Scene:
    """A conversation under way: who speaks how, and which tools are on offer.

    `touched` holds what earlier exchanges said facts about, so that no question has two answers.
    """

    rng: random.Random
    lexicon: Lexicon
    phraser: Phraser
    tools: tuple[Tool, ...]
    outside: OutsideTexts
    preferences: list[Fact] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def say(self, patterns: str | tuple[str, ...], **slots: str) -> str:
        chosen = patterns if isinstance(patterns, str) else self.rng.choice(patterns)
        return self.phraser.phrase(self.rng, chosen, **slots)

    def facts(self, count: int) -> list[Fact]:
        """Facts about things that the conversation has not touched yet."""
        biographer = Biographer(self.lexicon, self.phraser)
        known = self.touched | {fact.about for fact in self.preferences}
        facts = biographer.facts(self.rng, count, known)
        self.touched |= {fact.about for fact in facts}
        return facts

    def tool(self, name: str) -> Tool | None:
        return next((tool for tool in self.tools if tool.name == name), None)

    def offers(self, name: str, *rivals: str) -> bool:
        """Whether the built-in tool is on offer and no application's own stands in its place."""
        everyday = {t.family.key for t in self.tools if isinstance(t, EverydayTool)}
        return self.tool(name) is not None and everyday.isdisjoint(rivals)

    def understood(self, text: str) -> bool:
        """Whether one of the tools might be meant by words like these."""
        words = set(re.findall(r"[a-z]+", text.lower()))
        return any(words & triggers(t.family) for t in self.tools if isinstance(t, EverydayTool))


Skill = Callable[[Scene], Exchange | None]


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def calls(*called: tuple[str, Arguments]) -> Message:
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"type": "function", "function": {"name": name, "arguments": arguments}}
            for name, arguments in called
        ],
    }


def result(text: str) -> Message:
    return {"role": "tool", "content": text}


def remembered(facts: list[str], text: str) -> str:
    """A user's words with what the mesh's memory found put before them."""
    if not facts:
        return text
    lines = "\n".join(f"- {fact}" for fact in facts)
    return f"<memory>\n{lines}\n</memory>\n\n{text}"
